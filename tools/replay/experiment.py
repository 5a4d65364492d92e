"""Reruns a logged experiment and compares everything it measured.

On the same machine the numbers are the same to the last bit. The tolerance is for other machines, which may
add in another order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...db.ids import show_id
from ...db.records import Circuit, Experiment
from ...experiments.result import Result
from ...experiments.statistics import VERSION
from ..refusals import refused
from ..workbench.context import Context
from ..workbench.environment import code_version
from ..workbench.run_experiment import logged_experiment, measured

# Measurements by name, or effects by site and metric.
Named = Mapping[tuple[str, ...], object]
TOLERANCE = 1e-4
# The measured columns, and those that the statistics compute from them.
MEASURED, REASONED = ("value", "n", "percentile"), ("low", "high", "p", "q", "p_max")


def replay(context: Context, number: int, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Rerun experiment `number`. Nothing is written to the tracker.

    Returns {"id", "same", "compared", "largest", "differences": [..], "warnings": [..]}. Raises ToolError when
    the experiment did not finish, or its task differs from the logged one.
    """
    logged = context.reader.experiment(number)
    name = show_id("experiment", number)
    if logged.status != "done":
        raise refused("nothing_to_compare", name=name, status=logged.status)
    experiment = logged_experiment(logged.kind, logged.config)
    context.add_stored_task(experiment.task, logged.task_fingerprint)
    lab = context.lab(experiment.model, experiment.task, experiment.chat, experiment.system)
    lab.own = context.tasks_to_fit_on(experiment)
    warnings: list[str] = []
    if lab.subject.fingerprint != logged.subject.fingerprint:
        was, now = logged.subject.fingerprint, lab.subject.fingerprint
        raise refused("other_weights", name=name, model=logged.model, was=was, now=now)
    if lab.task.fingerprint() != logged.task_fingerprint:
        of = ", or through a different chat template" if experiment.chat else ""
        raise refused("other_task_version", name=name, task=experiment.task, of=of)
    newer = code_version() != logged.code_version
    if newer:
        warnings.append(f"logged with code {logged.code_version}, replayed with {code_version()}")
    for package, version in dict[str, str](logged.environment.get("packages") or {}).items():
        here = context.environment["packages"].get(package)
        if here != version and package != "lashley":
            warnings.append(f"logged with {package} {version}, replayed with {here}")
    if changed := other_statistics(logged):
        warnings.append(changed)
    result = measured(experiment, lab)
    found = compare(logged, result, tolerance, newer, context.reader.circuits_of(number))
    if found["more"]:
        warnings.append(f"this code measures more: {', '.join(found['more'])}")
    return {"id": name, **found, "warnings": warnings}


def other_statistics(logged: Experiment) -> str:
    """One line if an experiment was logged with another version of the statistics than this one; otherwise ""."""
    was = logged.environment.get("statistics", 1)
    if was == VERSION:
        return ""
    return (
        f"version {was} of the statistics made its intervals and p-values, and this is version {VERSION}: only the "
        "measured values were compared"
    )


def compare(
    logged: Experiment, now: Result, tolerance: float, newer: bool = False, circuits: Sequence[Circuit] = ()
) -> dict[str, Any]:
    """Compare every measurement, effect and sample of two results, and the edges of the logged `circuits`, by name.

    Additional measurements of other code (`newer`) are not differences; they are listed as "more". Intervals and
    p-values are compared only if the same version of the statistics made them.
    """
    columns = MEASURED if other_statistics(logged) else (*MEASURED, *REASONED)
    differences: list[str] = []
    more: list[str] = []
    compared, largest = 0, 0.0
    tables: tuple[tuple[Named, Named], ...] = (
        ({(row.name,): row for row in logged.measurements}, {(row.name,): row for row in now.measurements}),
        ({(row.site, row.metric): row for row in logged.effects}, {(row.site, row.metric): row for row in now.effects}),
    )
    for before, after in tables:
        for missing in before.keys() ^ after.keys():
            if newer and missing in after:
                more.append(" ".join(missing))
                continue
            where = "the log only" if missing in before else "the replay only"
            differences.append(f"{' '.join(missing)}: in {where}")
        for name in before.keys() & after.keys():
            for column in columns:
                # A measurement has fewer columns than an effect.
                a, b = getattr(before[name], column, None), getattr(after[name], column, None)
                compared += 1
                if a is None or b is None:
                    if a is not b:
                        differences.append(f"{' '.join(name)}.{column}: {a} then {b}")
                    continue
                largest = max(largest, abs(a - b))
                if abs(a - b) > tolerance * max(1.0, abs(a)):
                    differences.append(f"{' '.join(name)}.{column}: {a:.6g} then {b:.6g}")
    for place, circuit in enumerate(circuits):
        edges = {edge.text: edge.share for edge in circuit.edges}
        found = {f"{e.sender} -> {e.receiver}": e.share for one in now.circuits[place : place + 1] for e in one.edges}
        compared += len(edges)
        for name in edges.keys() ^ found.keys():
            where = "the log only" if name in edges else "the replay only"
            differences.append(f"{circuit.id} {name}: in {where}")
        for name in edges.keys() & found.keys():
            a, b = edges[name], found[name]
            largest = max(largest, abs(a - b))
            if abs(a - b) > tolerance * max(1.0, abs(a)):
                differences.append(f"{circuit.id} {name}: {a:.6g} then {b:.6g}")
    for i, (a, b) in enumerate(zip(logged.samples, now.samples, strict=False)):
        compared += 1
        pairs = {
            "prompt": (a.prompt, b.prompt), "said": (a.said, b.said), "changed": (a.changed, b.changed),
            "correct": (a.correct, b.correct), "changed_correct": (a.changed_correct, b.changed_correct),
        }  # fmt: skip
        differences += [f"sample {i} {column}: {x!r} then {y!r}" for column, (x, y) in pairs.items()
                        if (bool(x) if isinstance(y, bool) else x) != y]  # fmt: skip
    if len(logged.samples) != len(now.samples):
        differences.append(f"samples: {len(logged.samples)} then {len(now.samples)}")
    return {"same": not differences, "compared": compared, "largest": largest, "differences": sorted(differences),
            "more": sorted(more)}  # fmt: skip
