"""How well each method finds circuits that are known edge by edge: planted ones, and compiled programs.

python -m benchmarks.known_circuits [--only gpt2] [--no-write]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lashley.experiments.engine.graph import graph_of
from lashley.experiments.methods.circuit_settings import Method
from lashley.tests.known_circuits import BACKUP, COMPILED, GPT2, LLAMA, N, found, known

# exact and acdc run the model once for each edge.
MOST = 500
WAYS: tuple[tuple[str, Method, int], ...] = (
    ("eap", "eap", 5), ("eap_ig", "eap_ig", 5), ("eap_ig, 60 steps", "eap_ig", 60), ("acdc", "acdc", 5),
    ("exact", "exact", 5),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares methods with circuits that are known.")
    parser.add_argument("--only", default="", help="only subjects whose name starts with this")
    parser.add_argument("--no-write", action="store_true", help="leave the file of results as it is")
    options = parser.parse_args()
    rows, means = list[str](), dict[str, list[float]]()
    for name in (*GPT2, BACKUP, *LLAMA, *COMPILED):
        if not name.startswith(options.only):
            continue
        lab, truth = known(name)
        size = graph_of(lab.subject.anatomy).size
        row = [name, str(size), str(int(truth.sum()))]
        for way, method, steps in WAYS:
            if method in ("acdc", "exact") and size > MOST:
                row.append("")
                continue
            one = found(name, method, steps)
            means.setdefault(way, []).append(one.auroc)
            row.append(f"{one.auroc:.3f}, {one.at_true_size:.2f}")
        rows.append(f"| {' | '.join(row)} |")
        print(rows[-1], flush=True)
    middle = " | ".join(f"{sum(means[way]) / len(means[way]):.3f}" for way, _, _ in WAYS)
    text = "\n".join(
        [
            "# Circuits that are known",
            "",
            "The area under the ROC curve over all edges, and the share of true edges among as many of the strongest "
            "as the circuit has (precision and recall at the true size). "
            f"{N} prompts, fp32. acdc ranks what it keeps before what it takes out. `gpt2:` and `llama:` are planted "
            "(experiments/planted/circuits.py), `compiled:` are RASP programs (tests/compiled_programs.py). "
            "`python -m benchmarks.known_circuits` writes this page.",
            "",
            f"| subject | edges | true | {' | '.join(way for way, _, _ in WAYS)} |",
            f"|---|---:|---:|{'---|' * len(WAYS)}",
            *rows,
            f"| mean | | | {middle} |",
            "",
            f"acdc and exact run the model once for each edge; a model of more than {MOST} edges has no entry there. "
            "eap takes the slope of the intact run alone, and misses queries and keys where attention is sure of "
            "itself. The steps of compiled MLPs are so steep that five points on the way are too few.",
            "",
        ]
    )
    if not options.no_write and not options.only:
        Path(__file__).with_name("KNOWN_CIRCUITS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
