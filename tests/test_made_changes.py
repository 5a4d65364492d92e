"""Corrupted prompts that are made to change one named value: read again from their text, and run by plain hooks."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import pytest
import torch

from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.activation_patching import ActivationPatching
from lashley.experiments.lab import Lab
from lashley.experiments.model.chat import inside, template
from lashley.experiments.sites import Site
from lashley.experiments.tasks.changed_values import ChangedValues
from lashley.experiments.tasks.corrupted_prompts import corrupted_prompts
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.experiments.tasks.gsm8k import STORIES
from lashley.experiments.tasks.prompt import SPLITS, Prompt, Split, split_of
from lashley.experiments.tasks.registry import task
from lashley.experiments.tasks.shuffled import shuffled
from lashley.experiments.tasks.values import values_of
from lashley.tests.corrupted_lab import last, slow_recovery
from lashley.tests.test_chat import chatty
from lashley.tests.tiny import tiny_subject

SIGNS: dict[str, Callable[[int, int], int]] = {
    "arithmetic": int.__add__, "arithmetic_questions": int.__add__, "addition": int.__add__,
    "three_operands": int.__add__, "subtraction": int.__sub__, "multiplication": int.__mul__,
    "division": int.__floordiv__,
}  # fmt: skip


def made(name: str, value: str, split: Split = "explore", n: int = 20) -> Iterator[tuple[Prompt, Mapping[str, str]]]:
    """A prompt of each question of the draw with its first made corrupted prompt."""
    source = task(name).source
    maker = ChangedValues(source, split, 0)
    for prompt in islice(source.stream(split, 0), n):
        yield from islice(maker.changing(prompt, value), 1)


def numbers(name: str, text: str) -> list[int]:
    found = list(map(int, re.findall(r"\d+", text)))
    found = found[-3:] if name == "three_operands" else found[-2:]
    return found[::-1] if "take" in text.splitlines()[-1] else found


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", SIGNS)
def test_one_operand_of_a_sum_changes_and_the_answer_is_worked_out(name: str, split: Split) -> None:
    for place, letter in enumerate("abc" if name == "three_operands" else "ab"):
        counted = 0
        for prompt, values in made(name, letter, split):
            assert prompt.corrupted is not None
            assert prompt.corrupted_answer is not None
            clean, other = numbers(name, prompt.text), numbers(name, prompt.corrupted)
            assert [x == y for x, y in zip(clean, other, strict=True)] == [i != place for i in range(len(clean))]
            first, *rest = other
            for number in rest:
                first = SIGNS[name](first, number)
            assert prompt.corrupted_answer == f" {first}"
            assert values[letter] == str(other[place])
            assert values["ones"] == str(first % 10)
            # No solved line shows the result, and the held-out questions stay apart.
            assert f"{prompt.corrupted_answer}\n" not in prompt.corrupted
            sign = {"subtraction": "-", "multiplication": "*", "division": "/"}.get(name, "+")
            asked = other if sign in "-/" else sorted(other)
            assert split_of(sign.join(map(str, asked))) == split
            counted += 1
        assert counted > 5, letter


def test_values_that_the_text_does_not_show_change_with_one_span() -> None:
    for prompt, values in made("three_operands", "a+b"):
        own = values_of(prompt)
        assert values["a+b"] != own["a+b"]
        assert [values[x] != own[x] for x in "abc"] in ([True, False, False], [False, True, False])
    for prompt, values in made("addition", "carry"):
        assert {values["carry"], values_of(prompt)["carry"]} == {"0", "1"}
    for prompt, values in made("multi_step", "halfway"):
        assert prompt.corrupted is not None
        assert prompt.corrupted_answer is not None
        assert values["halfway"] != values_of(prompt)["halfway"]
        if prompt.template == "multi_step.lines":
            asked = prompt.corrupted.splitlines()[-1].removesuffix(" =")
            # The text has only numbers, signs and brackets.
            assert re.fullmatch(r"\(\d [-+*] \d\) [-+*] \d", asked)
            assert eval(asked) == int(prompt.corrupted_answer)


def test_names_and_words_change_where_the_value_is_written() -> None:
    for prompt, values in made("ioi", "io"):
        io, s = values_of(prompt)["io"], values_of(prompt)["s"]
        assert prompt.corrupted == prompt.text.replace(io, values["io"])
        assert prompt.corrupted_answer == f" {values['io']}"
        assert values["s"] == s != values["io"]
    for prompt, values in made("ioi", "s"):
        # Both mentions change, so the answer stays, and is compared with the distractor.
        assert prompt.corrupted == prompt.text.replace(values_of(prompt)["s"], values["s"])
        assert prompt.corrupted_answer is None
        assert values["io"] == values_of(prompt)["io"] == values["answer"]
    for prompt, values in made("induction", "answer"):
        assert prompt.corrupted is not None
        words = prompt.corrupted.split()
        assert f" {words[words.index(words[-1]) + 1]}" == prompt.corrupted_answer == f" {values['answer']}"
        assert len([1 for x, y in zip(words, prompt.text.split(), strict=True) if x != y]) == 1
    for prompt, values in made("capitals", "city"):
        same = next(p for p in task("capitals").source.stream("explore", 1) if p.text == prompt.corrupted)
        assert prompt.corrupted_answer == same.answer == f" {values['city']}"
    for name, value in (("ioi", "order"), ("ioi", "s1"), ("gsm8k", "name"), ("arithmetic", "carry")):
        assert not list(made(name, value))


def test_a_story_with_another_number_has_its_own_answer() -> None:
    for letter in "abc":
        for prompt, values in made("gsm8k", letter):
            changed = {x: values[x] != values_of(prompt)[x] for x in "abc"}
            assert changed == {x: x == letter for x in "abc"}
            steps = re.sub(r"[abc]", lambda m, v=values: v[m[0]], STORIES[int(prompt.template.partition(".")[2])].steps)
            first, *rest = steps.split()
            reached = int(first)
            for sign, number in zip(rest[::2], rest[1::2], strict=True):
                reached = eval(f"{reached} {sign} {number}")
            assert prompt.corrupted_answer in (f" {reached}", None)
            assert prompt.corrupted_answer is not None or prompt.answer == f" {reached}"


def test_through_a_chat_and_with_shuffled_answers() -> None:
    subject = chatty()
    plain = task("ioi").source
    source = inside(template(subject.name, subject.tokenizer, None), task("ioi")).source
    pairs = zip(islice(source.stream("explore", 0), 5), islice(plain.stream("explore", 0), 5), strict=True)
    maker = ChangedValues(source, "explore", 0)
    for asked, prompt in pairs:
        found, values = next(maker.changing(asked, "io"))
        assert found.corrupted == asked.text.replace(values_of(prompt)["io"], values["io"])
        assert found.corrupted_answer == asked.answer.replace(values_of(prompt)["io"], values["io"])
    # Shuffled answers follow from nothing, so no answer is made up for a changed prompt.
    nothing = shuffled(task("ioi")).source
    first = next(nothing.stream("explore", 0))
    assert not list(islice(ChangedValues(nothing, "explore", 0).changing(first, "io"), 1))


TEXTS = [f"w{x} w3 w{y}" for x in range(4, 14) for y in range(20, 27)]


@functools.cache
def preferred(kind: str) -> dict[str, list[str]]:
    """For each text two words that the model prefers there more than after the other texts, the first one most: a
    random model has no right answers."""
    scores = torch.stack([last(kind, text)[3:] for text in TEXTS])
    order = (scores - scores.mean(0)).argsort(descending=True)[:, :2].tolist()
    return {text: [f" w{3 + i}" for i in two] for text, two in zip(TEXTS, order, strict=True)}


def grid(kind: str) -> Lab:
    """Prompts "wX w3 wY" with all X and Y of two lists, without corrupted prompts."""
    lines: list[str] = []
    for text, (answer, distractor) in preferred(kind).items():
        x, _, y = text.split()
        spans = {"subject": [0, len(x)], "other": [len(text) - len(y), len(text)]}
        odd = str((int(x[1:]) + int(y[1:])) % 2)
        one = {"text": text, "answer": answer, "distractor": distractor, "spans": spans, "template": "t"}
        lines.append(json.dumps({**one, "values": {"odd": odd}}))
    return Lab(tiny_subject(kind), from_jsonl("grid", "\n".join(lines)))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_made_prompts_give_the_result_of_plain_hooks(kind: str) -> None:
    lab = grid(kind)
    given: dict[str, Any] = {"task": "grid", "n": 28, "layers": [1], "positions": ["subject"]}
    found = ActivationPatching(**given, twin="subject").run(lab)
    pair = corrupted_prompts(lab, (28, "explore", 0), value="subject")
    for prompt in pair.prompts:
        assert prompt.corrupted is not None
        assert prompt.corrupted.split()[1:] == prompt.text.split()[1:]
        answer = preferred(kind)[prompt.corrupted][0]
        assert prompt.corrupted_answer == (None if answer == prompt.answer else answer)
    (effect,) = [e for e in found.effects if e.metric == "recovery"]
    compared = tuple(p.model_copy(update={"corrupted_answer": p.distractor}) for p in pair.prompts)
    slow = slow_recovery(kind, compared, Site(layer=1, part="resid_pre"), "subject", denoising=True)
    assert effect.value == pytest.approx(slow, abs=1e-3)
    assert re.search(r"change only subject, and with it answer( \(\d+ of 28\))?, odd \(\d+ of 28\)\.", found.found)


def test_what_cannot_change_is_refused_with_what_can() -> None:
    lab = grid("llama")
    with pytest.raises(BadConfiguration, match=r"No prompt has the value 'b' to change\. Values: subject, other, answ"):
        ActivationPatching(task="grid", n=6, twin="b").check(lab.subject.sizes, lab.task)
    same = lab.task.model_copy(update={"source": Fixed(lab.task.source)})
    with pytest.raises(BadConfiguration, match=r"of grid can change other\. It can change subject, answer\.$"):
        corrupted_prompts(Lab(lab.subject, same), (6, "explore", 0), value="other")


class Fixed:
    """The prompts of the grid whose second word is w20 or w21, each first word with only one of them."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        return (
            p for p in self.source.stream(split, seed) if p.text.endswith(f"w{20 + int(p.text.split()[0][1:]) % 2}")
        )

    def capacity(self, split: Split) -> int:
        return len(list(self.stream(split, 0)))

    def identity(self) -> Any:
        return self.source.identity()
