"""The differences between two experiments or two runs, read from the tracker; nothing runs.

Two numbers appear side by side with their intervals. Whether these overlap says little about the difference itself (two
intervals may overlap although the difference is certain). If both experiments asked the same prompts of the same task,
the difference is computed prompt by prompt and has its own interval.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import Effect, Experiment, Json, Measurement, Run
from ..claims.call import read_claim
from ..evidence.pairing import same_prompts
from ..evidence.verdict import said, spoken, verdicts


class Setting(NamedTuple):
    """A setting that differs, by its name; None for the one that has no such setting."""

    name: str
    values: list[Any]


class Value(NamedTuple):
    """A number of one of the two, or a difference computed prompt by prompt."""

    value: float
    low: float | None
    high: float | None
    n: int | None


class Pair(NamedTuple):
    """A number that at least one of them has, by its name. `overlap`: whether the intervals overlap; `paired`: the
    difference prompt by prompt."""

    name: str
    values: list[Value | None]
    difference: float | None
    overlap: bool | None
    paired: Value | None


class ExperimentDifference(NamedTuple):
    ids: list[str]
    status: list[str]
    settings: list[Setting]
    same_prompts: bool
    measurements: list[Pair]
    effects: list[Pair]
    found: list[str | None]


class Step(NamedTuple):
    """A reply: its text (`said`), and its calls with their arguments, without the reasons (`does`)."""

    step: int
    said: str
    does: list[list[Any]]


class Alone(NamedTuple):
    """An experiment that only one of the runs has."""

    id: str
    kind: str
    found: str | None


class ExperimentsBeside(NamedTuple):
    both: list[list[str]]
    alone: list[list[Alone]]


class Said(NamedTuple):
    id: str
    verdict: str


class HypothesesBeside(NamedTuple):
    """A hypothesis, and its verdict in each run that proposed it."""

    statement: str
    verdicts: list[Said | None]


class ClaimBeside(NamedTuple):
    """A finding, and whether each report has it."""

    sentence: str
    in_: list[bool]


class RunDifference(NamedTuple):
    ids: list[str]
    settings: list[Setting]
    forked: str | None
    same_steps: int
    steps: list[list[Step]]
    experiments: ExperimentsBeside
    hypotheses: list[HypothesesBeside]
    claims: list[ClaimBeside]


def experiment_difference(reader: Reader, one: int, other: int) -> ExperimentDifference:
    """The settings that differ, whether both asked the same prompts, and every number that either has."""
    a, b = reader.experiment(one), reader.experiment(other)
    same = same_prompts(a, b, lambda name: reader.artifact(one, name), lambda name: reader.artifact(other, name))
    kept = paired(reader, a, b) if same else {}
    return ExperimentDifference(
        ids=[a.id, b.id],
        status=[a.status, b.status],
        settings=setting_differences(settings(a), settings(b)),
        same_prompts=same,
        measurements=numbers({m.name: m for m in a.measurements}, {m.name: m for m in b.measurements}, {}),
        effects=numbers(by_place(a.effects), by_place(b.effects), kept),
        found=[a.found or a.error, b.found or b.error],
    )


def settings(row: Experiment) -> Json:
    about = {"subject": f"{row.subject.name} {row.subject.fingerprint[:12]}", "code": row.code_version}
    packages: Json = row.environment.get("packages") or {}
    versions = {f"package {name}": version for name, version in packages.items()}
    task = {"task version": (row.task_fingerprint or "")[:12]}
    return {"kind": row.kind, **row.config, **about, **task, **versions}


def setting_differences(was: Json, now: Json) -> list[Setting]:
    """The settings that differ."""
    names = dict.fromkeys([*was, *now])
    return [Setting(k, [was.get(k), now.get(k)]) for k in names if was.get(k) != now.get(k)]


def by_place(effects: Sequence[Effect]) -> dict[str, Effect]:
    return {f"{effect.site} {effect.metric}": effect for effect in effects}


def numbers(
    before: Mapping[str, Measurement | Effect], after: Mapping[str, Measurement | Effect], kept: Mapping[str, Value]
) -> list[Pair]:
    """The numbers that either has, in order, with the difference if both have it."""
    found: list[Pair] = []
    for name in dict.fromkeys([*before, *after]):
        a, b = before.get(name), after.get(name)
        pair = Pair(name, [value(a), value(b)], None, None, None)
        if a is not None and b is not None:
            pair = pair._replace(difference=b.value - a.value, paired=kept.get(name))
            if a.low is not None and a.high is not None and b.low is not None and b.high is not None:
                pair = pair._replace(overlap=a.low <= b.high and b.low <= a.high)
        found.append(pair)
    return found


def value(row: Measurement | Effect | None) -> Value | None:
    return None if row is None else Value(row.value, row.low, row.high, row.n)


def paired(reader: Reader, a: Experiment, b: Experiment) -> dict[str, Value]:
    """By site and metric: the second change minus the first, prompt by prompt, with its interval. Only if the values of
    the prompts were kept, and the prompts ask the same questions."""
    from ...experiments.statistics.skewed import mean_interval

    first, second = (changes(reader, one) for one in (a, b))
    found: dict[str, Value] = {}
    for name in first.keys() & second.keys():
        (one, asked), (other, asked_too) = first[name], second[name]
        if asked == asked_too and len(one) == len(other):
            value, low, high = mean_interval(other - one, asked)
            found[name] = Value(float(value), float(low), float(high), len(asked))
    return found


def changes(reader: Reader, row: Experiment) -> dict[str, tuple[Any, list[str]]]:
    """By site and metric, the changes [n] prompt by prompt and the question that each prompt asks."""
    import numpy as np

    names, number = {one.name for one in row.artifacts}, parse_id(row.id)[1]
    found: dict[str, tuple[Any, list[str]]] = {}
    for metric in dict.fromkeys(effect.metric for effect in row.effects):
        if not {metric, "questions"} <= names:
            continue
        values, asked = (np.load(io.BytesIO(reader.artifact(number, name)), allow_pickle=False)
                         for name in (metric, "questions"))  # fmt: skip
        sites = [effect.site for effect in row.effects if effect.metric == metric]
        if len(values) == 1 + len(sites):
            moved = values[1:].astype(float) - values[0].astype(float)
            found |= {f"{s} {metric}": (v, [str(q) for q in asked]) for s, v in zip(sites, moved, strict=True)}
    return found


def run_difference(reader: Reader, one: int, other: int) -> RunDifference:
    """The settings of two runs, their steps until they diverge and after, their experiments and their conclusions."""
    a, b = reader.run(one), reader.run(other)
    paths = [steps(reader, one), steps(reader, other)]
    same = next((i for i, (x, y) in enumerate(zip(*paths, strict=False)) if x.does != y.does), min(map(len, paths)))
    return RunDifference(
        ids=[a.id, b.id],
        settings=setting_differences(about(a), about(b)),
        forked=next((f"{x.id} was forked from {y.id} at step {x.forked_at}"
                     for x, y in ((a, b), (b, a)) if x.parent == y.id), None),
        same_steps=same,
        steps=[path[same:] for path in paths],
        experiments=experiments_beside(reader, a, b),
        hypotheses=hypotheses_beside(reader, one, other),
        claims=claims_beside(reader, one, other),
    )  # fmt: skip


def about(row: Run) -> Json:
    return {
        "goal": row.goal, "driver": row.driver, "llm": row.llm, "model": row.model, "task": row.task,
        "reviews": row.reviews, "status": row.status, "error": row.error,
        **{f"budget {name}": value for name, value in row.budget.items()},
        **{f"spent {name}": value for name, value in row.spent.items()},
    }  # fmt: skip


def steps(reader: Reader, run: int) -> list[Step]:
    """Every reply of a run."""
    return [
        Step(turn.step, turn.content["text"], [[c["name"], arguments(c["arguments"])] for c in turn.content["calls"]])
        for turn in reader.turns(run)
        if turn.role == "assistant"
    ]


def arguments(text: str) -> Any:
    try:
        given = json.loads(text)
    except ValueError:
        return text
    if not isinstance(given, dict):
        return given
    told = cast("dict[str, Any]", given)
    return {name: value for name, value in told.items() if name != "reason" and value is not None}


def experiments_beside(reader: Reader, a: Run, b: Run) -> ExperimentsBeside:
    """The experiments that both have (the same one, or one with the same configuration), and those of only one."""
    asked = [{reader.experiment(parse_id(e.id)[1]).config_hash: e for e in row.experiments} for row in (a, b)]
    both = [[x.id, asked[1][key].id] for key, x in asked[0].items() if key in asked[1]]
    alone = [[Alone(e.id, e.kind, e.found) for key, e in mine.items() if key not in theirs]
             for mine, theirs in (asked, asked[::-1])]  # fmt: skip
    return ExperimentsBeside(both, alone)


def hypotheses_beside(reader: Reader, one: int, other: int) -> list[HypothesesBeside]:
    """The hypotheses of both, matched by their predictions (experiment and expected result), with the verdicts."""
    found: dict[str, HypothesesBeside] = {}
    for place, run in enumerate((one, other)):
        rows = reader.hypotheses_of(run)
        judged = verdicts(rows)
        for row in rows:
            expected = [[p.kind, {k: v for k, v in p.config.items() if k not in ("seed", "split")}, said(p)]
                        for p in row.predictions]  # fmt: skip
            key = json.dumps([expected or row.statement], sort_keys=True)
            entry = found.setdefault(key, HypothesesBeside(row.statement, [None, None]))
            entry.verdicts[place] = Said(row.id, spoken(row, judged))
    return list(found.values())


def claims_beside(reader: Reader, one: int, other: int) -> list[ClaimBeside]:
    """The findings of both reports by their sentences, and which report has them."""
    found: dict[str, list[bool]] = {}
    for place, run in enumerate((one, other)):
        report = reader.latest_report(run)
        for claim in () if report is None else report.claims:
            # A review's report has verdicts instead of claims. A typed claim is shown by its question.
            sentence = claim.get("sentence") or f"Claim {claim.get('claim')} {claim.get('verdict')}."
            sentence = read_claim(dict(claim)).question if "type" in claim else sentence
            found.setdefault(sentence, [False, False])[place] = True
    return [ClaimBeside(sentence, there) for sentence, there in found.items()]
