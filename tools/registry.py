"""The tools by name, with their schemas, and the one function that answers every call.

A tool is a Pydantic class for its arguments and a function over a context. Every kind of experiment is a tool
of its own, made from its class. Any fault in a call becomes a text that says what to do; it never ends a run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, create_model

from ..db import records
from ..db.errors import TrackerError, TrackerFails
from ..db.records import as_json
from ..experiments.errors import ExperimentError
from ..experiments.experiment import Experiment
from ..experiments.explain import explain
from ..experiments.kinds.registry import kinds
from ..experiments.tasks.draft import Draft
from . import add_tools, create_task, hypotheses, lookups, questions, writing
from .arguments import Answered, Arguments
from .describe_model import DescribeModel, describe_model
from .errors import ToolError
from .evidence.review import reviewer_tools
from .json_arguments import json_object
from .json_schema import fill_nulls, strict_schema
from .refusals import REFUSALS, refused
from .toolset import ADDING, core
from .workbench.across_tasks import OfEach, across_text, as_data, differences, run_each, tasks_in
from .workbench.circuit_text import with_parts
from .workbench.context import Context
from .workbench.experiment_text import LIMIT, REFUSAL, cut, experiment_text, rest_of
from .workbench.naming import allowed_model, within_task
from .workbench.run_experiment import code_of, run_experiment
from .workbench.short_form import short_answer, short_experiment


@dataclass(frozen=True)
class Answer:
    """The result of a call: text for a language model, the same facts as data, and whether the call was refused;
    `code` says why. `short` is what a long study sends in place of the text once it is old; empty: its beginning."""

    text: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    refused: bool = False
    code: str = ""
    short: str = ""

    @classmethod
    def refusal(cls, fault: ToolError | ExperimentError | TrackerError) -> Answer:
        """The text is cut, because it may quote what was sent, which can be of any length."""
        return cls(cut(str(fault), REFUSAL, "(cut)"), refused=True, code=fault.code)


@dataclass(frozen=True)
class Tool:
    name: str
    description: str
    arguments: type[BaseModel]
    call: Callable[[Context, Any], Answer]
    is_experiment: bool = False
    is_last: bool = False

    @cached_property
    def schema(self) -> dict[str, Any]:
        return strict_schema(self.arguments)

    @cached_property
    def brief_schema(self) -> dict[str, Any]:
        """The schema that a request contains: the instructions describe the fields that all kinds share (`shared`)."""
        if not self.is_experiment:
            return self.schema
        fields = {
            name: {
                key: value for key, value in part.items() if key != "description" or name not in (*SHARED, *CONTROLS)
            }
            for name, part in self.schema["properties"].items()
        }
        return {**self.schema, "properties": fields}


# Characters of an answer for what is said before the experiment.
ROOM = 200
# The fields of every kind's tool.
SHARED = (*(name for name in Experiment.model_fields if name != "split"), "reason")
# Fields of the kinds with random controls, with the same meaning in each.
CONTROLS = ("controls", "control_pool")


def shared() -> dict[str, str]:
    """What each field means that all kinds share, or all kinds with random controls."""
    controlled = next(kinds()[name] for name in core() if {*CONTROLS} <= {*kinds()[name].model_fields})
    properties = experiment_tool(controlled).schema["properties"]
    return {name: properties[name]["description"] for name in (*SHARED, *CONTROLS)}


def experiment_tool(kind: type[Experiment]) -> Tool:
    """The tool of a kind. Its arguments are the configuration (null model or task: the study's) and a reason."""
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in kind.model_fields.items()
        # Only the tests of hypotheses may use the confirm split.
        if name != "split"
    }
    fields |= {
        "model": (Annotated[str | None, Field(description="Null: the subject of this study.")], None),
        "task": (
            Annotated[str | None, Field(description="Null: the task of this study. Or several: ioi, capitals.")],
            None,
        ),
        "n": (
            Annotated[int | None, Field(ge=1, le=512, description="Null: the number of prompts of this study.")],
            None,
        ),
        "reason": (Annotated[str, Field(description="Why this, now: one sentence, for the record.")], ...),
    }
    arguments = create_model(f"{kind.__name__}Call", __base__=Arguments, **fields)

    def call(context: Context, given: Any) -> Answer:
        config = given.model_dump(exclude={"reason"})
        config["model"] = allowed_model(context, config["model"])
        tasks = tasks_in(config["task"] or "") or [context.task]
        usual, few = context.n or kind.model_fields["n"].default, list[str]()

        def on(task: str) -> Experiment:
            n = within_task(context.find_task(task), usual, "explore") if config["n"] is None else config["n"]
            if config["n"] is None and n != usual:
                few.append(f"n = {n}: {'the task' if len(tasks) == 1 else task} has no more prompts to explore.\n")
            return kind.model_validate({**config, "task": task, "n": n})

        if len(tasks) > 1:
            return on_tasks(context, run_each(context, tasks, on, given.reason), "".join(few))
        outcome = run_experiment(context, on(tasks[0]), given.reason)
        logged = context.reader.experiment(outcome.number)
        if outcome.error is not None:
            text = REFUSALS["experiment_failed"].format(id=outcome.id, error=outcome.error)
            return Answer(text, {"id": outcome.id, "error": outcome.error}, True, code_of(logged.error_type))
        text = f"{''.join(few)}{experiment_text(logged)}"
        text = with_parts(text, context.reader.circuits_of(outcome.number), LIMIT - ROOM)
        if outcome.reused:
            text = f"This repeats {outcome.id}, whose result follows. It is not new evidence.\n{text}"
        text, data = cut(text, rest=rest_of(logged.id)), {"reused": outcome.reused, **facts(logged)}
        return Answer(text, data, short=short_experiment(logged))

    about = inspect.cleandoc(kind.__doc__ or "")
    return Tool(kind.kind, about, arguments, call, is_experiment=True)


