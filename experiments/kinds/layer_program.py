"""Run the layers in another order, leave some out or repeat them, and see what the damaged model says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..methods.control_pool import BEFORE, ControlPool
from ..metrics import AnyMetric, unit_of
from ..positions import check_positions
from ..questions import WHICH_LAYERS
from ..result import Effect, Figure, Result

if TYPE_CHECKING:
    from ..interventions import Intervention
    from ..lab import Lab
    from ..tasks.task import Task

Sweep = Literal["skip_each", "repeat_each", "swap_each", "keep_first"]
TOKENS = 5


class LayerProgram(Experiment):
    """Which layers does the model need, and what does it say without them? Runs any list of layers.

    `program` is the list of layers to run: "0-4, 6-29" leaves 5 out, "0-5, 5, 6-29" repeats it, "0-4, 6, 5, 7-29"
    swaps. Or `sweep` tries one change at every layer, each with its percentile among the others: skip_each,
    repeat_each, swap_each (with the next one), keep_first (only the first n layers; no percentile). Gives the paired
    change of the answer loss (edited minus intact: positive is damage). For one program also accuracy, the tokens
    that became more and less likely, what the damaged model says, and as control up to 20 programs that do the same
    to other layers nearby (excess: the damage beyond their mean). Neighbouring layers often back each other up: a
    single skip can miss them. With `at`, layers are left out only there: at these positions they add nothing, and
    other positions still read them. Such an effect has the name effect[skip L5@first].
    """

    kind: ClassVar[str] = "layer_program"
    question: ClassVar[str] = WHICH_LAYERS
    later: ClassVar[frozenset[str]] = Experiment.later | {"controls", "at"}
    before: ClassVar[Mapping[str, Any]] = BEFORE
    core: ClassVar[bool] = True

    program: Annotated[str | None, Field(description='Layers to run, such as "0-4, 6-29". Null with a sweep.')] = None
    sweep: Annotated[Sweep | None, Field(description="One change at every layer instead of one program.")] = None
    at: Annotated[
        str | None,
        Field(
            description="Leave layers out only at these positions: first (the prompt's first token), last, a span of "
            "the task, or all-X, such as all-first: all tokens except X. Null: everywhere."
        ),
    ] = None
    metric: Annotated[
        AnyMetric,
        Field(description="Metric. kl: the divergence from the intact prediction, which needs no answer."),
    ] = "loss"

    controls: Annotated[
        int,
        Field(
            ge=1, le=2000,
            description="Number of random controls; beyond_control draws its own.",
        ),
    ] = 20  # fmt: skip
    control_pool: ControlPool = "matched"

    def random_sets(self, sizes: Mapping[str, int]) -> int | None:
        from ..methods.control_programs import moved_programs

        if self.program is None or "n_layers" not in sizes:
            return None
        program = self.programs(sizes["n_layers"])[0].program or ()
        return len(moved_programs(program, sizes["n_layers"], self.seed, self.controls, self.control_pool))

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if "n_layers" in sizes:
            self.limited(self.programs(sizes["n_layers"]), sizes)
        self.require_metric(self.metric, task)
        if self.at is not None:
            for prompt in task.prompts(self.n, self.split, self.seed):
                check_positions(self.at, prompt.spans)

    def programs(self, n_layers: int) -> list[Intervention]:
        """The programs to run. Raises BadConfiguration for a layer that does not exist."""
        from ..interventions import Intervention, parse_layers, show_layers

        if (self.program is None) == (self.sweep is None):
            raise BadConfiguration('Give either program (such as "0-4, 6-29") or sweep (such as "skip_each").')
        if self.program is not None:
            layers = parse_layers(self.program, n_layers)
            return [Intervention(name=show_layers(layers) or "no layers", program=layers)]
        every = tuple(range(n_layers))
        if self.sweep == "keep_first":
            return [Intervention(name=f"keep first {k}", program=every[:k]) for k in range(n_layers)]
        made: list[Intervention] = []
        for layer in range(n_layers - (self.sweep == "swap_each")):
            before, after = every[:layer], every[layer + 1 :]
            program = {
                "skip_each": (*before, *after),
                "repeat_each": (*before, layer, layer, *after),
                "swap_each": (*before, layer + 1, layer, *after[1:]),
            }[str(self.sweep)]
            word = str(self.sweep).removesuffix("_each")
            made.append(Intervention(name=f"{word} L{layer}", program=program))
        return made

    def limited(self, programs: list[Intervention], sizes: Mapping[str, int]) -> list[Intervention]:
        """The same programs; with `at`, each as edits that set what the left-out layers add to 0 there. Raises
        BadConfiguration for a program that does more than leave layers out."""
        if self.at is None:
            return programs
        from ..interventions import show_layers
        from ..methods.removal import elements, removal

        every = range(sizes["n_layers"])
        made: list[Intervention] = []
        for one in programs:
            left = one.program or ()
            gone = [layer for layer in every if layer not in left]
            if self.sweep not in (None, "skip_each") or not gone or list(left) != sorted(set(left)):
                example = show_layers(tuple(layer for layer in every if layer != len(every) // 2))
                raise BadConfiguration(
                    "At some positions, layers can only be left out. Use at with sweep skip_each, or with a program "
                    f'that leaves layers out and runs the others in order, such as "{example}".'
                )
            sites = [s for of_layer in elements("layers", sizes, gone).values() for s in of_layer]
            made.append(removal(f"{one.name}@{self.at}", sites, "zero", self.at))
        return made

    def removed(self, site: str, n_layers: int) -> frozenset[str]:
        """The layers that are left out everywhere, if all others run once and in order."""
        from ..interventions import parse_layers

        if self.at is not None or self.sweep not in (None, "skip_each") or site.startswith("token "):
            return frozenset()
        if self.sweep is not None:
            return frozenset({site.removeprefix("skip ")})
        left = parse_layers(self.program or "", n_layers)
        if list(left) != sorted(set(left)):
            return frozenset()
        return frozenset(f"L{layer}" for layer in range(n_layers) if layer not in left)

    def run(self, lab: Lab) -> Result:
        from ..methods.removal import require_only_two_branches

        programs = self.limited(self.programs(lab.subject.anatomy.n_layers), lab.subject.sizes)
        if self.at is not None:
            require_only_two_branches(lab.subject, "Leave out at.")
        return self.one(lab, programs[0]) if self.sweep is None else self.swept(lab, programs)

    def swept(self, lab: Lab, programs: list[Intervention]) -> Result:
        """One change at every layer."""
        from ..answers.scoring import intact
        from ..methods.controls import among, compare, per_prompt
        from ..statistics.intervals import effects, questions_asked
        from ..statistics.strongest import largest, strongest

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        run = compare(lab, "layer programs", batch, programs, lab.readout(self.metric, batch))
        values = run.values(self.metric)
        found = effects([p.name for p in programs], self.metric, values[1:] - values[0], asked)
        if self.sweep != "keep_first":  # it has no percentile: each of its programs contains the one before
            found = among(found)
        named = strongest(found)
        rest = [e for e in sorted(found, key=lambda e: abs(e.value)) if e not in named]
        least = f"; smallest: {', '.join(map(str, rest[:3]))}" if rest else ""
        there = "" if self.at is None else f" when a layer adds nothing at {self.at}"
        text = f"Change of {self.metric}{there}: {largest(found)}{least}."
        return Result(
            measurements=(*intact(self.metric, values[0], asked), questions_asked(asked), run.identity(self.metric)),
            effects=found,
            figures=(self.bars(lab, found),),
            found=text,
            notes=run.failed(self.metric),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays=per_prompt({self.metric: values}, asked),
        )

    def one(self, lab: Lab, program: Intervention) -> Result:
        """One program, with what the model says under it, and control programs on other layers."""
        from ..answers.scoring import changes, intact
        from ..answers.speech import compared
        from ..interventions import show_layers
        from ..lab import INTACT, numbers
        from ..methods.control_pool import too_few
        from ..methods.control_programs import moved_programs
        from ..methods.controls import compare, control_measurements, control_summary, of_layers, per_prompt, unmatched
        from ..statistics.intervals import effects, questions_asked, share

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        scores = lab.run("layer programs", batch, [INTACT, program], lab.whole_readout(batch, keep_log_probs=True))
        predicted = scores.pop("log_probs")
        kept = {name: numbers(each) for name, each in scores.items()}
        values = kept[self.metric]
        change = values[1:] - values[0]
        found = effects([program.name], self.metric, change, asked)
        n_layers, drawn = lab.subject.anatomy.n_layers, (self.seed, self.controls)
        layers = self.programs(n_layers)[0].program or ()
        controls = self.limited(moved_programs(layers, n_layers, *drawn, self.control_pool), lab.subject.sizes)
        few = too_few(self.control_pool, len(controls), len(moved_programs(layers, n_layers, *drawn, "anywhere")),
                      self.controls)  # fmt: skip
        others = of_layers(self.control_pool, controls, n_layers).removeprefix(" of ") or "other layers"
        # A separate readout: predictions over the whole vocabulary for twenty controls would take too much memory.
        run = compare(lab, "random programs", batch, [program, *controls], lab.readout(self.metric, batch))
        beside = run.values(self.metric)[2:]
        matched = control_measurements(self.metric, change[0], beside - values[0], asked)
        spoken = compared(lab, prompts, lab.intact(*self.draw).said, lab.speak(batch, [program])[0], program.name)
        same_top = (predicted[0].argmax(-1) == predicted[1].argmax(-1)).double().numpy()
        tokens = token_changes(lab, predicted, asked)
        up, down = (", ".join(t.site[6:] for t in part) for part in (tokens[:TOKENS], tokens[TOKENS:]))
        without = show_layers(tuple(layer for layer in range(n_layers) if layer not in layers))
        done = f"Running layers {program.name}" if self.at is None else f"Leaving out {without} at {self.at}"
        text = (
            f"{done}: {self.metric} changes by {found[0].text}. {spoken.text} More likely: {up}. Less likely: {down}."
        )
        return Result(
            measurements=(
                *intact(self.metric, values[0], asked), questions_asked(asked), run.identity(self.metric),
                *changes(scores, asked), *spoken.measurements, share("top_token_changed", 1 - same_top, asked),
                *matched,
            ),
            effects=(*found, *tokens, *spoken.effects),
            samples=spoken.samples,
            figures=spoken.figures,
            found=text + control_summary(matched, f"programs that do the same to {others}"),
            notes=(*run.failed(self.metric), *unmatched(matched), *few),
            doubts=lab.doubts(*self.draw, self.metric),
            arrays=per_prompt(kept, asked, beside),
        )  # fmt: skip

    def bars(self, lab: Lab, found: tuple[Effect, ...]) -> Figure:
        labels = [e.site.split()[-1].removeprefix("L").removesuffix(f"@{self.at}") for e in found]
        there = "" if self.at is None else f" at {self.at}"
        title = f"Change of {self.metric}, {str(self.sweep).replace('_', ' ')}{there}: {lab.subject.name}, {self.task}"
        return Figure(name="layers", kind="layer_bars", title=title, unit=unit_of(self.metric), n=self.n,
                      data={"labels": labels, "values": [e.value for e in found], "low": [e.low for e in found],
                            "high": [e.high for e in found]})  # fmt: skip


def token_changes(lab: Lab, log_probs: Any, asked: list[str]) -> tuple[Effect, ...]:
    """The tokens whose mean probability at the answer rose most, then those whose mean probability fell most.

    They are selected for being extreme, so they have no p-value.
    """
    from ..lab import numbers
    from ..statistics.intervals import untested
    from ..tasks.tokens import token_text

    before, after = log_probs[0], log_probs[1]
    moves = after.exp() - before.exp()
    moved = moves.mean(0)
    up = moved.topk(TOKENS).indices.tolist()
    down = (-moved).topk(TOKENS).indices.tolist()
    names = [f"token {token_text(lab.subject.tokenizer, t)!r}" for t in up + down]
    return untested(names, "token_prob", numbers(moves[:, up + down]).T, asked)
