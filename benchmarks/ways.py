"""The ways of sweeping that are compared: ours, and how other libraries do it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

# What is counted, as functions of `time`. The processor's seconds are those of all threads of a process, whoever else
# wants the processor; threads that wait for each other count as busy, so they are for one thread.
CLOCKS = {"wall": "perf_counter", "processor": "process_time"}
RIVALS = HERE / ".envs" / "rivals" / "bin" / "python"


@dataclass(frozen=True)
class Way:
    """A function of a file, and where it runs.

    ours         it sweeps all heads in one call; a rival goes head by head and is given a share of them
    python       of the environment that it needs
    options      further arguments of the function
    environment  further variables of its process
    imitated     whether that makes of this processor one without bf16; such ways are compared with each other
    """

    name: str
    file: str
    function: str = "prepare"
    ours: bool = False
    python: Path = Path(sys.executable)
    options: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    imitated: bool = False


# What keeps oneDNN, torch and MKL to AVX2: there bf16 is emulated, and fp32 half as fast as with AVX-512.
WITHOUT_BF16 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def without_bf16(way: Way) -> Way:
    environment = {**way.environment, **WITHOUT_BF16}
    return replace(way, name=f"{way.name}, without bf16", environment=environment, imitated=True)


# The first is what all others are compared with. Those of ours that only approximate it get their ranks compared, too.
WAYS = {
    "engine": Way("engine, fp32", "ours.py", "exact", ours=True),
    "small": Way("engine, fp32, in 256 MB", "ours.py", "exact", ours=True, options={"memory": 256_000_000}),
    "bf16": Way("all in bf16", "ours.py", "screen", ours=True, options={"verify": 0, "narrowed": False}),
    "narrowed": Way("a screen's look", "ours.py", "screen", ours=True, options={"verify": 0}),
    "screen": Way("a screen: the look, the strongest in fp32", "ours.py", "screen", ours=True),
    "attribution": Way("all by gradients, the strongest in fp32", "ours.py", "attribution", ours=True),
    "plain": Way("plain loop of hooks", "rivals/plain_hooks.py"),
    "transformer_lens": Way("TransformerLens", "rivals/transformer_lens.py", python=RIVALS),
    "nnsight": Way("nnsight", "rivals/nnsight.py", python=RIVALS),
    "nnsight_folded": Way("nnsight, 8 heads a trace", "rivals/nnsight.py", "folded", python=RIVALS),
    "pyvene": Way("pyvene", "rivals/pyvene.py", python=RIVALS),
}
WAYS |= {f"{name}_without_bf16": without_bf16(WAYS[name]) for name in ("engine", "narrowed", "screen", "plain")}


class Failed(Exception):
    """A way could not be run; the message is one line."""


@dataclass(frozen=True)
class Swept:
    """Seconds, logit differences [head][prompt], and the most memory in bytes above that of the loaded model."""

    seconds: float
    values: list[list[float]]
    memory: int


class Process:
    """A way that has been started. Raises Failed when it ends before it answers."""

    def __init__(
        self, way: Way, folder: str, ids: list[list[int]], pair: list[list[int]], device: str, clock: str = "wall"
    ) -> None:
        if not way.python.exists():
            raise Failed("its environment is not there: make bench-envs")
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (it lives as long as the process)
        self.process = subprocess.Popen(
            [way.python, "-P", HERE / "worker.py", HERE / way.file, way.function],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, encoding="utf-8",
            env={**os.environ, "HF_HUB_OFFLINE": "1", **way.environment},
        )  # fmt: skip
        self.send(folder=folder, ids=ids, pair=pair, device=device, clock=CLOCKS[clock], options=way.options)

    def send(self, **request: Any) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as fault:
            raise self.failed() from fault

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self.failed()
        return json.loads(line)

    def sweep(self, heads: Sequence[tuple[int, int]]) -> Swept:
        self.send(heads=list(heads))
        return Swept(**self.receive())

    def failed(self) -> Failed:
        code = self.process.wait()
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return Failed(lines[-1][:300] if lines else f"it ended with code {code}")

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()
