"""`agent experiment KIND ...`: run one experiment by hand. Its options are the fields of the kind's class."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from .. import settings
from .one_line_errors import one_line
from .options import DB_HELP

if TYPE_CHECKING:
    from ...tools.workbench.context import Context


class Kinds(click.Group):
    """One command per kind, created when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        with one_line():
            from ...tools.workbench.catalog import kind_cards

            return [card["name"] for card in kind_cards()]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with one_line():
            from ...tools.workbench.catalog import kind_cards

            rows = [(card["name"], card["about"]) for card in kind_cards()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        with one_line():
            from ...tools.workbench.catalog import kind_fields

            about, fields = kind_fields(cmd_name)
        # The confirm split is for predictions only, and the program draws their prompts.
        options = [tasks_option(f) if f["name"] == "task" else option(f) for f in fields if f["name"] != "split"]
        options += [
            click.Option(["--file"], metavar="FILE", help=FILE),
            click.Option(["--fresh"], is_flag=True, help="Run it even if the tracker already has it."),
            click.Option(["--predict"], metavar="WHAT", help=PREDICT),
            click.Option(["--reason"], help="Reason to record with it."),
            click.Option(["--db"], metavar="FILE", help=DB_HELP),
            click.Option(["--json", "as_json"], is_flag=True, help="Print the logged experiment as JSON."),
        ]

        def run(**given: Any) -> None:
            perform(cmd_name, given)

        command = OfKind(cmd_name, callback=run, params=list[click.Parameter](options), help=listed(about))
        return settings.listen(command, settings.LISTENING["experiment"])


class OfKind(click.Command):
    """The command of one kind; it has no --split."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else args
        if any(one.partition("=")[0] == "--split" for one in options):
            ctx.fail("There is no --split: experiments explore. --predict tests a prediction on held-out prompts.")
        return super().parse_args(ctx, args)


def listed(about: str) -> str:
    """The text with its lists as they are written: click would join their lines."""
    return "\n\n".join(f"\b\n{part}" if part.startswith("- ") else part for part in about.split("\n\n"))


FILE = "Read the configuration from a JSON or YAML file. Options that are given override it."
PREDICT = (
    'Test a prediction on held-out prompts instead: "accuracy_drop > 0.2", "effect[L7.H3] < -0.1", "loss_increase '
    'between -0.1 and 0.1", or "beyond control". The program records it first and judges it by the whole interval. '
    "Ablations run with zero, mean and resample unless you give --method. Exit code 1 unless it is supported."
)


def spoken(description: str) -> str:
    """A field's description, reworded for the terminal: the original is for a language model that writes JSON."""
    words = {
        "Null: ": "Default: ",
        "Null with": "Not with",
        "list_models": "`agent models`",
        "list_tasks": "`agent tasks`",
    }
    for in_json, in_terminal in words.items():
        description = description.replace(in_json, in_terminal)
    return description


def option(f: dict[str, Any]) -> click.Option:
    """A field as an option. A list is given as one text with commas, or by repeating the option."""
    flag = "--" + f["name"].replace("_", "-")
    shown = "" if f["default"] is None else f"  [default: {f['default']}]"
    about = spoken(f["description"]) + shown
    if f["type"] == "bool":
        return click.Option([f"{flag}/--no-{flag[2:]}", f["name"]], default=None, help=about)
    # Lists are split at commas later, so --layers 0,1 equals --layers 0 --layers 1.
    kind: Any = click.STRING
    if not f["list"]:
        kind = (
            click.Choice(f["choices"])
            if f["choices"]
            else {"int": click.INT, "float": click.FLOAT}.get(f["type"], kind)
        )
    # A choice with a default may be given without a value: `--sweep` is `--sweep exact`.
    alone = f["default"] if f["choices"] and not f["list"] else None
    if alone is not None:
        return click.Option([flag, f["name"]], type=kind, is_flag=False, flag_value=alone, default=None, help=about)
    return click.Option([flag, f["name"]], type=kind, default=None, multiple=f["list"], help=about)


def tasks_option(f: dict[str, Any]) -> click.Option:
    """--task, which may name several tasks: each gets an experiment of its own."""
    several = {**f, "list": True, "description": f"{f['description']} Several: ioi,capitals."}
    return option(several)


def tasks_given(given: Any) -> list[str]:
    """The tasks that --task or a file names. A file's name may contain a comma."""
    from pathlib import Path

    from ...tools.workbench.across_tasks import tasks_in

    texts = cast("list[str]", [given] if isinstance(given, str) else list(given))
    return list(dict.fromkeys(one for text in texts for one in ([text] if Path(text).is_file() else tasks_in(text))))


def from_file(path: str | None) -> dict[str, Any]:
    """The configuration in a file; empty without one. Raises click.UsageError for a file that cannot be read."""
    if path is None:
        return {}
    import yaml

    # JSON is YAML, too.
    try:
        with open(path, encoding="utf-8") as file:
            read = yaml.safe_load(file)
    except OSError as fault:
        raise click.UsageError(f"{path} cannot be read: {fault.strerror}.") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise click.UsageError(f"{path} is neither JSON nor YAML: {' '.join(str(fault).split())}") from fault
    if not isinstance(read, dict) or "split" in read:
        what = "names a split, which the program chooses" if isinstance(read, dict) else "holds no configuration"
        raise click.UsageError(f'{path} {what}. Write fields and their values, such as edit: ["zero L5.H3"].')
    return {str(name): value for name, value in cast(dict[Any, Any], read).items()}


def perform(kind: str, given: dict[str, Any]) -> None:
    from ...tools.workbench.catalog import configuration, task_named
    from ...tools.workbench.context import Context
    from ...tools.workbench.experiment_text import experiment_text
    from ...tools.workbench.run_experiment import experiment_from, run_experiment
    from ..live import quiet_progress

    fresh, reason, db, as_json, predict = (given.pop(k) for k in ("fresh", "reason", "db", "as_json", "predict"))
    filed = from_file(given.pop("file"))
    if predict is not None and (fresh or given.get("seed") is not None):
        raise click.UsageError("With --predict the program draws the prompts. Leave out --seed and --fresh.")
    with one_line(), Context.open(db) as context, quiet_progress() as progress:
        context.progress = progress
        context.listen(lambda text: click.echo(text, err=True))
        asked = given.pop("task", None) or filed.pop("task", None)
        tasks = [] if asked is None else [task_named(context, name) for name in tasks_given(asked)]
        config = {**filed, **configuration(kind, given)}
        if predict is not None:
            run_prediction(context, kind, {**config, **({"task": ", ".join(tasks)} if tasks else {})}, predict, reason,
                           as_json)  # fmt: skip
        if len(tasks) > 1:
            run_on_tasks(context, kind, config, tasks, reason, fresh, as_json)
            return
        config |= {"task": tasks[0]} if tasks else {}
        outcome = run_experiment(context, experiment_from(kind, config), reason, fresh)
        logged = context.reader.experiment(outcome.number)
    if outcome.reused:
        click.echo(f"This experiment ran before, as {outcome.id}; --fresh reruns it.", err=True)
    if as_json:
        from ...db import records

        click.echo(json.dumps(records.as_json(logged), indent=2))
    elif outcome.error is None:
        from ...tools.report.plain_text import printable

        click.echo("\n".join(printable(line) for line in experiment_text(logged, effects=20).splitlines()))
    if outcome.error is not None:
        click.echo(f"Error: {outcome.id} failed: {outcome.error}", err=True)
        raise click.exceptions.Exit(2 if logged.error_type in ("BadConfiguration", "BadTask") else 1)


def run_on_tasks(
    context: Context, kind: str, config: dict[str, Any], tasks: list[str], reason: str | None, fresh: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """The same experiment on each task, and what differs between them. Exit code 1 if it failed on one of them."""
    from ...db import records
    from ...tools.report.plain_text import printable
    from ...tools.workbench.across_tasks import across_text, as_data, differences, run_each
    from ...tools.workbench.run_experiment import experiment_from

    done = run_each(context, tasks, lambda task: experiment_from(kind, {**config, "task": task}), reason, fresh)
    rows = [context.reader.experiment(one.number) for one in done.outcomes.values()]
    apart = differences(rows, context.reader)
    if as_json:
        whole = {
            "tasks": {task: records.as_json(row) for task, row in zip(done.outcomes, rows, strict=True)},
            "failed": {task: fault.text for task, fault in done.failed.items()},
            "differences": as_data(apart),
        }
        click.echo(json.dumps(whole, indent=2))
    elif rows:
        reused = [one.id for one in done.outcomes.values() if one.reused]
        text = across_text(rows, apart, reused=reused)
        click.echo("\n".join(printable(line) for line in text.splitlines()))
    for task, fault in done.failed.items():
        click.echo(f"Error: {task}: {fault.text}", err=True)
    if done.failed:
        raise click.exceptions.Exit(1 if rows else 2)


def run_prediction(
    context: Context, kind: str, config: dict[str, Any], text: str, reason: str | None, as_json: bool
) -> NoReturn:
    from ...tools.errors import ToolError
    from ...tools.evidence.conditions import NoCondition
    from ...tools.evidence.quantity import NoQuantity
    from ...tools.hypotheses import predict_by_hand
    from ...tools.report.plain_text import printable

    try:
        said, data = predict_by_hand(context, kind, config, text, reason)
    except (NoCondition, NoQuantity) as fault:
        raise ToolError(str(fault)) from fault
    click.echo(json.dumps(data, indent=2) if as_json else "\n".join(printable(line) for line in said.splitlines()))
    raise click.exceptions.Exit(0 if data["status"] == "supported" else 1)


@click.group(cls=Kinds)
def experiment() -> None:
    """Run one experiment by hand, logged like any other. Its options are its configuration.

    \b
    agent experiment head_ablation --sweep --task arithmetic --layers 0,1 --method mean
    agent experiment layer_program --program "0-4, 6-29"
    agent experiment head_ablation --heads L20.H8 --predict "logit_diff_change < -0.3"
    """
