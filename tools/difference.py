"""What tells two experiments or two runs apart: read from the tracker, nothing is run.

Two numbers are put beside each other with their intervals. Whether these overlap says little of the difference itself
(two intervals may overlap where the difference is certain); where both experiments asked the same prompts of the same
task, the difference is taken prompt by prompt and has an interval of its own.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, cast

from ..db.ids import parse_id
from ..db.read import Reader
from .evidence.verdict import said, spoken, verdicts

Row = dict[str, Any]


def experiments_apart(reader: Reader, one: int, other: int) -> Row:
    """Settings that differ, whether the same prompts were asked, and every number that both have."""
    a, b = reader.experiment(one), reader.experiment(other)
    was, now = settings(a), settings(b)
    prompts = ("task_fingerprint", "split", "n")
    same_prompts = all(a[name] == b[name] for name in prompts) and a["config"].get("seed") == b["config"].get("seed")
    kept = paired(reader, a, b) if same_prompts else {}
    return {
        "ids": [a["id"], b["id"]],
        "status": [a["status"], b["status"]],
        "settings": apart(was, now),
        "same_prompts": same_prompts,
        "measurements": numbers(a["measurements"], b["measurements"], ("name",), {}),
        "effects": numbers(a["effects"], b["effects"], ("site", "metric"), kept),
        "found": [a["found"] or a["error"], b["found"] or b["error"]],
    }


def settings(row: Row) -> Row:
    subject = row["subject"]
    about = {"subject": f"{subject['name']} {subject['fingerprint'][:12]}", "code": row["code_version"]}
    packages: Row = row["environment"].get("packages") or {}
    versions = {f"package {name}": version for name, version in packages.items()}
    task = {"task version": (row["task_fingerprint"] or "")[:12]}
    return {"kind": row["kind"], **row["config"], **about, **task, **versions}


def apart(was: Row, now: Row) -> list[Row]:
    """What differs, by name; None where one has no such setting."""
    names = dict.fromkeys([*was, *now])
    return [{"name": k, "values": [was.get(k), now.get(k)]} for k in names if was.get(k) != now.get(k)]


def numbers(was: Sequence[Row], now: Sequence[Row], key: tuple[str, ...], kept: Row) -> list[Row]:
    """The numbers that either has, in order; with the difference where both have it."""
    before, after = ({" ".join(row[k] for k in key): row for row in rows} for rows in (was, now))
    found: list[Row] = []
    for name in dict.fromkeys([*before, *after]):
        a, b = before.get(name), after.get(name)
        row: Row = {"name": name, "values": [told(a), told(b)], "difference": None, "overlap": None, "paired": None}
        if a is not None and b is not None:
            row["difference"] = b["value"] - a["value"]
            if None not in (a["low"], a["high"], b["low"], b["high"]):
                row["overlap"] = a["low"] <= b["high"] and b["low"] <= a["high"]
            row["paired"] = kept.get(name)
        found.append(row)
    return found


def told(row: Row | None) -> Row | None:
    return None if row is None else {name: row[name] for name in ("value", "low", "high", "n")}


def paired(reader: Reader, a: Row, b: Row) -> dict[str, Row]:
    """By site and metric: the second change minus the first, prompt by prompt, with its interval. Only where the values
    of the prompts were kept, and the prompts ask the same."""
    from ..experiments.statistics import bootstrap

    first, second = (changes(reader, one) for one in (a, b))
    found: dict[str, Row] = {}
    for name in first.keys() & second.keys():
        (one, asked), (other, asked_too) = first[name], second[name]
        if asked == asked_too and len(one) == len(other):
            value, low, high = bootstrap(other - one, asked)
            found[name] = {"value": float(value), "low": float(low), "high": float(high), "n": len(asked)}
    return found


def changes(reader: Reader, row: Row) -> dict[str, tuple[Any, list[str]]]:
    """By site and metric, the changes [n] prompt by prompt and the question that each prompt asks."""
    import numpy as np

    names, number = {one["name"] for one in row["artifacts"]}, parse_id(row["id"])[1]
    found: dict[str, tuple[Any, list[str]]] = {}
    for metric in dict.fromkeys(effect["metric"] for effect in row["effects"]):
        if not {metric, "questions"} <= names:
            continue
        values, asked = (np.load(io.BytesIO(reader.artifact(number, name)), allow_pickle=False)
                         for name in (metric, "questions"))  # fmt: skip
        sites = [effect["site"] for effect in row["effects"] if effect["metric"] == metric]
        if len(values) == 1 + len(sites):
            moved = values[1:].astype(float) - values[0].astype(float)
            found |= {f"{s} {metric}": (v, [str(q) for q in asked]) for s, v in zip(sites, moved, strict=True)}
    return found


def runs_apart(reader: Reader, one: int, other: int) -> Row:
    """How two runs were set, their steps until they part and after, experiments, and what they concluded."""
    a, b = reader.run(one), reader.run(other)
    paths = [steps(reader, one), steps(reader, other)]
    same = next((i for i, (x, y) in enumerate(zip(*paths, strict=False)) if x["does"] != y["does"]),
                min(map(len, paths)))  # fmt: skip
    return {
        "ids": [a["id"], b["id"]],
        "settings": apart(about(a), about(b)),
        "forked": next((f"{x['id']} was forked from {y['id']} at step {x['forked_at']}"
                        for x, y in ((a, b), (b, a)) if x["parent"] == y["id"]), None),
        "same_steps": same,
        "steps": [path[same:] for path in paths],
        "experiments": experiments_beside(reader, a, b),
        "hypotheses": hypotheses_beside(reader, one, other),
        "claims": claims_beside(reader, one, other),
    }  # fmt: skip


def about(row: Row) -> Row:
    return {
        **{name: row[name] for name in ("goal", "driver", "llm", "model", "task", "reviews", "status", "error")},
        **{f"budget {name}": value for name, value in row["budget"].items()},
        **{f"spent {name}": value for name, value in row["spent"].items()},
    }


def steps(reader: Reader, run: int) -> list[Row]:
    """Each reply: its step, what was said, and what it does (the calls with their arguments, but for the reasons)."""
    found: list[Row] = []
    for turn in reader.turns(run):
        if turn["role"] == "assistant":
            calls = [[call["name"], arguments(call["arguments"])] for call in turn["content"]["calls"]]
            found.append({"step": turn["step"], "said": turn["content"]["text"], "does": calls})
    return found


def arguments(text: str) -> Any:
    try:
        given = json.loads(text)
    except ValueError:
        return text
    if not isinstance(given, dict):
        return given
    return {name: value for name, value in cast(Row, given).items() if name != "reason" and value is not None}


def experiments_beside(reader: Reader, a: Row, b: Row) -> Row:
    """Experiments that both have (the same one, or one of the same configuration), and those of one alone."""
    asked = [{reader.experiment(parse_id(e["id"])[1])["config_hash"]: e for e in row["experiments"]} for row in (a, b)]
    both = [[x["id"], asked[1][key]["id"]] for key, x in asked[0].items() if key in asked[1]]
    alone = [[x for key, x in mine.items() if key not in theirs] for mine, theirs in (asked, asked[::-1])]
    return {"both": both, "alone": [[{k: e[k] for k in ("id", "kind", "found")} for e in rows] for rows in alone]}


def hypotheses_beside(reader: Reader, one: int, other: int) -> list[Row]:
    """What was predicted, by what is expected of which experiment; with the verdicts."""
    found: dict[str, Row] = {}
    for place, run in enumerate((one, other)):
        rows = reader.hypotheses_of(run)
        judged = verdicts(rows)
        for row in rows:
            expected = [[p["kind"], {k: v for k, v in p["config"].items() if k not in ("seed", "split")}, said(p)]
                        for p in row["predictions"]]  # fmt: skip
            key = json.dumps([expected or row["statement"]], sort_keys=True)
            entry = found.setdefault(key, {"statement": row["statement"], "verdicts": [None, None]})
            entry["verdicts"][place] = {"id": row["id"], "verdict": spoken(row, judged)}
    return list(found.values())


def claims_beside(reader: Reader, one: int, other: int) -> list[Row]:
    """The findings of both reports by their sentences, and who has them."""
    found: dict[str, list[bool]] = {}
    for place, run in enumerate((one, other)):
        report = reader.latest_report(run)
        for claim in (report or {"claims": []})["claims"]:
            # A review's report has verdicts on claims in their place.
            sentence = claim.get("sentence") or f"Claim {claim.get('claim')} {claim.get('verdict')}."
            found.setdefault(sentence, [False, False])[place] = True
    return [{"sentence": sentence, "in": there} for sentence, there in found.items()]
