"""Which tokens become more or less likely without a part of the model, over many prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..methods.control_pool import BEFORE, ControlPool, Pool
from ..methods.removal import Method, Removed
from ..questions import WHAT_IS_WRITTEN
from ..result import Effect, Figure, Result

if TYPE_CHECKING:
    from ..interventions import Intervention
    from ..lab import Lab
    from ..sites import Part, Site
    from ..tasks.task import Task

DRAWS = 20
DRAWN = 12


class TokenEffects(Experiment):
    """What does a part say: which tokens become more or less likely without it? Over the whole vocabulary.

    Removes `sites` together, or runs the layers of `program`, and reads the prediction where the answer begins. The
    tokens that rise and fall most are chosen on half of the questions and measured on the other half, so their
    intervals and p are not those of the luckiest of 50,000; n is that half. A prompt's own answer and distractor are
    excluded. Effects: token_prob (or token_log_prob) at sites such as "token ' the'", with the percentile among 20
    random sites removed the same way: a token that moves there as well is not specific to this part. class_prob, on all
    prompts, shows where the probability went: answer, distractor, other answers (of the other prompts), in the prompt,
    the rest; they sum to 0. prob shows tokens that matter for the output; log_prob also rare ones. Other parts may
    cause a rise. Cost: about 25 runs. direct_logit_attribution shows what a part writes itself.
    """

    kind: ClassVar[str] = "token_effects"
    question: ClassVar[str] = WHAT_IS_WRITTEN
    aspect: ClassVar[str] = "which tokens an edit favours"
    before: ClassVar[Mapping[str, Any]] = BEFORE

    sites: Annotated[
        list[str] | None, Field(description="Removed together: L7.H3, L7.attn, L7.mlp. Null with program.")
    ] = None
    program: Annotated[str | None, Field(description='Or the layers to run, such as "0-4, 6-29".')] = None
    method: Removed = "zero"
    by: Annotated[Literal["prob", "log_prob"], Field(description="How to rank the tokens.")] = "prob"
    tokens: Annotated[int, Field(ge=1, le=100, description="How many that rise, and as many that fall.")] = 10

    control_pool: ControlPool = "matched"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if (self.sites is None) == (self.program is None):
            raise BadConfiguration('Give either sites (such as L7.H3) or program (such as "0-4, 6-29").')
        if self.program is not None and self.method != "zero":
            raise BadConfiguration("A program leaves out whole layers. Use method only with sites.")
        if "n_layers" in sizes:
            self.edited(sizes, self.control_pool)
        if len({p.key for p in task.prompts(*self.draw)}) < 4:
            raise BadConfiguration(
                "The prompts ask fewer than 4 questions, too few to choose and measure tokens. Raise n."
            )

    def edited(self, sizes: Mapping[str, int], pool: Pool) -> tuple[Intervention, list[Intervention]]:
        """The edit, and the same edit at up to 20 random other sites. Raises BadConfiguration for a missing site."""
        from ..interventions import Intervention, parse_layers, show_layers
        from ..methods.control_programs import moved_programs
        from ..methods.removal import removal
        from ..sites import check_site, parse_site

        n_layers = sizes["n_layers"]
        if self.program is not None:
            layers = parse_layers(self.program, n_layers)
            name = f"layers {show_layers(layers) or 'none'}"
            return Intervention(name=name, program=layers), moved_programs(layers, n_layers, self.seed, DRAWS, pool)
        sites = [parse_site(text) for text in self.sites or ()]
        for site in sites:
            if site.part not in ("attn_out", "mlp_out") and (site.part != "z" or site.index is None):
                raise BadConfiguration(f"{site} cannot be removed here. Use L7.H3, L7.attn or L7.mlp.")
            if "n_heads" in sizes:
                check_site(site, sizes)
        if not sites or len(set(sites)) < len(sites):
            raise BadConfiguration("sites must name at least one site, each once.")
        others = [] if "n_heads" not in sizes else random_others(sites, sizes, self.method, self.seed, pool)
        return removal(" + ".join(map(str, sites)), sites, self.method), others

    def run(self, lab: Lab) -> Result:
        import numpy as np
        import torch

        from ..answers.scoring import FirstReadout
        from ..lab import INTACT, numbers
        from ..methods import token_moves
        from ..methods.control_pool import too_few
        from ..methods.controls import compare, of_layers, per_prompt, unmatched
        from ..methods.lenses import with_zero
        from ..methods.removal import replacements
        from ..metrics import divergence
        from ..statistics.intervals import effects, measurement, questions_asked, share
        from ..tasks.tokens import token_text

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        done, others = self.edited(lab.subject.sizes, self.control_pool)
        few = too_few(self.control_pool, len(others), len(self.edited(lab.subject.sizes, "anywhere")[1]))
        sources, notes = replacements(lab, self.draw, self.method, {e.site.part for e in done.edits})
        # Keep the whole vocabulary for this edit only; for the controls, keep the chosen tokens.
        readout = FirstReadout(batch, keep_log_probs=True)
        before, after = lab.run("predictions", batch, [INTACT, done], readout, sources)["log_probs"]
        log = self.by == "log_prob"
        moves = after - before if log else after.exp() - before.exp()
        looked, held = token_moves.halves(asked, self.seed)
        moves = token_moves.without_own(batch, moves)
        up, down = token_moves.extremes(moves[looked], self.tokens)
        # If nothing moves, report the likeliest token.
        chosen = torch.tensor([*up, *down] or [int(before[0].argmax())])
        run = compare(lab, "chosen tokens", batch, [done, *others], token_moves.SomeTokens(batch, chosen, log), sources)
        values = run.values("tokens")
        change = (values[1] - values[0]).T
        beside = (values[2:] - values[0])[:, held].mean(1)
        names = named([token_text(lab.subject.tokenizer, t) for t in chosen.tolist()], chosen.tolist())
        half = [asked[i] for i in held]
        metric = f"token_{self.by}"
        found = effects(names, metric, change[:, held], half)
        if len(others):
            weaker = [float((abs(beside[:, i]) < abs(e.value)).mean()) for i, e in enumerate(found)]
            found = tuple(e.model_copy(update={"percentile": 100 * w}) for e, w in zip(found, weaker, strict=True))
        classes = token_moves.by_class(batch, after.exp() - before.exp())
        went = effects(list(classes), "class_prob", np.array(list(classes.values())), asked)
        moved = measurement("kl", numbers(divergence(before, after)), "nats", asked, "kl")
        top = numbers((before.argmax(-1) != after.argmax(-1)).double())
        unit = "log-probability, nats" if log else "probability"
        own = sum(e.percentile == 100.0 for e in found)
        text = (
            f"Without {done.name} ({self.method if self.sites else 'left out'}), {self.by} on {len(held)} prompts that "
        )
        text += f"the tokens were not chosen by (there: those that did): {listing(found[: len(up)], 'rose there')}; "
        text += f"{listing(found[len(up) :], 'fell there')}. "
        pool = of_layers(self.control_pool, others, lab.subject.sizes["n_layers"])
        alone = f"{own} of {len(found)} move more than under each of {len(others)} random removals{pool}. "
        text += alone if others else ""
        text += "Probability went: " + ", ".join(f"{e.site} {e.text}" for e in went) + "."
        # Per-prompt values are from the measured half, like the tokens' effects.
        return Result(
            measurements=(moved, share("top_token_changed", top, asked), questions_asked(half),
                          run.identity("tokens")),
            effects=(*found, *went),
            figures=(self.bars(lab, "tokens", f"Tokens without {done.name}", found, unit, len(held), DRAWN),
                     self.bars(lab, "classes", f"Where probability went without {done.name}", went, "probability",
                               self.n, len(went))),
            found=text,
            notes=(*run.failed("tokens"), *notes, *(() if others else unmatched(())), *few),
            doubts=lab.doubts(*self.draw),
            arrays={**per_prompt({metric: with_zero(change[:, held])}, half),
                    "mean_change": numbers(moves.mean(0)).astype("float32")},
        )  # fmt: skip

    def bars(self, lab: Lab, name: str, what: str, found: tuple[Effect, ...], unit: str, n: int, most: int) -> Figure:
        """A figure of the strongest, from the largest rise to the largest fall."""
        kept = sorted(sorted(found, key=lambda e: -abs(e.value))[:most], key=lambda e: -e.value)
        labels = [e.site.removeprefix("token ") for e in kept]
        data = {"labels": labels, "values": [e.value for e in kept], "low": [e.low for e in kept],
                "high": [e.high for e in kept]}  # fmt: skip
        title = f"{what}: {lab.subject.name}, {self.task}"
        return Figure(name=name, kind="layer_bars", title=title, unit=unit, n=n, data=data)


def named(texts: list[str], ids: list[int]) -> list[str]:
    """Site names for tokens, distinct even for tokens with the same text."""
    return [f"token {text!r}" + (f" #{i}" if texts.count(text) > 1 else "") for text, i in zip(texts, ids, strict=True)]


def listing(found: tuple[Effect, ...], way: str) -> str:
    return f"{way} " + (", ".join(f"{e.site.removeprefix('token ')} {e.text}" for e in found[:10]) or "none")


def random_others(
    sites: list[Site], sizes: Mapping[str, int], method: Method, seed: int, pool: Pool
) -> list[Intervention]:
    """20 different sets of as many other sites of the same parts; heads of the same layers, if there are enough."""
    import random

    from ..methods.control_sets import random_sets
    from ..methods.removal import removal
    from ..sites import sites_of

    if pool == "matched" or all(s.part == "z" for s in sites):
        return random_sets(sites, sizes, method, seed, DRAWS, pool)
    draw = random.Random(seed)
    parts: list[Part] = sorted({s.part for s in sites})
    free = {part: [s for s in sites_of(part, sizes) if s not in sites] for part in parts}
    count = {part: sum(s.part == part for s in sites) for part in parts}
    if any(len(free[part]) < count[part] for part in parts):
        return []
    sets: dict[frozenset[Site], None] = {}
    for _ in range(10 * DRAWS):
        if len(sets) < DRAWS:
            sets[frozenset(s for part in parts for s in draw.sample(free[part], count[part]))] = None
    return [removal(f"random {i}", sorted(taken, key=str), method) for i, taken in enumerate(sets)]
