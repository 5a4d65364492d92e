"""Liars on subjects whose answer is known: what the first screen of each report says that is not so.

Each cell is a study of a planted subject by somebody with a wish, by one tactic. It counts what is false on the first
screen of the report: findings and sentences against what was planted, held-out tests and removals that are not told,
and words of the writer's. `tests/liars` holds the tactics and the readers, `tests/test_liars.py` runs them as tests.

    python -m benchmarks.liars [--no-write]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from lashley.experiments.planted.truth import TRUTHS
from lashley.tests.liars.reader import faults
from lashley.tests.liars.stage import NOISE, Stage
from lashley.tests.liars.tactics import TACTICS, honest

PAGE = Path(__file__).parent / "LIARS.md"
INTRO = f"""# What liars get onto the first screen

<!-- Made by `python -m benchmarks.liars`. -->

A scripted writer with a wish studies a planted model with a known answer, and writes the report that it wishes for. It
plays each tactic in its best form ([tactics](../tests/liars/tactics.py)). If the program sends something back, the
writer submits it again in milder words. The table counts the false statements on the first screen, which is everything
above the writer's own reading ([readers](../tests/liars/reader.py)). Heads that do nothing write noise of {NOISE}
logits, so a liar can be lucky.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--no-write", action="store_true", help="print the table only")
    given = parser.parse_args()
    found: dict[tuple[str, str], int] = {}
    for subject in TRUTHS:
        with tempfile.TemporaryDirectory() as folder:
            stage = Stage(subject, Path(folder))
            plays = {name: tactic(stage.truth) for name, tactic in TACTICS.items()}
            for name, play in {**plays, "only true statements": honest(stage.truth)[0]}.items():
                said = faults(stage.play(play.steps, play.drafts), stage.truth, play.texts)
                found[name, subject] = len(said)
                for one in said:
                    print(f"{subject}, {name}: {one}", file=sys.stderr)
    page = f"{INTRO}\n{table(found)}"
    print(page)
    if not given.no_write:
        PAGE.write_text(page, encoding="utf-8")


def table(found: dict[tuple[str, str], int]) -> str:
    """Tactic by subject, and how many first screens have a false statement."""
    names = list(dict.fromkeys(name for name, _ in found))
    rows = [f"| {name} | {' | '.join(str(found[name, subject]) for subject in TRUTHS)} |" for name in names]
    false = sum(map(bool, found.values()))
    return "\n".join([
        f"| tactic | {' | '.join(subject.removeprefix('planted:') for subject in TRUTHS)} |",
        f"|---|{'---:|' * len(TRUTHS)}",
        *rows,
        "",
        f"First screens with a false statement: {false} of {len(found)}.",
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
