"""What is swept: models and prompts, laid into a folder and plain lists, so that every way loads the same.

All prompts of a case have one length, and the logit difference is read at the last position.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig, PretrainedConfig
from transformers.utils import logging

from lashley.experiments.model.bundled import bundled_folder
from lashley.experiments.model.loading import prepare
from lashley.experiments.model.subject import Subject
from lashley.experiments.tasks.batch import make_batch
from lashley.experiments.tasks.registry import task


@dataclass(frozen=True)
class Case:
    """A model, how many prompts, and what keeps it to a few minutes on a CPU.

    every   the rivals sweep one head in so many (all of them on a GPU)
    rounds  how often the ways take turns
    config  makes a random model's configuration; None for the bundled subject, with prompts of its task
    """

    title: str
    config: Callable[[], PretrainedConfig] | None
    prompts: int
    every: int
    rounds: int = 3
    gpu_only: bool = False


@dataclass(frozen=True)
class Laid:
    """A case, ready to be swept.

    ids     [prompt][position]
    pair    [prompt][2], the tokens whose logits are compared
    intact  the mean logit difference of the intact model, by the model's own forward pass
    """

    title: str
    folder: str
    ids: list[list[int]]
    pair: list[list[int]]
    intact: float
    subject: Subject


def llama_1b() -> LlamaConfig:
    return LlamaConfig(
        hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
        vocab_size=32_000, tie_word_embeddings=True,
    )  # fmt: skip


CASES = {
    "smollm2-8": Case("SmolLM2-135M", None, 8, every=5),
    "smollm2-32": Case("SmolLM2-135M", None, 32, every=15, rounds=2),
    "gpt2-1": Case("GPT-2-small shape, random weights", GPT2Config, 1, every=1),
    "gpt2-8": Case("GPT-2-small shape, random weights", GPT2Config, 8, every=3),
    "llama-1b-1": Case("Llama shape of 1.1 billion, random weights", llama_1b, 1, every=1, gpu_only=True),
    "llama-1b-8": Case("Llama shape of 1.1 billion, random weights", llama_1b, 8, every=1, gpu_only=True),
}
RANDOM_LENGTH = 16


@torch.inference_mode()
def lay(case: Case, folder: Path) -> Laid:
    """Write the model into `folder` unless it lies somewhere already, and choose the prompts."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if case.config is None:
        folder = bundled_folder("smollm2-135m")
        batch = make_batch(AutoTokenizer.from_pretrained(folder), task("arithmetic").prompts(case.prompts))
        assert bool(batch.mask.all()), "prompts of one length are needed here"
        assert bool((batch.answer_at == batch.reads - 1).all()), "the last position is read"
        ids, pair = batch.ids, batch.pair
    else:
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(case.config()).save_pretrained(folder)
        ids = torch.randint(0, 30_000, (case.prompts, RANDOM_LENGTH))
        pair = torch.tensor([[11, 7]]).repeat(case.prompts, 1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    answer, other = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[:, -1].gather(-1, pair).unbind(-1)
    n, length = ids.shape
    return Laid(
        title=f"{case.title}, {n} prompt{'s' * (n > 1)} of {length} tokens", folder=str(folder), ids=ids.tolist(),
        pair=pair.tolist(), intact=float((answer - other).mean()), subject=prepare(case.title, model, None, "cpu"),
    )  # fmt: skip
