"""What is true of each planted subject, as data: what a study of it must find, and where it must find nothing.

All of them are tiny GPT-2s over the same sixty tokens, made for the task `induction`. `build` makes their weights from
what is written here. The truths hold for the removal of heads by zero and by mean, but for `constant_heads`.
"""

from __future__ import annotations

from ..result import Frozen
from ..tasks.vocabulary import NOUNS

N_HEADS = 4
SPECIAL = ("<pad>", "<end>", "<unk>")
# As many as fit beside the other parts of a small residual stream; the task needs forty.
WORDS = NOUNS[:57]


class Truth(Frozen):
    """The answer that was planted.

    about                 a sentence for people
    previous_token_heads  they attend to the token before, with weight 1, and copy it into a place of its own
    induction_heads       they attend to the token after the last one's earlier occurrence, with weight 1, and say it;
                          those of one layer say the same, and its MLP keeps two from saying it louder than one
    needed                heads without each of which the task is lost
    edges                 the edges that carry the task where a corrupted prompt changes only tokens
    redundant             heads each of which can be spared, and that are needed together
    constant_heads        they write the same whatever is read, and the task is lost when it is gone: setting one to
                          zero does damage, and its mean and its value on another prompt are what it writes anyway
    dead_layers           layers that write nothing
    random                all weights are random: there is nothing to find, and the task cannot be done
    """

    about: str
    n_layers: int
    previous_token_heads: tuple[str, ...] = ()
    induction_heads: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    redundant: tuple[str, ...] = ()
    constant_heads: tuple[str, ...] = ()
    dead_layers: tuple[int, ...] = ()
    random: bool = False

    @property
    def parameters(self) -> int:
        """How many numbers the model has: embeddings, unembedding and final norm, and the layers."""
        return 47_616 + 295_228 * self.n_layers


TRUTHS = {
    "planted:induction": Truth(
        about="An induction circuit of two heads, among heads that do nothing.",
        n_layers=2,
        previous_token_heads=("L0.H1",),
        induction_heads=("L1.H2",),
        needed=("L0.H1", "L1.H2"),
        edges=("embed -> L0.H1.v", "L0.H1 -> L1.H2.k", "embed -> L1.H2.v", "L1.H2 -> logits"),
    ),
    "planted:backup": Truth(
        about="Two induction heads that back each other up.",
        n_layers=2,
        previous_token_heads=("L0.H1",),
        induction_heads=("L1.H0", "L1.H3"),
        needed=("L0.H1",),
        edges=(
            "embed -> L0.H1.v",
            "L0.H1 -> L1.H0.k",
            "embed -> L1.H0.v",
            "L1.H0 -> logits",
            "L1.H0 -> L1.mlp",
            "L0.H1 -> L1.H3.k",
            "embed -> L1.H3.v",
            "L1.H3 -> logits",
            "L1.H3 -> L1.mlp",
            "L1.mlp -> logits",
        ),
        redundant=("L1.H0", "L1.H3"),
    ),
    "planted:dead-layer": Truth(
        about="An induction circuit around a layer that writes nothing.",
        n_layers=3,
        previous_token_heads=("L0.H3",),
        induction_heads=("L2.H0",),
        needed=("L0.H3", "L2.H0"),
        edges=("embed -> L0.H3.v", "L0.H3 -> L2.H0.k", "embed -> L2.H0.v", "L2.H0 -> logits"),
        dead_layers=(1,),
    ),
    "planted:constant": Truth(
        about="An induction circuit, and a head that always writes the same.",
        n_layers=2,
        previous_token_heads=("L0.H2",),
        induction_heads=("L1.H1",),
        needed=("L0.H2", "L1.H1"),
        edges=("embed -> L0.H2.v", "L0.H2 -> L1.H1.k", "embed -> L1.H1.v", "L1.H1 -> logits"),
        constant_heads=("L0.H0",),
    ),
    "planted:null": Truth(about="Random weights: there is nothing to find.", n_layers=2, random=True),
}
