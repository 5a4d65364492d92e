"""What pays on this machine: measured once in a few milliseconds, and kept.

Which library multiplies faster in fp32, and whether bf16 is faster still, depends on the processor: some have units for
bf16, on others torch emulates it and takes seven times as long. What a processor says about itself does not settle it,
so a product of the size that a sweep has is timed in each way, in one thread: several wait for each other wherever
something else runs, and what they wait would be measured. What was found is kept in the user's cache, by processor,
version of torch and the limits that the environment sets; there it stays, so that a replay goes the same way.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from .allocator import keep_freed_memory
from .bundled import cache_folder
from .device import device_name

# Another number whenever what is measured, or how, changes.
VERSION = 1
# Rows, inputs and outputs of the product that is timed: a chunk of a sweep in a small model; a GPU needs more work.
SIZE, SIZE_GPU = (1012, 576, 576), (8192, 1024, 4096)
# So many weights take turns, since those of a layer are not in the processor's cache when its turn comes.
WEIGHTS = 8
# Each way takes this many turns, and its shortest counts: other work of the machine only makes it longer.
TURNS = 8
# A way that takes this many times as long as another is dropped after two turns; emulated bf16 is slow to time.
HOPELESS, TRIES = 3.0, 2
# The share of fp32's time from which on bf16 pays. It costs memory, accuracy and the rounding of the weights, and what
# is not a product gains nothing.
WORTH = 0.8
# Torch's own product in fp32 is taken where it needs less than this share of oneDNN's time. Both are exact. Where they
# are closer, chance would choose.
FASTER = 0.97
# With these a user, or a test, keeps libraries from using all that the processor has.
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")
# On machines without MKL torch's own choice is oneDNN, or the machine's own library.
BOTH = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()


class Where(BaseModel):
    """What the speeds depend on besides the product itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    processor: str
    torch: str
    limits: dict[str, str] = {}


class Speeds(BaseModel):
    """The seconds of one product in each way; with the conversions of what goes in and comes out for bf16."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    where: Where
    torch_fp32: float = Field(gt=0)
    onednn_fp32: float | None = Field(default=None, gt=0)
    bf16: float = Field(gt=0)

    @property
    def onednn(self) -> bool:
        """Whether oneDNN multiplies in fp32 instead of torch's own choice."""
        return self.onednn_fp32 is not None and self.torch_fp32 > FASTER * self.onednn_fp32

    @property
    def fp32(self) -> float:
        return self.onednn_fp32 if self.onednn and self.onednn_fp32 is not None else self.torch_fp32

    @property
    def bf16_share(self) -> float:
        """The time of a product in bf16 as a share of fp32's."""
        return self.bf16 / self.fp32

    @property
    def bf16_pays(self) -> bool:
        return self.bf16_share <= WORTH


def speeds(device: torch.device) -> Speeds:
    """What pays on this device."""
    return _speeds(device.type if device.index is None else f"{device.type}:{device.index}")


def arithmetic(device: torch.device) -> str:
    """Everything that the last bits of a product depend on except its shape: the processor and its limits, torch,
    threads, and the library that multiplies."""
    library = speeds(device).onednn if device.type == "cpu" else None
    return repr((here(device), torch.get_num_threads(), library))


@cache
def _speeds(device: str) -> Speeds:
    where = here(torch.device(device))
    file = place(where)
    return known(file, where) or keep(file, measured(where, torch.device(device)))


def here(device: torch.device) -> Where:
    name = processor_and_abilities() if device.type == "cpu" else device_name(str(device))
    limits = {variable: os.environ[variable] for variable in LIMITS if variable in os.environ}
    return Where(processor=name, torch=torch.__version__, limits=limits)


def place(where: Where) -> Path:
    key = hashlib.sha256(where.model_dump_json().encode()).hexdigest()[:12]
    return cache_folder() / f"speeds-{key}.json"


def known(file: Path, where: Where) -> Speeds | None:
    """The measurement kept for this very place; None if there is none or it cannot be read, so that it is measured
    again."""
    try:
        found = Speeds.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    return found if found.where == where else None


def keep(file: Path, found: Speeds) -> Speeds:
    """Keep it if the cache can be written. Where it cannot, every process measures for itself.

    Of two processes that measured at once both go by what the first one wrote: near a limit they may have measured
    different choices, and what one began the other could not take up to the same bits.
    """
    part = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(found.model_dump_json(indent=1), encoding="utf-8")
        try:
            os.link(part, file)
        except OSError:  # something is there already, or the folder has no links
            if known(file, found.where) is None:
                part.replace(file)
    except OSError:
        return found
    finally:
        with suppress(OSError):
            part.unlink()
    return known(file, found.where) or found


@torch.inference_mode()
def measured(where: Where, device: torch.device) -> Speeds:
    keep_freed_memory()
    rows, d_in, d_out = SIZE if device.type == "cpu" else SIZE_GPU
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, d_in, generator=generator).to(device)
    weights = [torch.randn(d_out, d_in, generator=generator).to(device) for _ in range(WEIGHTS)]
    rounded = [weight.bfloat16() for weight in weights]
    ways: dict[str, Callable[[int], Tensor]] = {
        "torch_fp32": lambda i: nn.functional.linear(x, weights[i]),
        "bf16": lambda i: nn.functional.linear(x.bfloat16(), rounded[i]).float(),
    }
    if BOTH and device.type == "cpu":
        # Half a round ahead of the other, whose weights would be in the cache still.
        ahead = WEIGHTS // 2
        ways["onednn_fp32"] = lambda i: torch.ops.mkldnn._linear_pointwise(x, weights[i - ahead], None, "none", [], "")
    best: dict[str, float] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for turn in range(-1, TURNS):
            # The turn before the first only warms up: what is done for the first time is slower.
            for name, way in list(ways.items()):
                seconds = timed(partial(way, turn % WEIGHTS), device)
                best[name] = seconds if turn <= 0 else min(best[name], seconds)
            if turn >= TRIES - 1:
                ways = {name: way for name, way in ways.items() if best[name] <= HOPELESS * min(best.values())}
    finally:
        torch.set_num_threads(threads)
    return Speeds(where=where, **best)


def timed(way: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds; on a CPU, only those of this thread, whatever else the processor does."""
    fine = time.get_clock_info("thread_time").resolution <= 1e-6
    clock = time.thread_time if device.type == "cpu" and fine else time.perf_counter
    began = clock()
    way()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return clock() - began


def processor() -> str:
    """The processor's name as the system tells it."""
    return first_core().get("model name") or platform.processor() or platform.machine()


def processor_and_abilities() -> str:
    """Virtual machines give different processors the same name; what they can do tells them apart."""
    core = first_core()
    able = sorted((core.get("flags") or core.get("Features", "")).split())
    return f"{processor()}, {hashlib.sha256(' '.join(able).encode()).hexdigest()[:8]}"


def first_core() -> dict[str, str]:
    """What Linux says about the first core; elsewhere nothing."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if info.is_file() else []
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
