"""`agent ...` in a process of its own, forked from this one, which has imported everything and loaded the subject.

A process that begins with nothing spends five seconds on imports; what is tested is the same. Whatever is about the
beginning itself (what a command imports, a first load) starts Python instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess
from typing import NoReturn

AGENT = [sys.executable, "-c", "from lashley.agent.main import main; main()"]


@cache
def everything_imported() -> None:
    import torch  # noqa: F401
    import transformers  # noqa: F401

    from lashley.agent.commands import experiment, replay, report, resume, run, tasks  # noqa: F401
    from lashley.experiments.model import loading
    from lashley.tools import registry
    from lashley.tools.workbench import verify  # noqa: F401

    registry.all_tools()
    loading.load("smollm2-135m")


def agent(folder: Path, *words: str, **environment: str) -> CompletedProcess[str]:
    """The command in this folder, with these variables beside those that are set: its exit code and two streams."""
    everything_imported()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            in_child(folder, words, environment, out.fileno(), err.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return CompletedProcess(["agent", *words], code, out.read().decode(), err.read().decode())


def in_child(folder: Path, words: tuple[str, ...], environment: Mapping[str, str], out: int, err: int) -> NoReturn:
    import torch

    from lashley.agent.main import main

    code = 1
    try:
        # The threads of the parent did not come along.
        torch.set_num_threads(1)
        os.chdir(folder)
        os.environ.update(environment)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.argv = ["agent", *words]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001
        # As Python itself does with what nobody catches.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def fresh(folder: Path, *words: str, **environment: str) -> CompletedProcess[str]:
    """The same in a Python that begins with nothing."""
    return subprocess.run(
        [*AGENT, *words], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
