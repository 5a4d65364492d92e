"""Run a logged experiment again and compare everything it measured.

On the same machine the numbers are the same to the last bit; the tolerance is for another one, where the
order of additions differs.
"""

from __future__ import annotations

from typing import Any

from ..db.ids import show_id
from .context import Context
from .environment import code_version
from .refusals import refused
from .run_experiment import experiment_from, measured

TOLERANCE = 1e-4


def replay(context: Context, number: int, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Run experiment `number` again. Nothing is written to the tracker.

    Returns {"id", "same", "compared", "largest", "differences": [..], "warnings": [..]}. Raises ToolError when
    the experiment did not finish, or its task is not the one that was logged.
    """
    logged = context.reader.experiment(number)
    name = show_id("experiment", number)
    if logged["status"] != "done":
        raise refused("nothing_to_compare", name=name, status=logged["status"])
    experiment = experiment_from(logged["kind"], logged["config"])
    context.add_stored_task(experiment.task, logged["task_fingerprint"])
    lab = context.lab(experiment.model, experiment.task, experiment.chat, experiment.system)
    warnings: list[str] = []
    if lab.subject.fingerprint != logged["subject"]["fingerprint"]:
        was, now = logged["subject"]["fingerprint"], lab.subject.fingerprint
        raise refused("other_weights", name=name, model=logged["model"], was=was, now=now)
    if lab.task.fingerprint() != logged["task_fingerprint"]:
        of = ", or through another chat template" if experiment.chat else ""
        raise refused("other_task_version", name=name, task=experiment.task, of=of)
    newer = code_version() != logged["code_version"]
    if newer:
        warnings.append(f"logged with code {logged['code_version']}, replayed with {code_version()}")
    for package, version in dict[str, str](logged["environment"].get("packages") or {}).items():
        here = context.environment["packages"].get(package)
        if here != version and package != "lashley":
            warnings.append(f"logged with {package} {version}, replayed with {here}")
    result = measured(experiment, lab).model_dump()
    found = compare(logged, result, tolerance, newer)
    if found["more"]:
        warnings.append(f"this code measures more: {', '.join(found['more'])}")
    return {"id": name, **found, "warnings": warnings}


def compare(logged: dict[str, Any], now: dict[str, Any], tolerance: float, newer: bool = False) -> dict[str, Any]:
    """Every measurement, effect and sample of two results, by name. What other code (`newer`) measures besides is no
    difference, and is listed as "more"."""
    differences: list[str] = []
    more: list[str] = []
    compared, largest = 0, 0.0
    for table, key in (("measurements", ("name",)), ("effects", ("site", "metric"))):
        before = {tuple(row[k] for k in key): row for row in logged[table]}
        after = {tuple(row[k] for k in key): row for row in now[table]}
        for missing in before.keys() ^ after.keys():
            if newer and missing in after:
                more.append(" ".join(missing))
                continue
            where = "the log only" if missing in before else "the replay only"
            differences.append(f"{' '.join(missing)}: in {where}")
        for name in before.keys() & after.keys():
            for column in ("value", "low", "high", "n", "p", "q", "percentile", "p_max"):
                a, b = before[name].get(column), after[name].get(column)
                compared += 1
                if a is None or b is None:
                    if a is not b:
                        differences.append(f"{' '.join(name)}.{column}: {a} then {b}")
                    continue
                largest = max(largest, abs(a - b))
                if abs(a - b) > tolerance * max(1.0, abs(a)):
                    differences.append(f"{' '.join(name)}.{column}: {a:.6g} then {b:.6g}")
    for i, (a, b) in enumerate(zip(logged["samples"], now["samples"], strict=False)):
        compared += 1
        for column in ("prompt", "said", "changed", "correct", "changed_correct"):
            x, y = a.get(column), b.get(column)
            if (bool(x) if isinstance(y, bool) else x) != y:
                differences.append(f"sample {i} {column}: {x!r} then {y!r}")
    if len(logged["samples"]) != len(now["samples"]):
        differences.append(f"samples: {len(logged['samples'])} then {len(now['samples'])}")
    return {"same": not differences, "compared": compared, "largest": largest, "differences": sorted(differences),
            "more": sorted(more)}  # fmt: skip
