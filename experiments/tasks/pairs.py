"""Which prompts of a draw can be used with a corrupted prompt: the task's own, or one made to change a named value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from ..errors import BadTask
from ..lab import Lab
from .batch import encode_answer
from .changed_values import ChangedValues
from .donors import LOOKED_AT
from .prompt import Prompt, Split
from .values import changes_only, values_of

# How many made corrupted prompts to try for one with as many tokens; and after how many prompts without any to stop.
TRIED = 50
HOPELESS = 100


@dataclass
class Pairs:
    """The prompts of a draw that can be used with their corrupted prompts; `chosen` is empty until there are n.

    values  for made ones: the values of the corrupted prompt, in the order of `chosen`
    passed  how many have no corrupted prompt that can be used; `others`: one that changes something else
    """

    one_length: bool
    n: int
    chosen: list[Prompt] = field(default_factory=list[Prompt])
    values: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])
    looked_at: int = 0
    passed: int = 0
    others: int = 0
    _groups: dict[tuple[str, int], list[tuple[Prompt, Mapping[str, str]]]] = field(
        default_factory=dict[tuple[str, int], list[tuple[Prompt, Mapping[str, str]]]]
    )

    def add(self, prompt: Prompt, length: int, values: Mapping[str, str] | None = None) -> bool:
        """Whether this completes n prompts."""
        key = (prompt.template or prompt.text, length) if self.one_length else ("", 0)
        group = self._groups.setdefault(key, [])
        group.append((prompt, values or {}))
        if len(group) < self.n:
            return False
        self.chosen = [one for one, _ in group]
        self.values = [each for _, each in group if each]
        return True

    @property
    def most(self) -> int:
        return max(map(len, self._groups.values()), default=0)


def own_pairs(lab: Lab, draw: tuple[int, Split, int], one_length: bool, value: str | None) -> Pairs:
    n, split, seed = draw
    found = Pairs(one_length, n)
    for prompt in islice(lab.task.source.stream(split, seed), LOOKED_AT):
        found.looked_at += 1
        if value is not None and prompt.corrupted is not None and not changes_only(prompt, value):
            found.others += 1
        elif (length := aligned(lab, prompt)) is None:
            found.passed += 1
        elif found.add(prompt, length):
            break
    return found


def made_pairs(lab: Lab, draw: tuple[int, Split, int], one_length: bool, value: str, most: int = LOOKED_AT) -> Pairs:
    n, split, seed = draw
    found, maker = Pairs(one_length, n), ChangedValues(lab.task.source, split, seed)
    for prompt in islice(lab.task.source.stream(split, seed), most):
        if found.looked_at == HOPELESS and not found.most:
            break
        found.looked_at += 1
        fitting = ((one, length, values) for one, values in islice(maker.changing(prompt, value), TRIED)
                   if (length := aligned(lab, one)) is not None)  # fmt: skip
        first = next(fitting, None)
        if first is None:
            found.passed += 1
        elif found.add(*first):
            break
    return found


def too_few(lab: Lab, draw: tuple[int, Split, int], found: Pairs, one_length: bool, value: str | None) -> str:
    of = f"the {draw[0]} prompts of {lab.task.name}"
    kind = f"{' and one template and length' if one_length else ''}"
    other = f"; {found.others} change something other than {value}" if found.others else ""
    counted = f"({found.passed} of {found.looked_at} have none{other})"
    said = f"Only {found.most} of {of} have a corrupted prompt with as many tokens{kind} {counted}. "
    if found.most:
        return f"{said}Use n of at most {found.most}."
    if value is None:
        return f"{said}Use a task that has corrupted prompts, such as ioi."
    return f"No corrupted prompt of {lab.task.name} can change {value}. " + changeable(lab, draw)


def changeable(lab: Lab, draw: tuple[int, Split, int]) -> str:
    """A sentence with the values that corrupted prompts can change."""
    _, split, seed = draw
    known = dict.fromkeys(name for p in islice(lab.task.source.stream(split, seed), HOPELESS) for name in values_of(p))
    can = [name for name in known if own_pairs(lab, (1, split, seed), False, name).chosen
           or made_pairs(lab, (1, split, seed), False, name).chosen]  # fmt: skip
    return f"It can change {', '.join(can)}." if can else "It can change no value; use another task."


def rival(prompt: Prompt) -> str | None:
    """The answer to compare with: the corrupted prompt's answer, or the distractor."""
    return prompt.corrupted_answer if prompt.corrupted_answer is not None else prompt.distractor


def aligned(lab: Lab, prompt: Prompt, text: str | None = None) -> int | None:
    """The number of tokens of the prompt and its corrupted prompt (or another text); None if they differ."""
    text, wrong, tokens = text or prompt.corrupted, rival(prompt), lab.subject.tokenizer
    if text is None or wrong is None:
        return None
    try:
        heads, answers, _ = zip(*(encode_answer(tokens, t, prompt.answer) for t in (prompt.text, text)), strict=True)
        wrongs = [encode_answer(tokens, t, wrong)[1] for t in (prompt.text, text)]
    except BadTask:
        return None
    same = len(heads[0]) == len(heads[1]) and answers[0] == answers[1] and wrongs[0] == wrongs[1]
    differs = any(a != b for a, b in zip(answers[0], wrongs[0], strict=False))
    return len(heads[0]) if same and differs and heads[0] != heads[1] else None
