"""Two writers of one tracker, in any order: nothing is lost, doubled, torn or left without its seal."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lashley.db.write.store import Store
from lashley.tests.writers import DEEDS, Model, check, read_model

deeds = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(DEEDS), st.integers(0, 10**6)), max_size=60)


def interleaved(order: list[tuple[int, object, int]]) -> None:
    """Each deed is one transaction, so an order of deeds is an interleaving. Both change the same rows."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        path, model = Path(folder) / "t.db", Model()
        writers = [opened.enter_context(Store.open(path)) for _ in range(2)]
        for which, deed, pick in order:
            assert callable(deed)
            deed(writers[which], model, pick)
        check(path, [model])


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(deeds)
def test_any_interleaving_of_two_writers_keeps_the_laws(order: list[tuple[int, object, int]]) -> None:
    interleaved(order)


@pytest.mark.slow
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(deeds)
def test_five_hundred_interleavings(order: list[tuple[int, object, int]]) -> None:
    interleaved(order)


def at_once(path: Path, seeds: tuple[int, int], many: int) -> None:
    program = [sys.executable, "-m", "lashley.tests.writers", str(path)]
    both = [subprocess.Popen([*program, str(seed), str(many)], stdout=subprocess.PIPE, text=True) for seed in seeds]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    models = [read_model(one) for one in said]
    assert all(model.experiments for model in models)
    check(path, models)


def test_two_processes_at_once_keep_the_laws(tmp_path: Path) -> None:
    """They make the file together, too."""
    at_once(tmp_path / "t.db", (1, 2), 150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_two_processes_many_times(tmp_path: Path, seed: int) -> None:
    at_once(tmp_path / "t.db", (100 + seed, 200 + seed), 300)
