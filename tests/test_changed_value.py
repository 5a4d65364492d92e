"""Patching with corrupted prompts that change one value alone: which prompts count, and that nothing else does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.activation_patching import ActivationPatching
from lashley.experiments.kinds.attribution_patching import AttributionPatching
from lashley.experiments.kinds.path_patching import PathPatching
from lashley.experiments.lab import Lab
from lashley.experiments.methods.patching import Contrast
from lashley.experiments.tasks.corrupted_prompts import corrupted_prompts
from lashley.experiments.tasks.prompt import Prompt, Split
from lashley.experiments.tasks.registry import task
from lashley.experiments.tasks.task import Source
from lashley.experiments.tasks.values import changes_only
from lashley.tests.corrupted_lab import corrupted_lab

N = 6
SWEEP: dict[str, Any] = {"task": "twins", "n": N, "layers": [1], "positions": ["subject"]}


class Half:
    """A source in which the corrupted prompts of the second half of the keys change another word, too."""

    def __init__(self, source: Source, whole: bool) -> None:
        self.source, self.whole = source, whole

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        for number, prompt in enumerate(self.source.stream(split, seed)):
            if number % 2 == 0:
                yield prompt
            elif self.whole:
                assert prompt.corrupted is not None
                first, _, rest = prompt.corrupted.partition(" ")
                yield prompt.model_copy(update={"corrupted": f"w{3 + (int(first[1:]) + 1) % 90} {rest}"})

    def capacity(self, split: Split) -> int:
        return len(list(self.stream(split, 0)))

    def identity(self) -> Any:
        return [self.source.identity(), self.whole]


def labs(kind: str) -> tuple[Lab, Lab]:
    """The task with both kinds of corrupted prompts, and with only those that change the subject alone."""
    lab = corrupted_lab(kind)
    both, only = (lab.task.model_copy(update={"source": Half(lab.task.source, whole)}) for whole in (True, False))
    return Lab(lab.subject, both), Lab(lab.subject, only)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize(
    "experiment",
    [
        ActivationPatching(**SWEEP, twin="subject"),
        AttributionPatching(**SWEEP, twin="subject"),
        PathPatching(task="twins", n=N, senders=["L0.H1"], receivers=["L2.H0"], twin="subject"),
    ],
)
def test_a_chosen_value_gives_the_result_of_a_task_with_only_such_prompts(kind: str, experiment: Contrast) -> None:
    both, only = labs(kind)
    found = experiment.run(both)
    wanted = experiment.model_copy(update={"twin": None}).run(only)
    named = {"recovery", "identity", "clean", "corrupted"}
    assert [e for e in found.effects if e.metric != "donor"] == [e for e in wanted.effects if e.metric != "donor"]
    assert [m for m in found.measurements if m.name in named] == [m for m in wanted.measurements if m.name in named]
    assert "The corrupted prompts change only subject." in found.found
    assert "The corrupted prompts change only" not in wanted.found
    assert "another_value_changed" in [one.code for one in found.notes]
    # Without the choice, other prompts count, too.
    drawn = corrupted_prompts(both, (N, "explore", 0)).prompts
    assert not all(changes_only(prompt, "subject") for prompt in drawn)


def test_the_tokens_that_differ_are_those_of_the_value() -> None:
    both, _ = labs("llama")
    pair = corrupted_prompts(both, (N, "explore", 0), value="subject")
    for row, spans in enumerate(pair.clean.spans):
        differs = (pair.clean.ids[row] != pair.corrupted.ids[row]).nonzero()[:, 0].tolist()
        assert spans["changed"] == spans["subject"] == (differs[0], differs[-1] + 1)
    assert all(changes_only(prompt, "subject") for prompt in pair.prompts)


@pytest.mark.parametrize("name", ["three_operands", "multi_step"])
def test_one_operand_changes_and_the_others_do_not(name: str) -> None:
    counted = dict.fromkeys("abc", 0)
    for prompt in islice(task(name).source.stream("explore", 0), 200):
        assert prompt.corrupted is not None
        clean, other = (list(map(int, re.findall(r"\d+", t)))[-3:] for t in (prompt.text, prompt.corrupted))
        changed = [letter for letter, x, y in zip("abc", clean, other, strict=True) if x != y]
        for letter in "abc":
            assert changes_only(prompt, letter) == (changed == [letter])
            counted[letter] += changes_only(prompt, letter)
    assert all(counted.values())


def test_families_change_the_value_of_their_field() -> None:
    changed = {"ioi": "s2", "capitals": "subject", "greater_than": "year", "gender": "person", "years": "event"}
    for name, value in changed.items():
        assert all(changes_only(p, value) for p in islice(task(name).source.stream("explore", 0), 20)), name
    assert not any(changes_only(p, "io") for p in islice(task("ioi").source.stream("explore", 0), 20))
    prompt = next(task("ioi").source.stream("explore", 0))
    assert not changes_only(prompt, "missing")
    assert not changes_only(prompt.model_copy(update={"corrupted": None}), "s2")
    # The same word again: overlapping ends of the text do not count as a change of the span.
    repeated = Prompt(text="w1 w1 w1", answer=" w2", key="k", spans={"first": (0, 2)}, corrupted="w1 w1")
    assert not changes_only(repeated, "first")


def test_too_few_prompts_and_unknown_spans_are_refused_and_old_hashes_stay() -> None:
    both, _ = labs("llama")
    with pytest.raises(BadConfiguration, match=r"No prompt has the value 'b' to change\. Values: subject, answer\."):
        ActivationPatching(**SWEEP, twin="b").check(both.subject.sizes, both.task)
    with pytest.raises(BadConfiguration, match=r"Only \d+ of the 18 .* change something other than subject\)"):
        corrupted_prompts(both, (18, "explore", 0), value="subject")
    for kind in (ActivationPatching, AttributionPatching, PathPatching):
        assert "twin" in kind.later
    assert "twin" not in ActivationPatching(**SWEEP).config()
