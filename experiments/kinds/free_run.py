"""Run the model on any texts, token ids or random tokens, without a task."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from ..errors import BadConfiguration
from ..experiment import Experiment, Whole
from ..questions import WITHOUT_A_TASK
from ..result import Effect, Measurement, Result, Sample

if TYPE_CHECKING:
    from ..lab import Lab
    from ..methods.free_run import Table
    from ..tasks.task import Task

# Lines of the table in the text of a result; the arrays have all.
LINES, TOKENS_SHOWN, LONGEST = 40, 48, 16
MOST = 64


class FreeRun(Experiment):
    """What does the model say next on texts or tokens of my own, and what changes its prediction on random tokens?

    Needs no task: a first look at an unknown model. With `texts` or `tokens`: the `top` next tokens at `positions`, and
    `continue_by` more tokens. effect[T0@3 ' the'] is the probability of ' the' after token 3 of the first text (from 0;
    kept for the last of the positions). With `probe` random: how far changes of `n` random sequences move the
    prediction after their last token. effect[permuted, kl]: all but the last token reordered; shifted: each token one
    position later, none added; lengthened: one more random token in front; replaced t3: another token at position 3;
    another sequence: the scale. Also as top_changed, the share whose most likely token changes. effect[t3, copied]: the
    share whose most likely token is the one at position 3; top_follows_repeat: is one that followed an earlier
    occurrence of the last token (draw from few tokens with `among`). Predictions can be tested on random sequences
    only; each test draws new ones. Cheap.
    """

    kind: ClassVar[str] = "free_run"
    question: ClassVar[str] = WITHOUT_A_TASK

    texts: Annotated[
        list[str] | None, Whole(), Field(description="Texts to run, at most 64. Null with tokens or probe.")
    ] = None
    tokens: Annotated[
        list[list[int]] | None,
        Field(description="Instead of texts: sequences of token ids, exactly as given, without a BOS."),
    ] = None
    top: Annotated[int, Field(ge=1, le=50, description="How many next tokens to show at each position.")] = 5
    positions: Annotated[
        str,
        Field(description='Where to show the next tokens: last, all, or token positions such as "0, 3, -1".'),
    ] = "last"
    continue_by: Annotated[int, Field(ge=0, le=256, description="How many tokens to add to each text.")] = 0
    temperature: Annotated[
        float, Field(ge=0, le=10, description="0: add the most likely tokens. Otherwise draw them, with the seed.")
    ] = 0.0
    probe: Annotated[
        Literal["random"] | None, Field(description="random: run random token sequences. Null: only texts or tokens.")
    ] = None
    length: Annotated[int, Field(ge=1, le=256, description="For probe: tokens in each random sequence.")] = 8
    among: Annotated[
        list[int] | None, Field(description="For probe: draw from these token ids. Null: all ordinary tokens.")
    ] = None

    @field_validator("positions", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        """A list of positions is as good as their text."""
        return ", ".join(map(str, given)) if isinstance(given, list) else given

    @property
    def asks(self) -> bool:
        return False

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        """Runs no prompts of the task."""
        given = [name for name in ("texts", "tokens", "probe") if getattr(self, name) is not None]
        if len(given) != 1:
            raise BadConfiguration('Give one of texts, tokens and probe ("random").')
        rows = self.texts if self.texts is not None else self.tokens
        if rows is not None and not 0 < len(rows) <= MOST:
            raise BadConfiguration(f"Give between 1 and {MOST} texts or sequences of tokens.")
        if rows is not None and not all(rows):
            raise BadConfiguration("A text or sequence is empty. Leave it out.")
        if self.probe is not None and (self.continue_by or self.temperature):
            raise BadConfiguration("Random sequences are not continued. Leave out continue_by and temperature.")
        if self.temperature and not self.continue_by:
            raise BadConfiguration("A temperature needs continue_by. Give it, or leave out temperature.")
        if self.among is not None and (self.probe is None or len(set(self.among)) < 2):
            raise BadConfiguration("among names at least two token ids to draw from, with probe.")
        self.chosen(10**9)
        if "vocabulary" in sizes:
            self.require_tokens(sizes["vocabulary"])

    def require_tokens(self, vocabulary: int) -> None:
        named = [*(self.among or ()), *(token for row in self.tokens or () for token in row)]
        if wrong := [token for token in named if not 0 <= token < vocabulary]:
            raise BadConfiguration(f"There is no token {wrong[0]}. This model has {vocabulary}, 0 to {vocabulary - 1}.")

    def chosen(self, length: int) -> list[int]:
        """The positions to show in a sequence of this length, from 0. Raises BadConfiguration if one does not exist."""
        if self.positions in ("last", "all"):
            return [length - 1] if self.positions == "last" else list(range(min(length, 10**5)))
        pieces = [piece.strip() for piece in self.positions.split(",")]
        if not all(re.fullmatch(r"-?\d{1,6}", piece) for piece in pieces):
            raise BadConfiguration(f"positions must be last, all, or numbers such as 0, 3, -1, not '{self.positions}'.")
        found = [int(piece) for piece in pieces]
        if wrong := [at for at in found if not -length <= at < length]:
            raise BadConfiguration(f"A sequence of {length} tokens has no position {wrong[0]}. Use {-length} to "
                                   f"{length - 1}, or last.")  # fmt: skip
        return sorted({at % length for at in found})

    def run(self, lab: Lab) -> Result:
        self.require_tokens(lab.subject.anatomy.vocabulary)
        return self.probed(lab) if self.probe is not None else self.shown(lab)

    # --- texts and tokens ---------------------------------------------------------------------------------------

    def shown(self, lab: Lab) -> Result:
        """Next-token tables and continuations."""
        import numpy as np

        from ..methods.free_run import continuations, tables
        from ..model.encoding import encode
        from ..model.room import require_room
        from ..tasks.tokens import token_text

        tokenizer = lab.subject.tokenizer
        rows = self.tokens if self.texts is None else [encode(tokenizer, text)[0] for text in self.texts]
        assert rows is not None
        chosen = [self.chosen(len(row)) for row in rows]
        for row in rows:
            require_room(lab.subject.model, len(row), self.continue_by)
        top = min(self.top, lab.subject.anatomy.vocabulary)
        found = tables(lab, rows, top)
        more = continuations(lab, rows, self.continue_by, self.temperature, self.seed) if self.continue_by else []

        def text(token: int) -> str:
            return quoted(token_text(tokenizer, token))

        lines: list[str] = []
        effects: list[Effect] = []
        for i, (row, table) in enumerate(zip(rows, found, strict=True)):
            lines.append(f"T{i} = {' '.join(f'{at}:{text(token)}' for at, token in enumerate(row[:TOKENS_SHOWN]))}"
                         f"{f' ... ({len(row)} tokens)' if len(row) > TOKENS_SHOWN else ''}")  # fmt: skip
            lines += [f"  after {at} {text(row[at])}: {following(table, at, text)}" for at in chosen[i]]
            if more:
                how = "greedy" if self.temperature == 0 else f"temperature {self.temperature:g}"
                lines.append(f"  continues ({how}): {quoted(tokenizer.decode(more[i]), 400)} = {ids(more[i])}")
            effects += top_effects(i, chosen[i][-1], table, lambda token: token_text(tokenizer, token))
        said = [Sample(prompt=(self.texts[i] if self.texts else tokenizer.decode(row))[:500], expected="",
                       said=tokenizer.decode(more[i])) for i, row in enumerate(rows)] if more else []  # fmt: skip
        entropies = [Measurement(name=f"entropy[T{i}@{chosen[i][-1]}]", value=table.entropy[chosen[i][-1]], unit="nats")
                     for i, table in enumerate(found)]  # fmt: skip
        arrays: dict[str, Any] = {}
        for i, (row, table) in enumerate(zip(rows, found, strict=True)):
            arrays |= {f"T{i}_ids": np.array(row), f"T{i}_next": np.array(table.token),
                       f"T{i}_prob": np.array(table.prob, dtype=np.float32)}  # fmt: skip
            arrays |= {f"T{i}_continued": np.array(more[i])} if more else {}
        return Result(
            measurements=(Measurement(name="questions", value=1), *entropies),
            effects=tuple(effects),
            samples=tuple(said),
            found=f"The {top} most likely next tokens with their probabilities, of {lab.subject.name}.\n"
            + shortened(lines),
            arrays=arrays,
        )

    # --- random tokens ------------------------------------------------------------------------------------------

    def probed(self, lab: Lab) -> Result:
        """What changes the prediction after random sequences."""
        from ..lab import numbers
        from ..methods.detectors import ordinary_tokens
        from ..methods.free_run import effects_of_changes, predictions, probes
        from ..model.encoding import around
        from ..model.room import require_room
        from ..statistics.intervals import questions_asked, share, untested
        from ..tasks.tokens import token_text

        among = ordinary_tokens(lab.subject) if self.among is None else sorted(set(self.among))
        front = around(lab.subject.tokenizer).front
        require_room(lab.subject.model, len(front) + self.length, 1)
        given = probes(front, among, self.n, self.length, f"free run {self.split} {self.seed}")
        intact = predictions(lab, given)
        measured = {change: {name: numbers(v) for name, v in values.items()}
                    for change, values in effects_of_changes(lab, given, intact).items()}  # fmt: skip
        asked = [str(row) for row in given.rows]
        kl = [untested([change], "kl", values["kl"][None], asked)[0] for change, values in measured.items()]
        changed = [as_effect(change, "top_changed", values["top_changed"], asked)
                   for change, values in measured.items()]  # fmt: skip
        tops = [int(token) for token in intact.argmax(-1).tolist()]
        pairs = list(zip(given.rows, tops, strict=True))
        copied = [as_effect(f"t{i}", "copied", [float(row[i] == top) for row, top in pairs], asked)
                  for i in range(self.length)]  # fmt: skip
        inside = share("top_in_sequence", as_array([float(top in row) for row, top in pairs]), asked)
        repeats = [(followers(row), top) for row, top in pairs if row[-1] in row[:-1]]
        after = (
            [share("top_follows_repeat", as_array([float(top in them) for them, top in repeats]))] if repeats else []
        )
        guess = float(as_array([len(them) / len(among) for them, _ in repeats]).mean()) if repeats else 0.0
        (usual, times), entropy = Counter(tops).most_common(1)[0], -(intact.exp() * intact).sum(-1)
        most = share("commonest_top", as_array([float(top == usual) for top in tops]), asked)
        named = quoted(token_text(lab.subject.tokenizer, usual))
        by_name = {effect.site: effect for effect in kl}
        flips = {effect.site: effect for effect in changed}
        whole = [name for name in by_name if not name.startswith("replaced")]
        replaced = [name for name in by_name if name.startswith("replaced")]
        lines = [
            f"{self.n} random sequences of {self.length} of {len(among):,} tokens"
            f"{f', each after {len(front)} that the tokenizer adds' if front else ''}. What moves the prediction after "
            "the last token: KL in nats with its interval, and the share whose most likely token changes.",
            *(f"{name}: KL {by_name[name].value:.3g} [{by_name[name].low:.3g}, {by_name[name].high:.3g}], "
              f"top changed {flips[name].value:.2f}" for name in whole),
            f"replaced t0 to t{self.length - 1}, KL: {' '.join(f'{by_name[name].value:.2g}' for name in replaced)}",
            f"  top changed: {' '.join(f'{flips[name].value:.2f}' for name in replaced)}",
            f"top token is the one at t0 to t{self.length - 1}: {' '.join(f'{e.value:.2f}' for e in copied)}",
            *(f"Of {one.n} sequences whose last token occurs earlier, the top token followed it there: {one.text} "
              f"(a random one of the drawn tokens: {guess:.2f})." for one in after),
            f"Top token among those of the sequence: {inside.text}. Commonest top token: {named}, {times} of {self.n}. "
            f"Mean entropy {float(entropy.mean()):.3g} nats.",
        ]  # fmt: skip
        return Result(
            measurements=(
                questions_asked(asked), inside, most, *after,
                Measurement(name="entropy", value=float(entropy.mean()), n=self.n, unit="nats"),
            ),
            effects=(*kl, *changed, *copied),
            found="\n".join(lines),
            arrays={f"kl_{change.replace(' ', '_')}": values["kl"] for change, values in measured.items()}
            | {"sequences": as_array(given.rows).astype(int)},
        )  # fmt: skip


def followers(row: Sequence[int]) -> set[int]:
    """The tokens that followed earlier occurrences of the last token of a sequence."""
    return {after for token, after in pairwise(row) if token == row[-1]}


def as_array(values: Sequence[Any]) -> Any:
    import numpy as np

    return np.array(values, dtype=float)


def as_effect(site: str, metric: str, values: Any, asked: Sequence[str]) -> Effect:
    """The share of ones among values [sequence], at a site."""
    from ..statistics.intervals import share

    found = share(metric, as_array(values), asked)
    return Effect(site=site, metric=metric, value=found.value, low=found.low or 0.0, high=found.high or 0.0,
                  n=len(values))  # fmt: skip


def top_effects(i: int, at: int, table: Table, text: Callable[[int], str]) -> list[Effect]:
    """The probabilities of the top tokens at a position of text i. Tokens that look alike have their ids, too."""
    named = [text(token) for token in table.token[at]]
    sites = [f"T{i}@{at} {name!r}{f' {token}' if named.count(name) > 1 else ''}"
             for name, token in zip(named, table.token[at], strict=True)]  # fmt: skip
    return [Effect(site=site, metric="prob", value=p, low=p, high=p, n=1)
            for site, p in zip(sites, table.prob[at], strict=True)]  # fmt: skip


def quoted(text: str, most: int = LONGEST) -> str:
    """What a subject reads or says is data: quoted, escaped and cut."""
    return json.dumps(text if len(text) <= most else text[:most] + "…", ensure_ascii=True)


def ids(row: Sequence[int]) -> str:
    return " ".join(map(str, row[:TOKENS_SHOWN])) + (" ..." if len(row) > TOKENS_SHOWN else "")


def following(table: Table, at: int, text: Callable[[int], str]) -> str:
    listed = ", ".join(f"{text(t)} {p:.3g}" for t, p in zip(table.token[at], table.prob[at], strict=True))
    return f"{listed}; entropy {table.entropy[at]:.2f}"


def shortened(lines: list[str]) -> str:
    rest = len(lines) - LINES
    return "\n".join([*lines[:LINES], *([f"({rest} more lines; name fewer texts or positions)"] if rest > 0 else [])])
