"""`does`: the intact model says the answer of a task, or prefers it to a wrong one, more often than chance."""

from __future__ import annotations

from typing import ClassVar

from ....experiments.answers.chance import LEVEL
from ....experiments.statistics.p_values import p_text
from ...report.numbers import number, value_text
from ...report.study import Study
from ..by_reading import SUFFIX
from ..claim import Claim, Evidence, Finding, Verdict
from ..counted import counted

_SHARES = (
    ("accuracy", "chance", "says the answer"),
    ("prefers_answer", "prefers_chance", "prefers the answer to a wrong one"),
)


class Does(Claim):
    """The intact model does the task: it says the answer, or prefers it to a wrong one, more often than chance (exact
    test). From baselines."""

    type: ClassVar[str] = "does"

    @property
    def question(self) -> str:
        return f"Can the model do {self.task}?"

    def judge(self, study: Study) -> Finding:
        rows = counted(study, self.task, ["baseline"])
        if not rows:
            said = f"Whether the intact model can do {self.task} was not tested."
            return Finding(claim=self, verdict="untested", sentence=said, because="There is no baseline.")
        row = next((one for one in rows if one.split == "confirm"), rows[0])
        found = {one.name: one for one in row.measurements}
        shown: list[str] = []
        lacking: list[str] = []
        for name, chance, does in _SHARES:
            if name in found:
                one, p = found[name], found.get(f"{name}_p")
                by_chance = found[chance].value if chance in found else None
                able = p is not None and p.value < LEVEL
                text = value_text(one.value, one.low, one.high, n=one.n)
                text += f", chance {number(by_chance)}" if by_chance is not None else ""
                text += f", p {p_text(p.value)}" if p is not None else ""
                (shown if able else lacking).append(f"{does} ({text})")
        held_out = row.split == "confirm"
        verdict: Verdict = ("confirmed" if held_out else "seen") if shown else "undecided"
        evidence = (Evidence(experiment=row.id, held_out=held_out, text="; ".join((*shown, *lacking)),
                             says="for" if shown else "open"),)  # fmt: skip
        if shown:
            sentence = f"The intact model can do {self.task} ({SUFFIX[verdict]})."
            because = f"In {row.id} it {' and '.join(shown)}, more often than chance."
        else:
            sentence = f"It is not shown that the intact model can do {self.task}."
            because = f"In {row.id} it {' and '.join(lacking)}, which may be chance (p must be below {LEVEL:g})."
        against = (
            (f"It is not shown that it {' and '.join(lacking)}: p must be below {LEVEL:g}.",)
            if shown and lacking
            else ()
        )
        return Finding(claim=self, verdict=verdict, sentence=sentence, because=because, evidence=evidence,
                       against=against)  # fmt: skip
