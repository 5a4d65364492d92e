"""Everything that one report may cite: a run, its experiments and its hypotheses, read from the tracker once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import Circuit, Experiment, Family, Hypothesis, Report, Run
from ..evidence.ledger import Key, corrected
from ..evidence.verdict import Verdicts, verdicts
from .escape import visible

T = TypeVar("T")


@dataclass(frozen=True)
class Study:
    """A run at the time it was read; experiments and hypotheses by their ids.

    q         of each effect, over all comparisons of the run
    families  the comparisons in the whole tracker up to the time of the report
    artifact  the bytes of an experiment's artifact, by its id and name
    report    what its writer submitted (source, claims), if anything
    refused   the refused drafts of its report, and the hypotheses refused for a bound that cannot fail: the raw
              arguments of each call
    relatives  how many predictions each run that shares its beginning had tested by the time of the report
    elsewhere  the owner ("of R1") of each id that its hypotheses mention and that is not its own
    reviews   the second opinions on it that have ended
    reviewed  the study that it is a second opinion on, at the time the review began
    circuits  the circuits that its experiments found, by their ids
    """

    run: Run
    experiments: dict[str, Experiment]
    hypotheses: dict[str, Hypothesis]
    verdicts: Verdicts
    q: dict[Key, float]
    families: list[Family]
    artifact: Callable[[str, str], bytes]
    report: Report | None = None
    refused: Callable[[], Mapping[str, Sequence[str]]] = lambda: {"drafts": (), "bounds": ()}
    relatives: Mapping[str, int] = field(default_factory=dict[str, int])
    elsewhere: Mapping[str, str] = field(default_factory=dict[str, str])
    reviews: tuple[Study, ...] = ()
    reviewed: Study | None = None
    circuits: Mapping[str, Circuit] = field(default_factory=dict[str, Circuit])

    @property
    def finished(self) -> list[str]:
        return [one for one, row in self.experiments.items() if row.status == "done"]


def read_study(reader: Reader, run: int, reviews: Sequence[int] | None = None) -> Study:
    """Everything that the report of this run uses, with these reviews, or all.

    Raises NoSuchId when there is no such run.
    """
    study = _read(reader, run)
    if study.run.reviews is not None:
        return _with_reviewed(reader, study)
    there = reader.reviews_of(run)
    read = [_with_reviewed(reader, _read(reader, one)) for one in there if reviews is None or one in reviews]
    return replace(study, reviews=tuple(one for one in read if one.run.status != "running"))


def _with_reviewed(reader: Reader, review: Study) -> Study:
    assert review.run.reviews is not None
    reviewed = _read(reader, parse_id(review.run.reviews)[1], until=review.run.started)
    return replace(review, reviewed=reviewed)


def _read(reader: Reader, run: int, until: str | None = None) -> Study:
    row = _visible(reader.run(run))
    experiments = [_visible(reader.experiment(int(one.id[1:]))) for one in row.experiments]
    circuits = [_visible(circuit) for one in experiments for circuit in reader.circuits_of(int(one.id[1:]))]
    report = reader.latest_report(run, until)
    written = report.created if report else None
    return Study(
        run=row,
        experiments={one.id: one for one in experiments},
        hypotheses={one.id: one for one in row.hypotheses},
        verdicts=verdicts(row.hypotheses),
        q=corrected(experiments),
        families=_visible(reader.ledger(until=written)),
        artifact=lambda experiment, name: reader.artifact(parse_id(experiment)[1], name),
        report=_visible(report),
        refused=lambda: _refused(reader, run),
        relatives={one.run: one.tests for one in reader.tested_by_relatives(run, written)},
        circuits={one.id: one for one in circuits},
        elsewhere=_elsewhere(reader, row, {one.id for one in (*experiments, *row.hypotheses)}),
    )


def _refused(reader: Reader, run: int) -> dict[str, list[str]]:
    turns: list[Mapping[str, Any]] = [turn.content for turn in reader.turns(run)]
    calls = {call["id"]: call for said in turns for call in said.get("calls", ())}
    # A refusal has a code. Logs from before there were codes do not distinguish refusals from other answers.
    refused = [
        (calls[said["call_id"]], said["code"]) for said in turns if said.get("code") and said.get("call_id") in calls
    ]
    return {
        "drafts": [call["arguments"] for call, _ in refused if call["name"] == "write_report"],
        "bounds": [call["arguments"] for call, code in refused
                   if call["name"] == "propose_hypothesis" and code == "cannot_fail"],
    }  # fmt: skip


def _elsewhere(reader: Reader, run: Run, own: set[str]) -> dict[str, str]:
    spoken_of = {one for h in run.hypotheses for event in h.events for one in event.experiments}
    spoken_of |= {h.revises for h in run.hypotheses if h.revises}
    whose = {one: reader.run_of(*parse_id(one)) for one in sorted(spoken_of - own)}
    return {one: f"of {run}" if run else "by hand" for one, run in whose.items()}


def _visible(value: T) -> T:
    """The same data with every text in it made visible, so later steps only need to escape it."""
    return _seen(value)


def _seen(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {_seen(key): _seen(one) for key, one in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        told = cast("Sequence[Any]", value)
        seen = [_seen(one) for one in told]
        # A record stays a record.
        return type(told)(*seen) if hasattr(told, "_fields") else seen
    return value
