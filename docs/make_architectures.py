"""Writes architectures.md: every causal language model of the installed transformers, built tiny and tried.

It takes minutes, so `make docs` does not run it: `python docs/make_architectures.py`. Tests hold the page against what
happens, a sample of it on CI.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "architectures.md"
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$")
HEAD = """<!-- Made by docs/make_architectures.py. -->
# Architectures

What happens with each causal language model of transformers {version}. Each was built from its configuration, tiny
and with random weights, and given to the self-check that every subject passes when it is loaded. Those that work are
also held against plain hooks on transformers' own modules: zero at every attention and MLP, and at heads and neurons of
every layer, agrees to 2e-5 of the largest logit.

- **works**: layers, attention, heads, keys and values, MLPs and neurons can all be read and edited.
- **works but for ...**: the rest can. Where layers differ, heads are there in the layers that have them, and sweeps
  over all heads take those. An experiment that names what is not there is refused in one line. Experts have no neurons
  of their own here: each token goes through others, so `L3.mlp` is the whole mixture.
- **refused**: the line that you get. A checkpoint with another configuration may do better or worse (a Gemma 4 whose
  upper layers take the keys and values of lower ones is refused): the self-check decides about the model that you load.

Layers that are no attention (state-space, recurrent, convolution) keep no keys and values. There every run computes all
positions, and each generated token costs a pass over the whole text. Where several modules of a layer mix tokens,
`L3.attn` is all that they add together, and the heads are those of the attention among them. Falcon-H1's attention
stands beside a state-space mixer: its heads, keys, values and patterns can be removed, patched and followed along
paths, and their weights read; a direct share of the logits they have only together with the mixer, so direct
attribution is refused. Zamba's shared transformer feeds a state-space mixer and nothing else: its heads, keys, values
and patterns can be removed and patched; nothing that they or its MLP give is added to the stream, so `L3.mlp`, neurons,
paths, weights and direct shares are refused.

A third branch beside attention and MLP (Gemma 4's per-layer inputs) reads the stream behind the MLP and is added to it.
It is part of its layer: where heads, MLPs or neurons are edited it answers as the model does, it is left out with the
whole layer only, and what it multiplies is what the model is given for the token, whatever is done to the stream. What
needs the stream to be a plain sum (direct attribution, paths, edges) is refused.

Some models take pads for tokens, and give a prompt other numbers beside a longer one. Where that comes from recurrent
layers (RecurrentGemma, RWKV, xLSTM), each prompt runs through these without its pads. Where it comes from positions
that count pads (MBart, Pegasus), the model is refused.

| model_type | |
|---|---|
"""


def outcome(kind: str) -> str:
    """One line on a tiny model of this `model_type`."""
    from huggingface_hub.errors import StrictDataclassError

    from lashley.experiments.errors import UnsupportedModel
    from lashley.experiments.model.loading import prepare
    from lashley.tests.architectures import tiny_architecture
    from lashley.tests.tiny import tiny_tokenizer

    try:
        model = tiny_architecture(kind)
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, StrictDataclassError) as fault:
        # What transformers says of sizes that do not fit each other, or of a package that is not there.
        return f"not tried: no small model could be built ({type(fault).__name__})"
    try:
        subject = prepare(kind, model, tiny_tokenizer(), "cpu")
    except UnsupportedModel as fault:
        return f"refused: {fault}"
    blocks = subject.anatomy.blocks
    counts = {
        "attention": [b.has_attn for b in blocks], "heads": [bool(b.n_heads) for b in blocks],
        "keys and values": [bool(b.units("k")) for b in blocks], "MLPs": [b.has_mlp for b in blocks],
        "neurons": [bool(b.d_mlp) for b in blocks],
    }  # fmt: skip
    missing = [what if not any(there) else f"{what} in some layers" for what, there in counts.items() if not all(there)]
    return "works" if not missing else f"works but for {', '.join(missing)}"


def table() -> dict[str, str]:
    """The page's rows: model_type -> what happens."""
    rows = (ROW.match(line) for line in PAGE.read_text().splitlines())
    return {row[1]: row[2] for row in rows if row}


def main() -> None:
    import transformers

    from lashley.tests.architectures import ALL, TOO_LARGE

    warnings.filterwarnings("ignore")
    lines = [f"| `{kind}` | {outcome(kind)} |" for kind in ALL if kind not in TOO_LARGE]
    lines += [f"| `{kind}` | not tried: too large even when it is shrunk |" for kind in TOO_LARGE]
    PAGE.write_text(HEAD.format(version=transformers.__version__) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