def tasks_of_call(arguments: str) -> int:
    """How many tasks the arguments of a call name, so how many experiments it runs; 1 if it names none."""
    try:
        task: object = json_object(arguments or "{}", "The input").get("task")
    except ToolError:
        return 1
    return max(1, len(tasks_in(task))) if isinstance(task, str) else 1


def on_tasks(context: Context, each: OfEach, few: str) -> Answer:
    """The answer to an experiment on several tasks: all of them, and what differs between them."""
    if not each.outcomes:
        faults = "\n".join(f"{task}: {fault.text}" for task, fault in each.failed.items())
        text = REFUSALS["no_task_done"].format(faults=faults)
        return Answer(cut(text, REFUSAL, "(cut)"), refused=True, code=next(iter(each.failed.values())).code)
    rows = [context.reader.experiment(one.number) for one in each.outcomes.values()]
    apart = differences(rows, context.reader)
    reused = [one.id for one in each.outcomes.values() if one.reused]
    done = {
        task: {"reused": each.outcomes[task].reused, **facts(row)}
        for task, row in zip(each.outcomes, rows, strict=True)
    }
    failed = {task: fault._asdict() for task, fault in each.failed.items()}
    text = f"{few}{across_text(rows, apart, each.failed, reused)}"
    return Answer(text, {"tasks": done, "failed": failed, "differences": as_data(apart)})


def facts(logged: records.Experiment) -> dict[str, Any]:
    """An experiment's numbers as data."""
    return {
        "id": logged.id,
        "kind": logged.kind,
        "config": logged.config,
        "measurements": {m.name: as_json(m) for m in logged.measurements},
        "effects": as_json(logged.effects),
        "found": logged.found,
        "doubts": [doubt.code for doubt in logged.doubts],
        "circuits": [circuit.id for circuit in logged.circuits],
    }


def plain(function: Callable[..., Answered], arguments: type[BaseModel], **marks: bool) -> Tool:
    """A tool of a function (context, arguments) -> text, data; its docstring is the description."""

    def call(context: Context, given: Any) -> Answer:
        text, data = function(context, given)
        return Answer(cut(text), data, short=short_answer(function.__name__, text))

    return Tool(function.__name__, inspect.cleandoc(function.__doc__ or ""), arguments, call, **marks)


def all_tools() -> dict[str, Tool]:
    """Every tool by name: lists, tasks, questions, the kinds, hypotheses, notes, look-ups, the report."""
    tools = [
        plain(lookups.list_models, lookups.Listed),
        plain(describe_model, DescribeModel),
        plain(lookups.list_tasks, lookups.Listed),
        plain(lookups.show_task, lookups.ShowTask),
        plain(create_task.create_task, Draft),
        plain(questions.register_questions, questions.RegisterQuestions),
        *(experiment_tool(kind) for kind in kinds().values()),
        plain(hypotheses.propose_hypothesis, hypotheses.ProposeHypothesis),
        plain(hypotheses.test_hypothesis, hypotheses.TestHypothesis, is_experiment=True),
        plain(hypotheses.comment_hypothesis, hypotheses.CommentHypothesis),
        plain(writing.write_note, writing.WriteNote),
        plain(lookups.search_notes, lookups.SearchNotes),
        plain(lookups.list_experiments, lookups.ListExperiments),
        plain(lookups.show_experiment, lookups.ShowExperiment),
        plain(lookups.query_tracker, lookups.QueryTracker),
        plain(writing.write_report, writing.WriteReport, is_last=True),
    ]
    return with_adding(tools, mapped=True)


def with_adding(tools: Sequence[Tool], mapped: bool = False) -> dict[str, Tool]:
    """The tools by name, first the one that adds those that a study does not send at first. `mapped`: the instructions
    name every kind."""
    about = add_tools.catalogue({tool.name: tool.description for tool in tools}, mapped)
    adding = replace(plain(add_tools.add_tools, add_tools.AddTools), description=about)
    return {tool.name: tool for tool in (adding, *tools)}


def review_tools() -> dict[str, Tool]:
    """The tools of a second opinion, which ends with write_review."""
    own = [
        plain(reviewer_tools.test_hypothesis, hypotheses.TestHypothesis, is_experiment=True),
        plain(reviewer_tools.write_review, reviewer_tools.WriteReview, is_last=True),
    ]
    replaced = {*reviewer_tools.WITHHELD, ADDING, *(tool.name for tool in own)}
    return with_adding([*(tool for name, tool in all_tools().items() if name not in replaced), *own])


def answer(tools: dict[str, Tool], context: Context, name: str, arguments: str) -> Answer:
    """Check a call as it was written, and run it. Raises only KeyboardInterrupt, and TrackerFails when the file itself
    fails, because then no answer could be saved."""
    if name not in tools:
        return Answer.refusal(refused("unknown_tool", name=name[:60], tools=", ".join(tools)))
    tool = tools[name]
    try:
        given = json_object(arguments or "{}", f"The input of {name}")
        if tool.is_experiment and given.pop("split", None) not in (None, "explore"):
            return Answer.refusal(refused("confirm_closed"))
        return tool.call(context, tool.arguments.model_validate(fill_nulls(tool.arguments, given)))
    except ValidationError as fault:
        return Answer.refusal(refused("bad_arguments", name=name, faults=explain(fault)))
    except TrackerFails:
        raise
    except (ToolError, ExperimentError, TrackerError) as fault:
        return Answer.refusal(fault)
    except Exception as fault:  # noqa: BLE001 - a bug in a tool becomes an answer and a row; it never ends a run
        return Answer.refusal(refused("tool_failed", name=name, fault=f"{type(fault).__name__}: {fault}"))
