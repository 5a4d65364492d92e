"""What the templates show: the program's own part of a report, as plain rows made from a study.

Both templates, HTML and Markdown, get the same rows, so they cannot say different things.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from ...db.records import Experiment, Hypothesis, Prediction, Run
from ...experiments.kinds.registry import own_settings
from ..claims.answers import answer_data, answers, finding_data
from ..claims.claim import Finding
from ..claims.findings import tasks
from ..claims.in_short import in_short
from ..claims.standard import bound_sentence
from ..claims.words import listed
from ..evidence.quantity import ranked
from ..evidence.verdict import said, spoken, task_line
from ..workbench.environment import report_version
from .answers import METRIC, answer_classes
from .escape import clipped, one_line
from .numbers import count, number, p_number, setting, true_minus, value_text
from .numerals import masked
from .refused import reasons
from .shown import Shown, measured
from .spent import spent_text
from .study import Study
from .words import STATISTICS, WORDS

_EFFECTS, _SAMPLES = 10, 4
# Rounding stays below this; see the identity control of the experiments.
IDENTITY = 1e-3
_HEAD = re.compile(r"L\d+\.H\d+")


def report_view(study: Study, methods: Mapping[str, str], found: Sequence[Finding]) -> Shown:
    """Everything but the writer's text; `found` are the findings of the study."""
    run = study.run
    earlier: dict[tuple[str, str], str] = {}
    experiments: list[Shown] = []
    for row in study.experiments.values():
        same = (row.config_hash, row.subject.fingerprint)
        experiments.append({**_experiment(row, study), "repeats": earlier.get(same)})
        earlier.setdefault(same, row.id)
    return {
        "run": run,
        "who": _who(run),
        "origin": _origin(study),
        "spent": spent_text(run),
        "models": _names(run.model, (row.model for row in study.experiments.values())),
        "tasks": _names(run.task, (row.task for row in study.experiments.values())),
        "date": run.started[:10],
        "example": _example(study),
        "words": WORDS,
        "statistics": STATISTICS,
        "experiments": experiments,
        "counts": [bound_sentence(study, task) for task in tasks(study)],
        "answers": [] if run.reviews else [answer_data(one, study) for one in answers(study, found)],
        "in_short": "" if run.reviews else in_short(study, found),
        "findings": [finding_data(one) for one in found],
        "alarms": _alarms(study),
        "doubted": _doubted(study),
        "hypotheses": [_hypothesis(row, study) for row in sorted(study.hypotheses.values(), key=_refuted_first)],
        "elsewhere": study.elsewhere,
        "families": study.families,
        "kinds": _kinds(study, methods),
        "comparisons": _comparisons(study),
        "limitations": _limitations(study),
        "environment": [(name, setting(value)) for name, value in run.environment.items()],
        "command": _command(run),
        "code": report_version(),
        "seal": run.seal or "none",
    }


def _who(run: Run) -> str:
    if run.driver == "recorded":
        return "This study played back the recording of an earlier one, which chose the experiments and wrote the text."
    if run.llm is None:
        return (
            f"No language model led this study. {protocol(run.driver)}, a fixed protocol, chose each experiment from "
            "the earlier results and wrote the text."
        )
    return (
        f"{run.llm}, through the {run.driver} driver, chose the experiments and wrote the text. The program filled in "
        "every number."
    )


def _origin(study: Study) -> list[str]:
    """Where the study comes from, and how often the program refused what its writer sent; each a sentence."""
    run, said = study.run, list[str]()
    if run.parent is not None:
        shared = sum(row.run != run.id for row in study.experiments.values())
        own = len(study.experiments) - shared
        said.append(
            f"{run.id} is a fork of {run.parent} after step {run.forked_at}: {shared} of these experiments ran before "
            f"that step, and {own} after it. The correction also counts what {run.parent} had predicted by then."
        )
    if study.relatives:
        tests, runs = sum(study.relatives.values()), list(study.relatives)
        said.append(
            f"{listed(runs)}, which share{'s' * (len(runs) == 1)} its beginning, tested {tests} "
            f"prediction{'s' * (tests != 1)} on other held-out prompts. The correction here does not count them."
        )
    back = study.refused()
    if times := len(back["drafts"]):
        said.append(f"The program sent the writer's report back {times} time{'s' * (times != 1)}.")
        if because := reasons(study, back["drafts"]):
            said.append(f"Reasons: {', '.join(f'{reason} ({count})' for reason, count in because)}.")
    if times := len(back["bounds"]):
        plural = "es" if times > 1 else "is"
        said.append(f"The program refused {times} hypothes{plural} with a bound that cannot fail.")
    return said


