"""What goes to another process and comes back whole, through a real spawned process."""

from __future__ import annotations

import multiprocessing
import pickle

import numpy as np
import pytest

import lashley
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.experiment import Experiment
from lashley.experiments.kinds.registry import kinds
from lashley.experiments.result import Doubt, Effect, Result
from lashley.experiments.tasks.task import Task
from lashley.tests.prompts import repeated_words


def measured_there(experiment: Experiment, task: Task) -> Result:
    """Done in the other process."""
    return lashley.run(experiment, task).result


def test_an_experiment_goes_to_another_process_and_its_result_comes_back_whole() -> None:
    task = lashley.Task(repeated_words())
    experiment = lashley.HeadAblation(model="planted:null", n=4)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(measured_there, (experiment, task))
    here = measured_there(experiment, task)
    assert type(there) is Result
    assert there.model_dump() == here.model_dump()
    assert there.arrays.keys() == here.arrays.keys() != set()
    for name, values in here.arrays.items():
        assert values.dtype == there.arrays[name].dtype
        assert np.array_equal(values, there.arrays[name])


def test_nothing_of_a_result_is_left_behind() -> None:
    effect = Effect(site="L0.H1", metric="loss", value=1.0, low=0.5, high=1.5, n=3, q=0.01)
    result = Result(effects=(effect,), found="a", notes=("b",), doubts=(Doubt(code="unable", text="c"),),
                    arrays={"loss": np.arange(6.0).reshape(2, 3)})  # fmt: skip
    again = pickle.loads(pickle.dumps(result))
    assert again.model_dump() == result.model_dump()
    assert again.doubts == result.doubts
    assert np.array_equal(again.arrays["loss"], result.arrays["loss"])
    with pytest.raises(ValueError, match="frozen"):
        again.found = "other"


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda k: k.kind)
def test_every_kind_can_be_sent(kind: type[Experiment]) -> None:
    needed = {
        "program": "0-1",
        "sites": ["L0.attn"],
        "receiver": "L1.H0.q",
        "heads": ["L0.H0"],
        "senders": ["L0.H0"],
        "parts": ["L0.H0"],
        "edit": ["zero L0.H0"],
        "variable": "s = a + b",
        "output": "s",
        "hypothesis": ["L0.H0 depends on answer"],
    }
    try:
        one = kind()
    except BadConfiguration:
        given = {k: v for k, v in needed.items() if k in kind.model_fields and kind.model_fields[k].is_required()}
        one = kind.model_validate(given)
    again = pickle.loads(pickle.dumps(one))
    assert (type(again), again, again.config_hash()) == (kind, one, one.config_hash())
