"""One way of sweeping, in a process of its own, so that no two of them share a memory or an environment.

    python -P worker.py FILE FUNCTION

It reads one JSON object a line and answers each with one. The first has the arguments of the function, which loads
the model and returns `sweep(heads) -> Tensor [head, prompt]`; every other has the heads to sweep. Only torch and the
standard library are imported here, because the rivals' environment has no lashley.

    {"folder": ..., "ids": ..., "pair": ..., "device": ..., "clock": "perf_counter", "options": {}}
                                     ->  {"versions": {...}, "threads": 2}
    {"heads": [[layer, head], ...]}  ->  {"seconds": ..., "values": [...], "memory": bytes}
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import json
import os
import resource
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


def load(file: str) -> ModuleType:
    """A module from its path alone: a rival's file has the name of its library, and must not stand in its way."""
    spec = importlib.util.spec_from_file_location(f"way_{Path(file).stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Memory:
    """The most memory, in bytes, above what the process held when its model had just been loaded.

    On a GPU that is torch's own count. On Linux it is the resident set, whose peak can be reset; elsewhere it is the
    growth of the process's all-time peak, which hides what loading took anyway.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        gc.collect()
        for thing in gc.get_objects():
            # Weights that are mapped from a file are in memory only once they have been read.
            if issubclass(type(thing), torch.Tensor):
                thing.detach().sum()
        self.reset()
        self.loaded = self.peak()

    def reset(self) -> None:
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        elif Path("/proc/self/clear_refs").is_file():
            Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> int:
        if self.device == "cuda":
            return torch.cuda.max_memory_allocated()
        if Path("/proc/self/status").is_file():
            return status("VmHWM")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def growth(self) -> int:
        return self.peak() - self.loaded


def status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def main() -> None:
    # Libraries print what they like; the answers keep a channel to themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(**said: Any) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    given = json.loads(sys.stdin.readline())
    module, device, clock = load(sys.argv[1]), given["device"], getattr(time, given["clock"])
    sweep = getattr(module, sys.argv[2])(
        given["folder"], torch.tensor(given["ids"]).to(device), torch.tensor(given["pair"]).to(device), device,
        **given["options"],
    )  # fmt: skip
    memory = Memory(device)
    answer(versions={p: importlib.metadata.version(p) for p in module.PACKAGES}, threads=torch.get_num_threads())
    for line in sys.stdin:
        heads = [(layer, head) for layer, head in json.loads(line)["heads"]]
        memory.reset()
        begun = clock()
        values = sweep(heads).float().cpu()  # the copy waits for the device
        seconds = clock() - begun
        answer(seconds=seconds, values=values.tolist(), memory=memory.growth())


if __name__ == "__main__":
    main()