def protocol(driver: str) -> str:
    """The name, for the start of a sentence, of a driver that asks no language model."""
    return "The autopilot" if driver == "autopilot" else f"The driver {driver}"


def _names(asked: str | None, used: Iterable[str | None]) -> str:
    """What the experiments used; what was asked for, if there are none."""
    return ", ".join(dict.fromkeys(one for one in used if one)) or asked or "none"


def _alarms(study: Study) -> list[tuple[str, list[str]]]:
    """Controls that failed, with the experiments. A report must open with them."""
    found: dict[str, list[str]] = {}
    for one in study.finished:
        row = study.experiments[one]
        for control in row.measurements:
            if control.name == "identity" and abs(control.value) > IDENTITY:
                found.setdefault(
                    "The identity control failed: an intervention that changes nothing changed the result.", []
                ).append(one)
    return list(found.items())


def _doubted(study: Study) -> list[str]:
    """The experiments that edited a subject which is not shown to do the task. A baseline is left out: that the subject
    cannot do the task is a finding."""
    return [
        one
        for one in study.finished
        if (row := study.experiments[one]).effects and any(doubt.code == "unable" for doubt in row.doubts)
    ]


def _refuted_first(row: Hypothesis) -> tuple[int, int]:
    order = ("refuted", "inconclusive", "open", "supported")
    return order.index(row.status), int(row.id[1:])


def _hypothesis(row: Hypothesis, study: Study) -> Shown:
    """With its predictions, the result of each, and all comments."""
    return {
        "id": row.id,
        "status": row.status,
        "revises": row.revises,
        "statement": true_minus(row.statement),
        "rationale": true_minus(row.rationale),
        "refuted_if": true_minus(row.refuted_if),
        "verdict": spoken(row, study.verdicts),
        "events": [event._replace(comment=true_minus(event.comment)) for event in row.events if event.comment],
        "by_task": task_line(row, study.verdicts),
        "predictions": [predicted(one, study) for one in row.predictions],
    }


def predicted(row: Prediction, study: Study) -> Shown:
    """A prediction and its result."""
    judged = row.judged
    config = [(name, one_line(setting(value))) for name, value in own_settings(row.kind, row.config).items()]
    task = row.config.get("task")
    kind = row.kind if task == study.run.task else f"{row.kind} on {task}"
    return {
        "said": true_minus(said(row)),
        "of": one_line(", ".join((kind, count(row.config["n"]), *(f"{name} {text}" for name, text in config)))),
        "found": "" if judged is None else value_text(judged.value, judged.low, judged.high, n=judged.n),
        "p": "" if judged is None else p_number(study.verdicts.corrected[row.id]),
        "verdict": study.verdicts.predictions[row.id] or "not tested",
        "experiment": "" if judged is None else judged.experiment,
    }


def _example(study: Study) -> Shown | None:
    """A prompt of the study and its answer, to show what was asked. The study's own task comes first, because a writer
    may make a task in its own words."""
    for row in sorted(study.experiments.values(), key=lambda row: row.task != study.run.task):
        for sample in row.samples[:1]:
            return {"prompt": clipped(sample.prompt, 300), "expected": clipped(sample.expected, 80)}
    return None


def _questions(row: Experiment) -> int | None:
    """How many different questions the prompts ask; None where each prompt asks its own."""
    asked = next((int(one.value) for one in row.measurements if one.name == "questions"), None)
    return asked if asked is not None and row.n is not None and asked < row.n else None


