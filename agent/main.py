"""The command line. A command's file is imported only when the command is used, so browsing is instant.

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

# command -> (module, help): `agent --help` imports no command.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run an autonomous study of a goal and write a report."),
    "resume": ("resume", "Resume a study that was stopped."),
    "tell": ("tell", "Send a message to a running study."),
    "skip": ("skip", "Stop the experiment that a study is running; the study continues."),
    "fork": ("fork", "Start a new study from a step of another one."),
    "review": ("review", "Ask for a second opinion: a new run tries to refute a study."),
    "experiment": ("experiment", "Run one experiment by hand."),
    "replay": ("replay", "Rerun a study or an experiment, and compare every number."),
    "verify": ("verify", "Check that a report and its records are unchanged."),
    "report": ("report", "Write a study's report as HTML, Markdown and a notebook."),
    "runs": ("browse", "List the studies."),
    "experiments": ("browse", "List the experiments, by kind, task, model, run or status."),
    "show": ("browse", "Show a run, experiment, note, hypothesis or circuit by its id: R1, E12, N3, H2, C1."),
    "circuits": ("circuits", "List the circuits that experiments found."),
    "findings": ("findings", "Show a study's findings, or the verdict on one claim."),
    "notes": ("browse", "Search the notes."),
    "web": ("web", "Browse the tracker, and watch a study, in a web browser."),
    "top": ("top", "List the largest effects over all studies."),
    "export": ("export", "Export the tracker's tables, or a circuit as JSON or a graph."),
    "figure": ("figure", "Draw the figures of an experiment as PNG or SVG."),
    "doctor": ("doctor", "Test the language model's server, and say what works with it."),
    "diff": ("diff", "Compare two runs, two experiments or two circuits."),
    "models": ("models", "List the models, or check one."),
    "tasks": ("tasks", "List the tasks; show, import or generate one."),
    "check-published": ("published", "Compare Lashley's measurements with published ones on GPT-2 small."),
}


class Lazy(click.Group):
    """A group that imports a command when it is used."""

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
    """Lashley studies language models: it removes parts, measures what is lost, and writes a report. You can trace and
    rerun every number in it.

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
        # The reader closed the pipe (`| head`). Redirect stdout, or flushing the buffer at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as fault:
        if fault.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # The pipe is closed or the disk is full, so nothing more can be written to stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if fault.errno == errno.ENOSPC:
            click.echo("Error: The disk is full, so the output is incomplete. Free some space and try again.", err=True)
        code = 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
