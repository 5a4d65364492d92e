"""The same arithmetic with faster kernels.

On x86 torch passes fp32 products to MKL, which has its best kernels for its maker's processors: on others it reaches
about half the speed of oneDNN, which is in torch too, in the same precision. On some of its maker's it is a tenth
faster. A measurement decides which of them multiplies (`processor`). And the GELU of GPT-2 is written as seven passes
over its input where one is enough. These two take nearly all the time of a sweep, so a subject's modules are switched
over when it is prepared. Weights, names and saved files do not change; products that are not fp32 on a CPU, or need a
gradient, use the usual way.

oneDNN reorders weights at every product, which takes a tenth of its time. While `laid_out` is open, they are also kept
in that order. In fp32 the results have the same bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from .processor import BOTH, speeds

# For which `laid_out` brings weights in order; any number of rows is right with any.
ROWS = 1024
# The last is what oneDNN says where it gets no memory for its code; of a descriptor, the same words mean another thing.
MEMORY_ENDED = re.compile(r"can't allocate memory|bad_alloc|could not create a (memory|primitive)(?! descriptor)")


def without_gradient(x: Tensor, weight: Tensor) -> bool:
    return not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))


def usable(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN multiplies these, and faster than torch's own choice."""
    plain = BOTH and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    return plain and without_gradient(x, weight) and speeds(x.device).onednn


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [..., d_in] times weight [d_out, d_in] transposed, plus bias, like `torch.nn.functional.linear`."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def multiplied(module: FastLinear | FastConv1D, x: Tensor, weight: Tensor) -> Tensor | None:
    """The module's output for the input x, or None if the usual way is as good."""
    # A single row goes another way in oneDNN if weights are laid out, and would get other bits.
    if module.laid_out is not None and x.shape[:-1].numel() > 1 and without_gradient(x, weight):
        return product(x, module.laid_out, module.bias)
    return product(x, weight, module.bias) if usable(x, weight) else None


class FastLinear(nn.Linear):
    """An `nn.Linear` that oneDNN multiplies if it is faster. If its weights are rounded, so is its input."""

    laid_out: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        input = input.to(self.weight.dtype)
        out = multiplied(self, input, self.weight)
        return super().forward(input) if out is None else out


class FastConv1D(Conv1D):
    """The same for a `Conv1D`, GPT-2's name for a linear layer stored the other way round."""

    laid_out: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        out = multiplied(self, x, self.weight.T)
        return super().forward(x) if out is None else out


def is_refused_memory(fault: BaseException) -> bool:
    """Whether an error is about memory: on the CPU torch and oneDNN have no class of their own for it."""
    if isinstance(fault, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(fault, RuntimeError) and MEMORY_ENDED.search(str(fault)) is not None


def can_be_laid_out(module: nn.Module) -> bool:
    if not BOTH or not isinstance(module, (FastLinear, FastConv1D)) or module.weight.device.type != "cpu":
        return False
    bf16 = module.weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return bf16 or (module.weight.dtype == torch.float32 and speeds(module.weight.device).onednn)


@contextmanager
def laid_out(modules: Iterable[nn.Module]) -> Iterator[None]:
    """While open, the weights of these modules that `can_be_laid_out` are in memory a second time, as oneDNN has them.

    Where memory ends on the way, none of them is: it is an order, and nothing else. They must not be changed meanwhile.
    """
    ours = [m for m in modules if isinstance(m, (FastLinear, FastConv1D)) and can_be_laid_out(m)]
    try:
        try:
            for module in ours:
                weight = module.weight.detach()
                matrix = weight if isinstance(module, FastLinear) else weight.T.contiguous()
                module.laid_out = torch.ops.mkldnn._reorder_linear_weight(matrix, ROWS)
        except (RuntimeError, MemoryError) as fault:
            if not is_refused_memory(fault):
                raise
            for module in ours:
                module.laid_out = None
        yield
    finally:
        for module in ours:
            module.laid_out = None


class FastGELU(NewGELUActivation):
    """The tanh approximation of GELU in one pass."""

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.gelu(input, approximate="tanh")


def speed_up(model: nn.Module) -> None:
    """Switch a model over, in place."""
    for module in model.modules():
        # Only these very classes: what a subclass computes is its own affair.
        if type(module) in FASTER:
            module.__class__ = FASTER[type(module)]


FASTER: dict[type[nn.Module], type[nn.Module]] = {
    NewGELUActivation: FastGELU,
    nn.Linear: FastLinear,
    Conv1D: FastConv1D,
}