def _prompts(row: Experiment) -> str:
    if not row.n:
        return ""
    asked = _questions(row)
    return count(row.n) + (f" prompts, {asked} different questions" if asked else "")


def _experiment(row: Experiment, study: Study) -> Shown:
    effects = ranked(row)
    metrics = {effect.metric for effect in row.effects}
    answers = answer_classes(row)
    shown = {effects[0].metric, *([METRIC] if answers else [])} if effects else set[str]()
    others = [effect for effect in row.effects if effect.metric not in shown]
    return {
        "id": row.id,
        "kind": row.kind,
        "about": " · ".join(one for one in (row.task, row.split, _prompts(row)) if one),
        "what": clipped(", ".join(f"{name} {text}" for name, text in _settings(row, own=True)), 120),
        "status": row.status,
        "seconds": "" if row.seconds is None else f"{row.seconds:.1f}",
        "found": true_minus(row.found or ""),
        "error": one_line(f"{row.error_type}: {row.error}") if row.error else "",
        # A language model's reason was not checked for typed numbers when it was given.
        "reason": masked(row.reason or "", study) if study.run.llm else row.reason or "",
        "settings": _settings(row),
        "measurements": [{**measured(one, one.name), "sort": one} for one in row.measurements],
        "effects": [{**measured(one, one.site), "sort": one} for one in effects[:_EFFECTS]],
        "percentiles": any(effect.percentile is not None for effect in effects[:_EFFECTS]),
        "metric": effects[0].metric if effects else "",
        "more_effects": max(0, len(effects) - _EFFECTS) + len(others),
        "answers": answers,
        "metrics": len(metrics),
        "samples": _samples(row),
        "notes": row.notes,
        "subject": row.subject,
        "code_version": row.code_version,
        "config_hash": row.config_hash,
        "environment": row.environment if row.environment != study.run.environment else {},
    }


def _settings(row: Experiment, *, own: bool = False) -> list[tuple[str, str]]:
    """The configuration; `own` leaves out what the row shows already and what was not set."""
    shown = {"kind", "model", "task", "split", "n"}
    return [
        (name, one_line(setting(value)))
        for name, value in row.config.items()
        if not own or (name not in shown and value not in (None, [], ""))
    ]


def _samples(row: Experiment) -> list[Shown]:
    """A few texts, changed ones first. A long prompt is cut to its end, where the question is."""
    samples = sorted(row.samples, key=lambda one: one.changed in (None, one.said))[:_SAMPLES]
    return [
        {
            "prompt": one.prompt if len(one.prompt) <= 160 else "…" + one.prompt[-159:],
            "expected": clipped(one.expected, 80),
            "said": clipped(one.said, 160),
            "changed": None if one.changed is None else clipped(one.changed, 160),
            "condition": clipped(one_line(one.condition), 80),
            "failure": one_line(one.failure or "").replace("_", " "),
        }
        for one in samples
    ]


def _kinds(study: Study, methods: Mapping[str, str]) -> list[Shown]:
    """One entry per kind: what it does, the settings that all its experiments share, and those that differ."""
    kinds: dict[str, list[Experiment]] = {}
    for row in study.experiments.values():
        kinds.setdefault(row.kind, []).append(row)
    entries: list[Shown] = []
    for kind, rows in kinds.items():
        values = {
            name: list(dict.fromkeys(one_line(setting(row.config.get(name))) for row in rows))
            for name in dict.fromkeys(name for row in rows for name in row.config)
        }
        entries.append(
            {
                "kind": kind,
                "text": methods.get(kind, "").strip(),
                "ids": [row.id for row in rows],
                "shared": [(name, texts[0]) for name, texts in values.items() if len(texts) == 1],
                "varied": [(name, clipped("; ".join(texts), 200)) for name, texts in values.items() if len(texts) > 1],
            }
        )
    return entries


