"""RASP programs that tracr has compiled (arXiv 2301.05062), as GPT-2s whose circuits are known from their weights.

`benchmarks/rivals/compile_programs.py` writes the files. A compiled transformer has no norms; here, as in the planted
subjects, an anchor and a balance make LayerNorm harmless. The programs see the tokens before them only, and the answer
is read at the last position, which sees all.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from lashley.experiments.engine.graph import Graph
from lashley.experiments.engine.writing import Written
from lashley.experiments.lab import Lab
from lashley.experiments.model.loading import prepare
from lashley.experiments.tasks.drawn import Drawn
from lashley.experiments.tasks.prompt import Prompt, Split, split_of
from lashley.experiments.tasks.task import Task

FOLDER = Path(__file__).with_name("compiled")
PROGRAMS = ("reverse", "hist", "mostly", "brackets", "unused_branch")
HEIGHT, GAIN = 200.0, 10.0
# Some steps of compiled MLPs are so steep that a thousandth matters. So the balance is spread over many columns, which
# keeps its square small, and the norms' weights count what the other columns usually add.
BALANCED, USUAL = 24, 8.0
LENGTH = 6
# Prompts of a split. Few have almost only one letter.
FEW = {"mostly": 16}


@dataclass(frozen=True)
class Program:
    """about   what the compiler says: layers, heads, the labels of the columns of the stream, examples of answers
    weights    by the compiler's names, such as transformer/layer_0/attn/query/w [d_model, head * d_head]
    """

    name: str
    about: dict[str, Any]
    weights: dict[str, np.ndarray]

    @property
    def width(self) -> int:
        return len(self.about["labels"])

    def of(self, layer: int, part: str) -> tuple[torch.Tensor, torch.Tensor]:
        found = [torch.from_numpy(self.weights[f"transformer/layer_{layer}/{part}/{one}"]) for one in ("w", "b")]
        return found[0], found[1]


@cache
def program(name: str) -> Program:
    with np.load(FOLDER / f"{name}.npz") as kept:
        return Program(name, json.loads(str(kept["about"])), {k: kept[k] for k in kept.files if k != "about"})


def words_of(made: Program) -> list[str]:
    """All tokens: those that are read, and then those that are said only."""
    read = made.about["tokens"]
    return [*read, *(word for word in made.about["outputs"] if word not in read)]


def model_of(made: Program) -> GPT2LMHeadModel:
    layers, heads = made.about["layers"], made.about["heads"]
    d_key = made.of(0, "attn/query")[0].shape[1] // heads
    d_head = max(d_key, -(-(made.width + 2 + BALANCED) // heads))
    d_model, words = d_head * heads, words_of(made)
    hidden = made.of(0, "mlp/linear_1")[0].shape[1]
    config = GPT2Config(
        vocab_size=len(words), n_positions=LENGTH + 4, n_embd=d_model, n_layer=layers, n_head=heads, n_inner=hidden,
        activation_function="relu", tie_word_embeddings=False, pad_token_id=words.index("compiler_pad"),
        bos_token_id=words.index("BOS"), eos_token_id=words.index("BOS"),
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    body: Any = model.transformer
    anchor, balance = (made.width, made.width + 1), slice(made.width + 2, made.width + 2 + BALANCED)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        for norm in (body.ln_f, *(n for layer in body.h for n in (layer.ln_1, layer.ln_2))):
            norm.weight.fill_(((2 * HEIGHT**2 + USUAL) / d_model) ** 0.5)
        body.wte.weight[: len(made.about["tokens"]), : made.width] = torch.from_numpy(
            made.weights["token_embed/embeddings"]
        )
        body.wpe.weight[: LENGTH + 1, : made.width] = torch.from_numpy(made.weights["pos_embed/embeddings"])
        body.wpe.weight[:, anchor[0]], body.wpe.weight[:, anchor[1]] = HEIGHT, -HEIGHT
        written = [body.wte.weight, body.wpe.weight]
        for i, layer in enumerate(body.h):
            for part, name in enumerate(("query", "key", "value")):
                w, b = made.of(i, f"attn/{name}")
                # The scores are divided by the root of another d_head.
                factor = (d_head / d_key) ** 0.5 if name == "query" else 1.0
                for h in range(heads):
                    mine, theirs = slice(part * d_model + h * d_head, None), slice(h * d_key, (h + 1) * d_key)
                    layer.attn.c_attn.weight[: made.width, mine][:, :d_key] = factor * w[:, theirs]
                    layer.attn.c_attn.bias[mine][:d_key] = factor * b[theirs]
            w, b = made.of(i, "attn/linear")
            for h in range(heads):
                layer.attn.c_proj.weight[h * d_head : h * d_head + d_key, : made.width] = w[h * d_key : (h + 1) * d_key]
            layer.attn.c_proj.bias[: made.width] = b
            for own, name in ((layer.mlp.c_fc, "mlp/linear_1"), (layer.mlp.c_proj, "mlp/linear_2")):
                w, b = made.of(i, name)
                own.weight[: w.shape[0], : w.shape[1]] = w
                own.bias[: len(b)] = b
            written += [layer.attn.c_proj.weight, layer.attn.c_proj.bias, layer.mlp.c_proj.weight,
                        layer.mlp.c_proj.bias]  # fmt: skip
        for weight in written:
            weight[..., balance] = -weight.sum(-1, keepdim=True) / BALANCED
        for word, column in says(made).items():
            model.lm_head.weight[words.index(word), column] = GAIN
    return model


def says(made: Program) -> dict[str, int]:
    """The column of the stream that says each answer."""
    found = {}
    for i, label in enumerate(made.about["labels"]):
        name, _, value = label.partition(":")
        if value and name.rpartition("_")[0] == made.about["says"]:
            found[value] = i
    assert set(found) == set(made.about["outputs"])
    return found


def tokenizer_of(made: Program) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    words = words_of(made)
    kept = Tokenizer(models.WordLevel({f"Ġ{w}": i for i, w in enumerate(words)}, unk_token="Ġcompiler_pad"))
    kept.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", "merged_with_next"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    kept.decoder = decoders.ByteLevel()
    kept.post_processor = processors.TemplateProcessing(single="ĠBOS $A", special_tokens=[("ĠBOS", words.index("BOS"))])
    return PreTrainedTokenizerFast(
        tokenizer_object=kept, pad_token="Ġcompiler_pad", unk_token="Ġcompiler_pad", bos_token="ĠBOS",
        eos_token="ĠBOS", clean_up_tokenization_spaces=False,
    )  # fmt: skip


def answer_of(name: str, words: list[str]) -> str:
    """What the program says at the last position, by the meaning of its RASP source."""
    match name:
        case "reverse" | "unused_branch":
            return words[0]
        case "hist":
            return str(words.count(words[-1]))
        case "mostly":
            return "yes" if words.count("a") > 0.75 * len(words) else "no"
        case _:
            depth, fine = {"()": 0, "{}": 0}, True
            for word in words:
                pair = "()" if word in "()" else "{}"
                depth[pair] += 1 if word == pair[0] else -1
                fine = fine and min(depth.values()) >= 0
            return str(fine and not any(depth.values()))


def task_of(made: Program) -> Task:
    vocabulary = made.about["vocabulary"]

    def drawn(rng: random.Random) -> list[str]:
        if made.name == "mostly":
            return ["a" if rng.random() < 0.75 else rng.choice(vocabulary) for _ in range(LENGTH)]
        if made.name != "brackets" or rng.random() < 0.3:
            return [rng.choice(vocabulary) for _ in range(LENGTH)]
        # Balanced: among random ones hardly any is.
        words = list[str]()
        while len(words) < LENGTH:
            at, pair = rng.randint(0, len(words)), rng.choice(("()", "{}"))
            words[at:at] = pair
        return words

    def draw(rng: random.Random, kind: int, split: Split) -> Prompt | None:
        words = drawn(rng)
        other = list(words)
        other[rng.randrange(LENGTH)] = rng.choice(vocabulary)
        answer, wrong = (answer_of(made.name, some) for some in (words, other))
        # The answers take turns, as far as there are two.
        few = len(made.about["outputs"]) == 2
        if answer == wrong or split_of(" ".join(words)) != split or (few and answer != made.about["outputs"][kind]):
            return None
        text, twin = ("".join(f" {word}" for word in some) for some in (words, other))
        return Prompt(
            text=text, answer=f" {answer}", distractor=f" {wrong}", corrupted=twin, corrupted_answer=f" {wrong}",
            spans={}, template="compiled", key=" ".join(words), values={},
        )  # fmt: skip

    return Task(
        name=f"compiled_{made.name}", title=made.name, description="A compiled program.\nChance is at most 1 in 2.",
        keywords=(), answer_kind="word", max_new_tokens=2, guess=lambda _: 1 / 2, group="sequences",
        source=Drawn(f"compiled {made.name} 1", draw, kinds=2, most=FEW.get(made.name, 60)),
    )  # fmt: skip


def compiled_lab(name: str) -> Lab:
    made = program(name)
    subject = prepare(f"compiled-{name}", model_of(made), tokenizer_of(made), "cpu")
    return Lab(subject, task_of(made).for_tokenizer(subject.tokenizer))


def edges_of(made: Program, graph: Graph, own: Written, other: Written) -> torch.Tensor:
    """The edges that carry the difference between two runs, as a mask [sender, receiver]: the sender writes something
    else, in a column that the receiver reads, and what the receiver does with it leads to the answer.

    A column leads to the answer if a part reads it that writes a column which does. The program's unused columns do
    not.
    """
    labels, heads = made.about["labels"], made.about["heads"]
    names = tuple(made.about["unused"])
    unused = {i for i, label in enumerate(labels) if label.startswith(names)}
    reads, writes = dict[str, set[int]](), dict[str, set[int]]()

    def rows(w: torch.Tensor, dim: int) -> set[int]:
        return {int(i) for i in w.abs().sum(dim).nonzero().flatten()} - unused

    for layer in range(made.about["layers"]):
        for h in range(heads):
            for by, part in zip("qkv", ("query", "key", "value"), strict=True):
                w = made.of(layer, f"attn/{part}")[0]
                reads[f"L{layer}.H{h}.{by}"] = rows(w.unflatten(1, (heads, -1))[:, h], 1)
            writes[f"L{layer}.H{h}"] = rows(made.of(layer, "attn/linear")[0].unflatten(0, (heads, -1))[h], 0)
        reads[f"L{layer}.mlp"] = rows(made.of(layer, "mlp/linear_1")[0], 1)
        writes[f"L{layer}.mlp"] = rows(made.of(layer, "mlp/linear_2")[0], 0)
    reads["logits"] = set(says(made).values())
    changed = changed_columns(graph, own, other, made)
    mask = torch.zeros_like(graph.after)
    used = {"logits"}
    for s in reversed(range(len(graph.senders))):
        for r in graph.after[s].nonzero().flatten().tolist():
            reader = graph.receivers[r].name
            if reader in used and reads[reader] & changed[s]:
                mask[s, r] = True
        if s in graph.readers and bool(mask[s].any()):
            used |= {graph.receivers[r].name for r in graph.readers[s]}
    return mask


def changed_columns(graph: Graph, own: Written, other: Written, made: Program) -> list[set[int]]:
    """Of each sender the columns of the stream in which it writes something else in the other run."""
    found = []
    for sender in graph.senders:
        if sender.part == "resid_pre":
            moved = other.embedded - own.embedded
        elif sender.part == "mlp_out":
            moved = other.mlp[sender.layer] - own.mlp[sender.layer]  # type: ignore[operator]
        else:
            assert sender.index is not None
            z = other.z[sender.layer] - own.z[sender.layer]  # type: ignore[operator]
            heads = made.about["heads"]
            w = made.of(sender.layer, "attn/linear")[0].unflatten(0, (heads, -1))[sender.index]
            moved = z.unflatten(-1, (heads, -1))[..., sender.index, : len(w)] @ w
        found.append({int(i) for i in (moved.abs().amax((0, 1)) > 1e-3).nonzero().flatten() if i < made.width})
    return found
