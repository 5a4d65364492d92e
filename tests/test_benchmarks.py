"""The benchmark: its ways compute the same, its floor is what the engine multiplies, and a way that fails spoils no
other's row.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from lashley.benchmarks.cases import Laid
from lashley.benchmarks.floor import operations
from lashley.benchmarks.ours import slow_down
from lashley.benchmarks.sweep import measure
from lashley.benchmarks.table import PLAIN, Measured, Row, agreement, table
from lashley.benchmarks.ways import CLOCKS, WAYS, Failed, Process, Swept, Way
from lashley.experiments import engine
from lashley.experiments.answers.scoring import PairReadout
from lashley.experiments.interventions import Edit, Intervention
from lashley.experiments.model.loading import prepare
from lashley.experiments.sites import head
from lashley.tests.tiny import batch_of, tiny_model, tiny_subject

IDS = [[5, 9, 13, 17, 21, 25], [6, 10, 14, 18, 22, 26]]
PAIR = [[11, 7], [12, 8]]


def laid(kind: str, folder: Path) -> Laid:
    tiny_model(kind).save_pretrained(folder)
    return Laid("tiny", str(folder), IDS, PAIR, 0.0, tiny_subject(kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_engine_and_the_plain_loop_give_the_same_and_a_failure_stays_in_its_row(kind: str, tmp_path: Path) -> None:
    broken = Way("broken", "rivals/plain_hooks.py", "no_such_function")
    imitated = ["engine_without_bf16", "narrowed_without_bf16"]
    ways = [*(WAYS[name] for name in ("engine", "screen", "attribution", "plain", *imitated)), broken]
    m, without = measure(laid(kind, tmp_path), ways, None, 2, 2, "cpu")
    ours, screen, attribution, plain, failed = m.rows
    assert (len(ours.values), len(plain.values), m.heads) == (12, 6, 12)
    for at, values in plain.values.items():
        assert values == pytest.approx(ours.values[at], abs=1e-4)
    for way in (screen, attribution):  # of so few heads all are verified
        assert {at: pytest.approx(v, abs=1e-4) for at, v in way.values.items()} == ours.values
    assert len({tuple(v) for v in plain.values.values()}) == 6, "each head changes something else"
    assert [row.name for row in without.rows] == ["engine, fp32, without bf16", "a screen's look, without bf16"]
    for at, values in without.rows[0].values.items():
        assert values == pytest.approx(ours.values[at], abs=1e-4)
    assert without.floor > 0
    assert "without bf16: 12 heads" in table(without)
    assert "no_such_function" in failed.fault
    assert "| broken | failed: " in table(m)


def test_a_clock_counts_what_a_process_computed_and_not_how_long_it_waited(tmp_path: Path) -> None:
    """A way that sleeps takes none of the processor's seconds."""
    way = tmp_path / "sleeper.py"
    way.write_text(
        "import time, torch\nPACKAGES = ('torch',)\n"
        "def prepare(*_):\n"
        "    def sweep(heads):\n        time.sleep(0.5)\n        return torch.zeros(len(heads), 1)\n"
        "    return sweep\n"
    )
    taken: dict[str, float] = {}
    for clock in CLOCKS:
        process = Process(Way("sleeper", str(way)), "", IDS, PAIR, "cpu", clock)
        assert set(process.receive()) == {"versions", "threads"}
        taken[clock] = process.sweep([(0, 0)]).seconds
        process.close()
    assert taken["processor"] < 0.25 < 0.5 <= taken["wall"]


def test_an_environment_that_is_missing_is_said_with_what_makes_it() -> None:
    with pytest.raises(Failed, match="make bench-envs"):
        Process(Way("x", "rivals/nnsight.py", python=Path(sys.executable).with_name("none")), "", [], [], "cpu")


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize("layers", [[0], [1, 2], [0, 1, 2]])
def test_the_floor_is_what_the_engine_multiplies_and_nothing_else(kind: str, layers: list[int]) -> None:
    subject = prepare("tiny", tiny_model(kind), None, "cpu")
    slow_down(subject.model)  # the counter knows torch's own products only
    batch = batch_of(IDS)
    heads = [head(layer, h) for layer in layers for h in range(subject.anatomy.n_heads)]
    removals = [Intervention(name=str(s), edits=(Edit(site=s),)) for s in heads]
    with FlopCounterMode(display=False) as counter:
        engine.run(subject, batch, removals, PairReadout(batch))
    floor = operations(subject, len(IDS), len(IDS[0]), layers)
    # The engine's z through W_O, two tokens' unembedding, and the scores that the mask hides, which short attention
    # multiplies as well, are small beside it even in so small a model.
    assert floor <= counter.get_total_flops() <= 1.3 * floor


def test_the_table_scales_a_share_up_and_compares_with_the_first_row_and_the_loop() -> None:
    ours, loop = Row("ours", ours=True), Row(PLAIN)
    ours.add([(0, 0), (0, 1), (1, 0), (1, 1)], Swept(2.0, [[1.0], [2.0], [3.0], [4.0]], 5_000_000))
    loop.add([(0, 1)], Swept(3.0, [[2.25]], 1_000_000))
    loop.add([(1, 1)], Swept(5.0, [[4.0]], 2_000_000))
    lines = table(Measured("case", 4, 1.0, 1e9, 0.0, [ours, loop])).splitlines()
    assert lines[-2] == "| ours | 4 | 2.00 | 1.00 | 8.0 | 2.00 |  |  | 5 |"
    assert lines[-1] == f"| {PLAIN} | 2 | 16.00 | 8.00 | 1.0 | 16.00 | 2.5e-01 |  | 2 |"


def test_ranks_are_of_effects_and_the_top_ten_of_their_size() -> None:
    ours, rough = Row("ours", ours=True), Row("rough", ours=True)
    heads = [(0, h) for h in range(12)]
    effects = [-6.0, 5.0, -4.0, 3.0, -2.5, 2.0, -1.5, 1.0, -0.9, 0.8, 0.2, -0.1]
    ours.add(heads, Swept(1.0, [[1.0 + e] for e in effects], 0))
    rough.add(heads, Swept(1.0, [[1.0 + e] for e in [*effects[:9], 0.15, *effects[10:]]], 0))
    assert agreement(ours, ours, intact=1.0) == "1.000, 10 of 10"
    assert agreement(rough, ours, intact=1.0).endswith(", 9 of 10")
