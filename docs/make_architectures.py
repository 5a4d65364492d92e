"""Writes architectures.md: every causal language model of the installed transformers, built tiny and tried.

It takes minutes, so `make docs` does not run it: `python docs/make_architectures.py`. Tests compare the page with what
happens; CI runs a sample.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "architectures.md"
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$")
HEAD = """<!-- Made by docs/make_architectures.py. -->
# Architectures

This page lists each causal language model of transformers {version}, and what happens when Lashley loads it. Each was
built from its configuration, tiny and with random weights, and given the self-check that every subject must pass when
it is loaded. Those that work are also compared with plain hooks on transformers' own modules. Setting every attention
and MLP to zero, and heads and neurons of every layer, agrees to 2e-5 of the largest logit.

- **works**: layers, attention, heads, keys and values, MLPs and neurons can all be read and edited.
- **works but for ...**: everything else can be read and edited. If layers differ, some layers have heads, and a sweep
  over all heads covers those. An experiment that names a part the model lacks is refused in one line. Experts have no
  neurons of their own here, because each token goes through other experts: `L3.mlp` is the whole mixture.
- **refused**: the text is the line that you get. A checkpoint with another configuration may do better or worse (a
  Gemma 4 whose upper layers use the keys and values of lower layers is refused). The self-check decides about the model
  that you load.

Layers without attention (state-space, recurrent, convolution) keep no keys and values. With such layers, every run
computes all positions, and each generated token costs a pass over the whole text. If several modules of a layer mix
tokens, `L3.attn` is the sum of what they add, and the heads are those of the attention among them.

- **Falcon-H1** has attention next to a state-space mixer. You can remove and patch its heads, keys, values and
  patterns, follow them along paths, and read their weights. They have a direct share of the logits only together with
  the mixer, so direct attribution is refused.
- **Zamba** has a shared transformer that feeds only a state-space mixer. You can remove and patch its heads, keys,
  values and patterns. They and its MLP add nothing to the stream, so `L3.mlp`, neurons, paths, weights and direct
  shares are refused.
- **Gemma 4** has a third branch next to attention and MLP (per-layer inputs). The branch reads the stream after the
  MLP, and its output is added to the stream. It is part of its layer. When you edit heads, MLPs or neurons, it responds
  as in the model, and it is left out only with the whole layer. It multiplies what the model is given for the token,
  whatever you do to the stream. Experiments that need the stream to be a plain sum (direct attribution, paths, edges)
  are refused.

Some models treat pads as tokens, so a prompt gets different numbers in a batch with a longer one. If recurrent layers
cause this (RecurrentGemma, RWKV, xLSTM), each prompt runs through these layers without its pads. If positions that
count pads cause it (MBart, Pegasus), the model is refused.

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
        # transformers' own errors for sizes that do not fit each other, or for a missing package.
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
