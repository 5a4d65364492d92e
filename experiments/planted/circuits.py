"""Planted circuits: small models that compute one thing by known edges, and the prompts that ask for it.

They are built like the subjects of `truth` (see `build`), with one more head, and one more slot `handed` in the stream.
`edges` are those that carry the difference between a prompt and its corrupted prompt. What does not depend on the
words, such as where a head attends by position, is the same in both, so its edges are not among them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch

from ..result import Frozen
from ..tasks.drawn import Drawn
from ..tasks.induction import INDUCTION
from ..tasks.prompt import Prompt, Split, split_of
from ..tasks.task import Task
from .build import ANCHOR, HEIGHT, POSITIONS, PREVIOUS, SAID, TOKEN, TOKENS
from .truth import SPECIAL, WORDS

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

N_HEADS, D_MODEL = 5, 320
HANDED = slice(256, 256 + TOKENS)
# Two columns of the slot `handed` hold one bit each.
BITS = (256, 257)
# Words of an answer that is a bit, and words that stand for 1; the others stand for 0.
YES, NO = 0, 1
ONES, NOUGHTS = WORDS[2:29], WORDS[29:56]
SLOTS = {"token": TOKEN, "previous": PREVIOUS, "handed": HANDED, "said": SAID}

Slot = Literal["token", "previous", "handed", "said"]
Draw = Callable[[random.Random, int, Split], Prompt | None]


class PlantedHead(Frozen):
    """A head that does something.

    attends  back: to the position before; match: to where slot `key` has the code of the query's slot `query`, before
             position `until`; bit: to position `until`, whose word's bit it writes
    moves    the slot that it reads, and the slot that it writes to
    """

    at: str
    attends: Literal["back", "match", "bit"]
    moves: tuple[Slot, Slot] = ("token", "said")
    query: Slot = "token"
    key: Slot = "token"
    until: int = POSITIONS


class PlantedCircuit(Frozen):
    """gate: what the MLP of layer 0 computes of the two bits, where there is one."""

    about: str
    n_layers: int
    heads: tuple[PlantedHead, ...]
    edges: tuple[str, ...]
    task: str
    gate: Literal["and", "xor"] | None = None


CIRCUITS = {
    "chain": PlantedCircuit(
        about="V-composition: three heads hand a word on, each by one position.",
        n_layers=3,
        heads=(
            PlantedHead(at="L0.H1", attends="back", moves=("token", "previous")),
            PlantedHead(at="L1.H3", attends="back", moves=("previous", "handed")),
            PlantedHead(at="L2.H0", attends="back", moves=("handed", "said")),
        ),
        edges=("embed -> L0.H1.v", "L0.H1 -> L1.H3.v", "L1.H3 -> L2.H0.v", "L2.H0 -> logits"),
        task="three_before",
    ),
    "query": PlantedCircuit(
        about="Q-composition: a head looks for the word that another one has moved to the last position.",
        n_layers=2,
        heads=(
            PlantedHead(at="L0.H4", attends="back", moves=("token", "previous")),
            PlantedHead(at="L1.H1", attends="match", query="previous", until=6),
        ),
        edges=("embed -> L0.H4.v", "L0.H4 -> L1.H1.q", "L1.H1 -> logits"),
        task="before_the_last",
    ),
    "decoy": PlantedCircuit(
        about="K-composition (induction), and a head that attends as the induction head does and writes where nothing "
        "reads.",
        n_layers=2,
        heads=(
            PlantedHead(at="L0.H1", attends="back", moves=("token", "previous")),
            PlantedHead(at="L1.H2", attends="match", key="previous"),
            PlantedHead(at="L1.H3", attends="match", key="previous", moves=("token", "handed")),
        ),
        edges=("embed -> L0.H1.v", "L0.H1 -> L1.H2.k", "embed -> L1.H2.v", "L1.H2 -> logits"),
        task="induction",
    ),
    "and": PlantedCircuit(
        about="Two heads fetch a bit each, and an MLP says yes if both are 1.",
        n_layers=2,
        heads=(PlantedHead(at="L0.H0", attends="bit", until=0), PlantedHead(at="L0.H2", attends="bit", until=1)),
        edges=("embed -> L0.H0.v", "embed -> L0.H2.v", "L0.H0 -> L0.mlp", "L0.H2 -> L0.mlp", "L0.mlp -> logits"),
        task="both",
        gate="and",
    ),
    "xor": PlantedCircuit(
        about="Two heads fetch a bit each, and an MLP says yes if one of them is 1.",
        n_layers=2,
        heads=(PlantedHead(at="L0.H3", attends="bit", until=0), PlantedHead(at="L0.H1", attends="bit", until=1)),
        edges=("embed -> L0.H3.v", "embed -> L0.H1.v", "L0.H3 -> L0.mlp", "L0.H1 -> L0.mlp", "L0.mlp -> logits"),
        task="one_of_two",
        gate="xor",
    ),
}


def circuit_model(planted: PlantedCircuit) -> GPT2LMHeadModel:
    from transformers import GPT2Config, GPT2LMHeadModel

    from .build import balance, frame, put

    config = GPT2Config(
        vocab_size=TOKENS, n_positions=POSITIONS, n_embd=D_MODEL, n_layer=planted.n_layers, n_head=N_HEADS,
        n_inner=8, activation_function="relu", tie_word_embeddings=False,
        pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    made = GPT2LMHeadModel(config)
    body: Any = made.transformer
    with torch.no_grad():
        frame(made)
        bits = iter(BITS)
        for head in planted.heads:
            layer, h = (int(part[1:]) for part in head.at.split("."))
            put(body.h[layer], h, *weights_of(head, bits))
        if planted.gate is not None:
            set_gate(body.h[0].mlp, planted.gate)
        balance(made)
    return made


def weights_of(head: PlantedHead, bits: Any) -> tuple[torch.Tensor, ...]:
    from .build import back, matching, moving, resting, zeros

    moved = moving(SLOTS[head.moves[0]], SLOTS[head.moves[1]], D_MODEL)
    match head.attends:
        case "back":
            return (*back(D_MODEL), *moved)
        case "match":
            kept_out = slice(head.until, POSITIONS) if head.until < POSITIONS else slice(0, 1)
            return (*matching(SLOTS[head.query], SLOTS[head.key], kept_out, D_MODEL), *moved)
        case "bit":
            value, out = zeros(D_MODEL), zeros(D_MODEL)
            ones = [TOKEN.start + len(SPECIAL) + WORDS.index(word) for word in ONES]
            value[ones, 0], out[next(bits), 0] = 1.0, 1.0
            return (*resting(head.until, D_MODEL), value, out)


def set_gate(mlp: Any, gate: Literal["and", "xor"]) -> None:
    """Neuron 0 says yes, neuron 1 takes it back where both bits are 1 (xor). Without either the answer is no: `said`
    has half a `no` from the bias."""
    yes, no = (SAID.start + len(SPECIAL) + word for word in (YES, NO))
    first = -1.5 if gate == "and" else -0.5
    mlp.c_fc.weight[list(BITS), 0] = 1.0
    mlp.c_fc.bias[0] = first
    mlp.c_proj.weight[0, yes] = 2.0
    if gate == "xor":
        mlp.c_fc.weight[list(BITS), 1] = 1.0
        mlp.c_fc.bias[1] = -1.5
        mlp.c_proj.weight[1, yes] = -6.0
    # A neuron that is always on, so that the balance is kept.
    mlp.c_fc.weight[ANCHOR[0], 2] = 1 / HEIGHT
    mlp.c_proj.weight[2, no] = 0.5


# --- the prompts


def prompt(words: list[str], other: list[str], answer: str, wrong: str, split: Split) -> Prompt | None:
    """A prompt, and the one that it is compared with; None if it is of the other split."""
    key = " ".join(words)
    if split_of(key) != split:
        return None
    text, twin = ("".join(f" {word}" for word in some) for some in (words, other))
    return Prompt(
        text=text, answer=f" {answer}", distractor=f" {wrong}", corrupted=twin, corrupted_answer=f" {wrong}",
        spans={}, template="planted", key=key, values={},
    )  # fmt: skip


def three_before(rng: random.Random, kind: int, split: Split) -> Prompt | None:
    *words, new = rng.sample(WORDS, 9)
    other = [new if i == len(words) - 4 else word for i, word in enumerate(words)]
    return prompt(words, other, words[-4], new, split)


def before_the_last(rng: random.Random, kind: int, split: Split) -> Prompt | None:
    *words, end = rng.sample(WORDS, 7)
    cue, wrong = rng.sample(words, 2)
    return prompt([*words, cue, end], [*words, wrong, end], cue, wrong, split)


def of_bits(both: bool) -> Draw:
    """Words whose first two stand for bits. Kinds take turns at the bits, and at which of them is another in the
    corrupted prompt: one of them for xor, both for and."""

    def draw(rng: random.Random, kind: int, split: Split) -> Prompt | None:
        bits = (kind & 1, kind & 1) if both else (kind & 1, kind >> 1 & 1)
        changed = (True, True) if both else (bool(kind & 4), not kind & 4)
        other = tuple(bit ^ change for bit, change in zip(bits, changed, strict=True))
        rest = rng.sample(WORDS[2:], 4)

        def words(of: tuple[int, ...]) -> list[str]:
            return [rng.choice(ONES if bit else NOUGHTS) for bit in of]

        first = words(bits)
        second = [new if change else old for old, new, change in zip(first, words(other), changed, strict=True)]
        yes = all(bits) if both else sum(bits) == 1
        answer, wrong = (WORDS[YES], WORDS[NO]) if yes else (WORDS[NO], WORDS[YES])
        return prompt(first + rest, second + rest, answer, wrong, split)

    return draw


def made_task(name: str, title: str, says: str, draw: Draw, kinds: int = 1) -> Task:
    return Task(
        name=name, title=title, description=says, keywords=(), answer_kind="word", max_new_tokens=2,
        guess=lambda _: 1 / 2, group="sequences", source=Drawn(f"{name} 1", draw, kinds),
    )  # fmt: skip


PLANTED_TASKS = {
    made.name: made
    for made in (
        INDUCTION,
        made_task("three_before", "The word three before the last", "Says the word three before the last.\nChance is "
                  "1 in 2.", three_before),
        made_task("before_the_last", "The word before the last", "Says the word before the last, one of six listed "
                  "words.\nChance is 1 in 2.", before_the_last),
        made_task("both", "Two bits, and", "Says whether the first two words are both of one class.\nChance is 1 in 2.",
                  of_bits(both=True), kinds=2),
        made_task("one_of_two", "Two bits, xor", "Says whether one of the first two words is of a class.\nChance is "
                  "1 in 2.", of_bits(both=False), kinds=8),
    )
}  # fmt: skip
