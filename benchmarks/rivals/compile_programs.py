"""Compiles a few RASP programs to transformers with tracr, and writes their weights to tests/compiled.

Needs `tracr-pypi`, which brings JAX, so it runs in an environment of its own:

    python benchmarks/rivals/compile_programs.py
"""

import json
from pathlib import Path

import numpy as np
from tracr.compiler import compiling, lib
from tracr.rasp import rasp

TARGET = Path(__file__).parents[2] / "tests" / "compiled"
LETTERS, BRACKETS, LONGEST = ("a", "b", "c", "d"), ("(", ")", "{", "}"), 6


def mostly() -> rasp.SOp:
    """Whether more than three quarters of the tokens so far are an a. The compiler puts the step between 1/2 and 1 at
    3/4."""
    share = lib.make_frac_prevs(rasp.tokens == "a")
    return rasp.categorical(rasp.Map(lambda x: "yes" if x > 0.75 else "no", share).named("mostly"))


def with_an_unused_branch() -> rasp.SOp:
    """The reversed prompt, from a layer that also reads how often a token occurs, and makes no use of it."""
    both = rasp.SequenceMap(lambda reverse, hist: reverse, lib.make_reverse(rasp.tokens), lib.make_hist())
    return rasp.categorical(both.named("unused_branch"))


PROGRAMS = {
    "reverse": (lib.make_reverse(rasp.tokens), LETTERS, ()),
    "hist": (lib.make_hist(), LETTERS, ()),
    "mostly": (mostly(), LETTERS, ()),
    "brackets": (lib.make_shuffle_dyck(["()", "{}"]), BRACKETS, ()),
    "unused_branch": (with_an_unused_branch(), LETTERS, ("hist",)),
}


def main() -> None:
    for name, (program, vocabulary, unused) in PROGRAMS.items():
        made = compiling.compile_rasp_to_model(
            program, vocab=set(vocabulary), max_seq_len=LONGEST, compiler_bos="BOS", causal=True
        )
        weights = {f"{module}/{part}": np.asarray(value, np.float32)
                   for module, parts in made.params.items() for part, value in parts.items()}  # fmt: skip
        about = {
            "heads": made.model_config.num_heads, "layers": made.model_config.num_layers,
            "labels": made.residual_labels, "unused": unused,
            "tokens": [str(t) for t in made.input_encoder.encoding_map],
            "outputs": [str(t) for t in made.output_encoder.encoding_map],
            "says": getattr(program, "name", name), "vocabulary": vocabulary,
        }  # fmt: skip
        rng = np.random.default_rng(0)
        checks = []
        for _ in range(40):
            words = [str(w) for w in rng.choice(vocabulary, LONGEST)]
            checks.append([words, str(made.apply(["BOS", *words]).decoded[-1])])
        about["examples"] = checks
        np.savez_compressed(TARGET / f"{name}.npz", about=json.dumps(about), **weights)
        print(f"{name}: {about['layers']} layers of {about['heads']} heads, {len(about['labels'])} columns")


if __name__ == "__main__":
    main()
