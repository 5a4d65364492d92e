"""What each part of a planted subject does: of a part that is not listed, that it is idle.

Lists the role, and after it what else is true: of an induction head that moves a token, that it writes the answer.
"""

from __future__ import annotations

import random
from functools import cache

from lashley.experiments.engine.graph import components
from lashley.experiments.kinds.component_roles import ComponentRoles
from lashley.experiments.lab import Lab
from lashley.experiments.methods.component_roles import Role
from lashley.experiments.model import loading
from lashley.experiments.planted import build, llama
from lashley.experiments.planted.circuits import CIRCUITS, PLANTED_TASKS, PlantedCircuit, circuit_model
from lashley.experiments.planted.truth import TRUTHS
from lashley.experiments.result import Result

READS: tuple[Role, ...] = ("reads_position",)
READS_AND_WRITES: tuple[Role, ...] = ("reads_position", "writes_answer")
MOVES_AND_WRITES: tuple[Role, ...] = ("moves_token", "writes_answer")
COMPUTES_AND_WRITES: tuple[Role, ...] = ("computes", "writes_answer")
IDLE: tuple[Role, ...] = ("idle",)

# Of the planted circuits, by the seat of the head in `CIRCUITS`.
TRUE_ROLES: dict[str, dict[str, tuple[Role, ...]]] = {
    "planted:induction": {"L0.H1": READS, "L1.H2": MOVES_AND_WRITES},
    # Its MLP takes back what two heads say louder than one does.
    "planted:backup": {
        "L0.H1": READS,
        "L1.H0": MOVES_AND_WRITES,
        "L1.H3": MOVES_AND_WRITES,
        "L1.mlp": ("computes", "suppresses"),
    },
    "planted:dead-layer": {"L0.H3": READS, "L2.H0": MOVES_AND_WRITES},
    # The MLP of layer 1 is held down by the constant, so it writes nothing.
    "planted:constant": {"L0.H0": ("adds_constant",), "L0.H2": READS, "L1.H1": MOVES_AND_WRITES},
    "chain": {"L0.H1": READS, "L1.H3": READS, "L2.H0": READS_AND_WRITES},
    "query": {"L0.H4": READS, "L1.H1": MOVES_AND_WRITES},
    # L1.H3 moves a token, too, but nothing reads what it writes.
    "decoy": {"L0.H1": READS, "L1.H2": MOVES_AND_WRITES},
    "and": {"L0.H0": READS, "L0.H2": READS, "L0.mlp": COMPUTES_AND_WRITES},
    "xor": {"L0.H3": READS, "L0.H1": READS, "L0.mlp": COMPUTES_AND_WRITES},
}
SHAPES = (
    *(name for name in TRUE_ROLES if name in TRUTHS),
    *(f"gpt2:{name}" for name in CIRCUITS),
    "llama:chain",
    "llama:decoy",
)
N = 24


@cache
def subject_and_roles(name: str, seed: int) -> tuple[Lab, dict[str, tuple[Role, ...]]]:
    """A planted subject, and the true roles of all of its parts. By the seed, the heads at rest write noise, or the
    heads of each layer of a circuit change their seats."""
    shape, _, which = name.partition(":")
    if shape == "planted":
        subject = loading.prepare(name, build.model(TRUTHS[name], 0.3 * seed, seed), build.tokenizer(), "cpu")
        task, true = "induction", TRUE_ROLES[name]
    else:
        planted, true = in_other_seats(which, seed, llama.N_HEADS if shape == "llama" else 5)
        model = circuit_model(planted) if shape == "gpt2" else llama.llama_model(planted)
        tokenizer = build.tokenizer() if shape == "gpt2" else llama.llama_tokenizer()
        subject, task = loading.prepare(f"{name} {seed}", model, tokenizer, "cpu"), planted.task
    lab = Lab(subject, PLANTED_TASKS[task].for_tokenizer(subject.tokenizer))
    return lab, {str(part): true.get(str(part), IDLE) for part in components(subject.anatomy)}


def in_other_seats(which: str, seed: int, n_heads: int) -> tuple[PlantedCircuit, dict[str, tuple[Role, ...]]]:
    planted, true = CIRCUITS[which], TRUE_ROLES[which]
    if seed == 0:
        return planted, true
    rng, seats = random.Random(seed), dict[str, str]()
    for layer in range(planted.n_layers):
        # Heads that share keys and values with a neighbour keep apart from it.
        order = rng.sample(range(n_heads), n_heads) if n_heads == 5 else [2, 3, 0, 1]
        seats |= {f"L{layer}.H{h}": f"L{layer}.H{to}" for h, to in enumerate(order)}
    heads = tuple(head.model_copy(update={"at": seats[head.at]}) for head in planted.heads)
    return planted.model_copy(update={"heads": heads}), {seats.get(part, part): r for part, r in true.items()}


def named(result: Result) -> dict[str, tuple[str, ...]]:
    """The roles of a result by part: the role, and what else holds."""
    found: dict[str, tuple[str, ...]] = {}
    for m in result.measurements:
        if m.name.startswith(("role[", "also[")):
            part, role = m.name[5:-1].split(", ")
            found[part] = (*found.get(part, ()), role)
    return found


@cache
def measured(name: str, seed: int) -> Result:
    """All parts of a planted subject, with prompts of this seed."""
    lab, true = subject_and_roles(name, seed)
    return ComponentRoles(model=lab.subject.name, task=lab.task.name, n=N, seed=seed, parts=list(true)).run(lab)
