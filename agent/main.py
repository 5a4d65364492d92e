"""The command line. A command's file is imported when the command is used, so that reading is instant.

Exit codes: 0 done; 1 the answer is no; 2 usage; 3 budget spent; 130 interrupted. Messages go to stderr.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys

import click

from .. import __version__
from . import settings

# command -> (module, what it does): the help needs no import.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run an autonomous study of a goal, to a written report."),
    "resume": ("resume", "Go on with a study that was stopped."),
    "tell": ("tell", "Tell a study that is running something; it reads your words before its next step."),
    "fork": ("fork", "Take another course from some step of a study."),
    "review": ("review", "Ask for a second opinion on a study: another run tries to refute it."),
    "experiment": ("experiment", "Run one experiment by hand, logged like any other."),
    "replay": ("replay", "Repeat a run or an experiment, and compare every step and number."),
    "verify": ("verify", "Check a report, and all it rests on, against what was recorded."),
    "report": ("report", "Write a study's report as Markdown and HTML."),
    "runs": ("browse", "The studies that were run."),
    "experiments": ("browse", "The experiments, by kind, task, model, run or status."),
    "show": ("browse", "Anything by its id: R1, E12, N3, H2."),
    "findings": ("findings", "What a study found, by the program; and its verdict on any claim."),
    "notes": ("browse", "Search the notes."),
    "web": ("web", "The same in a browser, and a study as it goes on."),
    "top": ("top", "The largest effects over all studies."),
    "export": ("export", "The tracker's tables as CSV, JSON lines or Parquet."),
    "figure": ("figure", "The figures of an experiment as PNG or SVG."),
    "doctor": ("doctor", "Try the language model's server, and say what will work with it."),
    "diff": ("diff", "Two runs or two experiments beside each other."),
    "models": ("models", "The models that can be studied, and a check of one."),
    "tasks": ("tasks", "The tasks, and one with examples."),
    "check-published": ("published", "Compare what is published about GPT-2 small with what our experiments measure."),
}


class Lazy(click.Group):
    """A group whose commands are imported by name, when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".commands.{COMMANDS[cmd_name][0]}", __package__)
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return settings.listen(command, settings.LISTENING.get(cmd_name, ()))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=2)
            hint = f"Did you mean {' or '.join(near)}?" if near else "Try 'agent --help'."
            ctx.fail(f"There is no command '{args[0]}'. {hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lashley")
def cli() -> None:
    """Lashley studies language models: it removes parts, measures what is lost, and writes a report in which every
    number can be traced and run again.

    \b
    agent run --goal "Which heads does SmolLM2 use to add two digits?"
    agent notes addition        agent show E12        agent replay E12
    """
    settings.load()


def main() -> None:
    """The entry point of `agent` and `lashley`."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as fault:
        settings.explain(fault)
        fault.show()
        code = fault.exit_code
    except BrokenPipeError:
        # Whoever reads has seen enough (`| head`); what is still in the buffer would fail once more at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as fault:
        if fault.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # What reads the output has gone, or there is no room for it; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if fault.errno == errno.ENOSPC:
            click.echo("Error: There is no room for what was to be written. Make room, and ask again.", err=True)
        code = 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
