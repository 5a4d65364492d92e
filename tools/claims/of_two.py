"""Claims about one effect in two experiments, paired by prompt: their difference and their ratio."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ...db.records import Experiment as Row
from ...experiments.prediction import p_of_bound
from ..evidence.conditions import Bound, NoCondition, parse_bound
from ..evidence.pairing import same_prompts
from ..evidence.quantity import NoQuantity, asked_questions, changes_by_prompt, find_effect
from ..evidence.verdict import ALPHA
from ..report.numbers import value_text
from ..report.study import Study
from .by_reading import NOT_TESTED, SUFFIX
from .by_removal import Answer
from .claim import CannotClaim, Claim, Evidence, Finding, Verdict
from .counted import finished
from .removals import corrected

_ID = r"^E\d{1,18}$"


class OfTwoExperiments(Claim):
    """One effect in an experiment, compared with the same effect in another on the same prompts."""

    # The words of the comparison, between the two experiments.
    reads: ClassVar[str]

    of: Annotated[str, Field(pattern=_ID, description="The experiment: E5.")]
    at: Annotated[str, Field(pattern=_ID, description="The one that it is compared with: E3.")]
    bound: Annotated[str, Field(min_length=1, description="effect[L7.H3] < -0.1, of what is compared.")]

    @property
    def question(self) -> str:
        return f"Is {self.bound}, in {self.of} {self.reads} {self.at}?"

    def compared(self, changes: Any, others: Any, asked: list[str]) -> tuple[float, float, float]:
        """changes, others [n] by prompt -> the value, low and high. Raises CannotClaim if there is no such value."""
        raise NotImplementedError

    def judge(self, study: Study) -> Finding:
        bound = _bound(self.type, self.bound)
        site, metric = str(bound.quantity.first.site), bound.quantity.first.metric
        one, other = (finished(study, name) for name in (self.of, self.at))
        value, low, high = self.compared(*_paired(study, one, other, site, metric))
        held_out = {one.split, other.split} == {"confirm"}
        ends = [at for at in (bound.low, bound.high) if at is not None]
        if held_out:
            worst = max(p_of_bound(value, low, high, at, asked_questions(one)) for at in ends)
            shown = corrected(study, self.of, worst) < ALPHA
        else:
            shown = all(not low <= at <= high for at in ends)
        inside = (bound.low is None or value > bound.low) and (bound.high is None or value < bound.high)
        says: Answer = "open" if not shown else "for" if inside else "against"
        verdict: Verdict = (
            "undecided" if says == "open" or (says == "against" and not held_out)
            else "refuted" if says == "against" else "supported" if held_out else "seen"
        )  # fmt: skip
        text = value_text(value, low, high, n=one.n or 0)
        where = "held-out prompts" if held_out else "the prompts to explore"
        lies = {"for": "is", "against": "is not", "open": "is not shown to be"}[says]
        tested = NOT_TESTED if says == "against" and not held_out else SUFFIX[verdict]
        sentence = (
            f"{bound.quantity.text} in {self.of} ({one.kind} on {one.task}) {self.reads} {self.at} ({other.kind} on "
            f"{other.task}) {lies} {bound.there} ({tested})."
        )
        because = f"It is {text}, paired by prompt on {where}; the bound was set afterwards."
        evidence = Evidence(experiment=self.of, held_out=held_out, text=f"{self.reads} {self.at}: {text}", says=says)
        return Finding(claim=self, verdict=verdict, sentence=sentence, because=because, evidence=(evidence,))


def _bound(type_: str, text: str) -> Bound:
    """The bound on one effect. Raises CannotClaim for anything else."""
    try:
        bound = parse_bound(text)
    except (NoCondition, NoQuantity) as fault:
        raise CannotClaim(str(fault)) from fault
    if bound.quantity.second is not None or bound.quantity.first.name != "effect" or not bound.quantity.first.site:
        raise CannotClaim(f"{type_}: {bound.quantity.text} is not one effect; write effect[L7.H3] < -0.1.")
    return bound


def _paired(study: Study, one: Row, other: Row, site: str, metric: str | None) -> tuple[Any, Any, list[str]]:
    """The changes at a site in both, prompt by prompt, and the question of each prompt. Raises CannotClaim if the two
    asked different prompts, or did not keep the values of the prompts."""
    kept: list[tuple[str, Any, list[str]]] = []
    for row in (one, other):
        try:
            effect = find_effect(row, site, metric)[0]
        except NoQuantity as fault:
            raise CannotClaim(f"{row.id}: {fault}") from fault
        values = changes_by_prompt(row, effect.metric, lambda name, of=row.id: study.artifact(of, name))
        if values is None:
            raise CannotClaim(f"{row.id} kept no values of single prompts, so there is nothing to pair.")
        sites, changes, asked = values
        kept.append((effect.metric, changes[sites.index(effect.site)], asked))
    (metric_of_one, a, asked), (metric_of_other, b, asked_too) = kept
    same = same_prompts(one, other, partial(study.artifact, one.id), partial(study.artifact, other.id))
    if metric_of_one != metric_of_other or asked != asked_too or not same:
        raise CannotClaim(
            f"{one.id} and {other.id} did not measure the same on the same prompts; use the same task, metric, n, "
            "split and seed."
        )
    return a, b, asked