def _comparisons(study: Study) -> str:
    families = [row.effects for row in study.experiments.values() if row.effects]
    total = sum(len(effects) for effects in families)
    if not total:
        return "No comparison was made: no experiment of this run measured an effect."
    corrected = [effect.q for effects in families for effect in effects if effect.q is not None]
    text = (
        f"This run compared an edited model with the intact one {number(total)} time{'s' * (total != 1)}, "
        f"in {number(len(families))} experiment{'s' * (len(families) != 1)}. All of these count, including those that "
        "the text does not mention."
    )
    if corrected:
        text += (
            f" {number(len(corrected))} have a p value, corrected (Benjamini–Hochberg) over the effects of their own "
            f"experiment; {number(sum(q < 0.05 for q in corrected))} of these have q < 0.05."
        )
    return text


def _limitations(study: Study) -> list[tuple[str, list[str]]]:
    """What weakens the findings, with the experiments concerned."""
    rows = list(study.experiments.values())
    found: dict[str, list[str]] = {}
    if any(row.status == "done" for row in rows) and not any(
        row.status == "done" and row.split == "confirm" for row in rows
    ):
        found["Nothing was tested on the confirm split: each finding rests on the prompts that suggested it."] = []
    unfinished = {"failed": ("failed",), "never finished": ("running", "interrupted")}
    for what, statuses in unfinished.items():
        text = f"Experiments that {what}"
        ids = [row.id for row in rows if row.status in statuses]
        if ids:
            found[text] = ids
    ended = {
        "budget": "its budget was spent",
        "interrupted": "it was interrupted",
        "failed": "it failed",
        "stopped": "it was stopped, and can be resumed",
    }
    if study.run.status in ended:
        found[f"The run ended before its writer was done: {ended[study.run.status]}."] = []
    for asked in sorted({_questions(row) or 0 for row in rows} - {0}):
        text = (
            f"The prompts ask only {asked} different questions. Intervals and p values count these, not the prompts, "
            f"and no p can be below {number(2 / 2**asked)}."
        )
        found[text] = [row.id for row in rows if _questions(row) == asked]
    for row in rows:
        for note in row.notes:
            found.setdefault(one_line(note), []).append(row.id)
    return [*found.items(), *((text, []) for text in _untested(study))]


def _untested(study: Study) -> list[str]:
    """What a reader must not infer from the findings, as far as the program knows."""
    done = [study.experiments[one] for one in study.finished]
    if not done:
        return []
    models = commas(dict.fromkeys(row.model for row in done))
    tasks = commas(dict.fromkeys(row.task for row in done if row.task))
    seeds = commas(dict.fromkeys(str(row.config.get("seed", 0)) for row in done))
    said = [f"The study covers only {models}, on the prompts of {tasks} drawn with seed {seeds}."]
    alone = [e.site for row in done for e in row.effects if _HEAD.fullmatch(e.site)]
    layers = {site.split(".")[0] for site in alone}
    depth = next((row.subject.anatomy.get("n_layers") for row in done), None)
    if alone and isinstance(depth, int) and len(layers) < depth:
        said.append(f"Heads were removed one by one in {len(layers)} of {depth} layers only.")
    families = sum(bool(row.effects) for row in done)
    if families > 1:
        said.append(
            "q corrects for the comparisons within one experiment, not for those of the whole run. Among many "
            "experiments, some show an effect by chance."
        )
    if any(row.effects for row in done):
        said.append(
            "Removing a part can show that it matters here, but not what it does. It misses a part that another part "
            "can stand in for."
        )
    return said


def commas(words: Iterable[str]) -> str:
    return ", ".join(words)


def _command(run: Run) -> str:
    """The command that asks the same question again."""
    words = ["agent", "review", run.reviews] if run.reviews else ["agent", "run", "--goal", run.goal]
    options = {} if run.reviews else {"model": run.model, "task": run.task}
    llm = None if run.driver in ("autopilot", "recorded") else run.llm
    for option, value in {**options, "driver": run.driver, "llm": llm}.items():
        words += [f"--{option}", value] if value else []
    return shlex.join(one_line(word) for word in words)
