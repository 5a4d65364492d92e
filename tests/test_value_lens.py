"""The lens of a named value: the numbers of a model that ends at the layer, and a token that tells values apart."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lashley.experiments.errors import BadConfiguration, BadTask
from lashley.experiments.kinds.embedding_map import EmbeddingMap
from lashley.experiments.kinds.logit_lens import LogitLens
from lashley.experiments.kinds.tuned_lens import TunedLens
from lashley.experiments.lab import Lab, lab_of
from lashley.experiments.methods.value_lens import token_at, tokens_at, value_tokens
from lashley.experiments.model.loading import load
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.registry import tasks
from lashley.tests.slow_way import tokens_of
from lashley.tests.test_logit_lens import by_metric, shortened
from lashley.tests.tiny import SAMPLED
from lashley.tests.word_tasks import word_lab
from lashley.tools.claims.call import TypedClaim
from lashley.tools.claims.question import question_from, read_question
from lashley.tools.claims.types.decodable import Decodable

N = 7
GIVEN = {"task": "words", "n": N}


def with_values(i: int, words: list[str]) -> Prompt:
    """A prompt of these words; the value `sum` is not among them, and `middle` is its second word."""
    text = " ".join(words)
    start = len(words[0]) + 1
    return Prompt(
        text=text,
        answer=f" w{40 + i % 5}" + (" w9" if i % 4 == 0 else ""),
        distractor=f" w{60 + i % 3}",
        template="t",
        key=f"question {i}",
        spans={"middle": (start, start + len(words[1]))},
        values={"sum": f"w{70 + i % 4}", "same": "w80", "long": f"w{70 + i % 4} w3"},
    )


PROMPTS = tuple(with_values(i, [f"w{3 + (i * 7 + k * 11) % 90}" for k in range(3 + i % 3)]) for i in range(60))


@pytest.fixture
def lab() -> Lab:
    return word_lab("gemma2", PROMPTS)


@pytest.mark.parametrize("kind", SAMPLED)
@pytest.mark.parametrize("value", ["sum", "middle"])
def test_a_value_is_read_as_a_plain_count_reads_it(kind: str, value: str) -> None:
    lab = word_lab(kind, PROMPTS)
    prompts, batch = lab.prompts(N, "explore", 0)
    result = LogitLens.model_validate({**GIVEN, "value": value, "position": "middle"}).run(lab)
    ids = lab.subject.tokenizer.get_vocab()
    texts = [p.values["sum"] if value == "sum" else p.text.split()[1] for p in prompts]
    tokens = [ids[text] for text in texts]
    n_layers = lab.subject.anatomy.n_layers
    for layers in (1, n_layers):
        wanted: dict[str, list[float]] = {"prob": [], "rank": [], "lead": [], "kl": []}
        for i, mine in enumerate(tokens):
            said = shortened(lab, batch, i, layers)
            end = shortened(lab, batch, i, n_layers)
            # One word is one token; the tokenizer may put tokens in front.
            at = int(batch.prompt_len[i]) - len(prompts[i].text.split()) + 1
            assert lab.subject.tokenizer.decode(tokens_of(batch, i)[0, at]).strip() == prompts[i].text.split()[1]
            read, own = said[at].log_softmax(-1), end[at].log_softmax(-1)
            others = sorted(set(tokens) - {mine})
            wanted["prob"].append(float(read[mine].exp()))
            wanted["rank"].append(int((read > read[mine]).sum()))
            wanted["lead"].append(float(read[mine] - read[others].mean()))
            wanted["kl"].append(float((own.exp() * (own - read)).sum()))
        for metric, values in wanted.items():
            found = by_metric(result, metric)[f"L{layers - 1}.resid_post@middle"]
            assert found == pytest.approx(sum(values) / N, abs=1e-4), (metric, layers)
    assert result["identity"].value <= 1e-5
    assert not [one for one in result.notes if one.code.endswith("_failed")]
    assert result.found.startswith(f"It looked for {value} at middle. ")


def test_the_answer_at_the_token_that_predicts_it_is_the_plain_lens(lab: Lab) -> None:
    plain = LogitLens.model_validate(GIVEN).run(lab)
    named = LogitLens.model_validate({**GIVEN, "value": "answer"})
    assert named.run(lab).effects == plain.effects
    there = LogitLens.model_validate({**GIVEN, "position": "read"}).run(lab)
    # The plain prob is that of all tokens of the answer.
    for metric in ("lead", "rank", "kl"):
        assert by_metric(there, metric) == pytest.approx(
            {f"{site}@read": value for site, value in by_metric(plain, metric).items()}, abs=1e-6
        )
    assert there.found.startswith("It looked for the answer at read (a different token in each prompt). ")


def test_what_is_read_elsewhere_is_no_evidence_that_the_answer_is_decodable(lab: Lab) -> None:
    claimed = Decodable(task="words", parts=("L1",))
    for given in ({"value": "sum"}, {"position": "middle"}, {"value": "sum", "position": "middle"}):
        result = LogitLens.model_validate({**GIVEN, **given}).run(lab)
        assert all("@" in effect.site for effect in result.effects)
        assert not [effect for effect in result.effects if effect.site == f"{claimed.parts[0]}.resid_post"]


def test_a_named_value_at_a_position_is_a_claim_of_its_own() -> None:
    """Each claim reads the lens that looked for the same value at the same position, and no other."""
    there = Decodable.model_validate({"task": "words", "parts": ("L1",), "value": "a + b", "at": "b"})
    assert there.question == "Can the value a+b of words at b be read after L1?"
    plain, named, at = (Decodable.model_validate({"task": "words", "parts": ("L1",), **given})
                        for given in ({"value": "answer"}, {"value": "a+b"}, {"at": "b"}))  # fmt: skip
    assert plain == Decodable(task="words", parts=("L1",))
    assert [one.suffix for one in (plain, named, at, there)] == [
        ".resid_post", ".resid_post@read", ".resid_post@b", ".resid_post@b"
    ]  # fmt: skip
    for wrong in ({"value": "it is so"}, {"value": "proved: L1.H2"}, {"at": "so and so"}, {"value": ""}):
        with pytest.raises(ValidationError):
            Decodable.model_validate({"task": "words", "parts": ("L1",), **wrong})
    for given in ({"value": "a + b", "at": "b"}, {"value": "a+b"}, {"at": "b"}):
        for kind, words in (("decodable", "be read"), ("first_decodable", "first be read")):
            asked = question_from(TypedClaim.model_validate({"type": kind, **given}), "parts", "words")
            claim = Decodable.model_validate({"task": "words", "parts": ("L1",), **given})
            assert asked.text == f"After which layer can {claim.what} {words}?"
            assert read_question(asked.data()) == asked


def test_a_configuration_without_a_value_keeps_its_hash() -> None:
    assert set(LogitLens(task="words", n=3).config()) == {"model", "task", "n", "split", "seed", "shown"}
    assert LogitLens(task="words", value="sum").config()["value"] == "sum"


def test_values_that_share_a_token_are_noted(lab: Lab) -> None:
    codes = {
        value: [
            one.code
            for one in LogitLens.model_validate({**GIVEN, "value": value}).run(lab).notes
            if one.code != "unable"
        ]
        for value in ("sum", "same", "long")
    }
    assert codes == {"sum": [], "same": ["same_values"], "long": ["value_of_several_tokens"]}


def test_what_cannot_be_read_is_refused_before_anything_runs(lab: Lab) -> None:
    def check(lab: Lab, **given: Any) -> None:
        LogitLens.model_validate({**GIVEN, **given}).check(lab.subject.sizes, lab.task)

    check(lab, value="sum", position="last")
    with pytest.raises(BadTask, match=r"No prompt has value 'b'\. .*: middle, answer, sum, same, long\."):
        check(lab, value="b")
    with pytest.raises(BadConfiguration, match=r"the position 'end'\. Use middle, last, read\."):
        check(lab, value="sum", position="end")
    free = word_lab("llama", PROMPTS, is_open=True)
    with pytest.raises(BadConfiguration, match=r"no answer\. Name a value"):
        check(free, position="middle")
    check(free, value="sum", position="middle")
    assert LogitLens.model_validate({**GIVEN, "value": "sum"}).run(free).effects


def letters() -> PreTrainedTokenizerFast:
    """A tokenizer in which every character is a token, as the spaces and digits of some models are."""
    made = Tokenizer(models.WordLevel({"<unk>": 0, **{c: i for i, c in enumerate(" 0123456789+=ab", 1)}}, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")


def test_the_token_of_a_value_is_not_the_space_before_it() -> None:
    sums = [(3, 4), (5, 6), (9, 9)]
    prompts = [
        Prompt(text=f"{a}+{b}=", answer=f" {a * b}", key=f"{a}", values={"a+b": str(a + b), "a": str(a)})
        for a, b in sums
    ]
    tokens, notes = value_tokens(letters(), prompts, "a+b")
    assert letters().convert_ids_to_tokens(tokens.tolist()) == ["7", "1", "1"]
    assert [one.code for one in notes] == ["value_of_several_tokens"]
    assert notes[0].text.startswith("2 of 3 values of a+b")
    tokens, notes = value_tokens(letters(), prompts, "a")
    assert letters().convert_ids_to_tokens(tokens.tolist()) == ["3", "5", "9"]
    assert not notes
    unknown = [prompt.model_copy(update={"values": {"a": "ß"}}) for prompt in prompts]
    with pytest.raises(BadConfiguration, match="The value a cannot be read"):
        value_tokens(letters(), unknown, "a")


def test_the_lens_of_a_value_ignores_what_comes_after_the_position(lab: Lab) -> None:
    given = LogitLens.model_validate({**GIVEN, "value": "sum", "position": "middle"})
    changed = tuple(
        p.model_copy(update={"text": " ".join([*p.text.split()[:2], *("w5" for _ in p.text.split()[2:])])})
        for p in PROMPTS
    )
    first, second = (given.run(one) for one in (lab, word_lab("gemma2", changed)))
    for metric in ("lead", "prob", "rank"):
        assert by_metric(first, metric) == pytest.approx(by_metric(second, metric), abs=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_tuned_lens_of_a_value_is_its_map_then_the_models_own_end(kind: str) -> None:
    lab = word_lab(kind, PROMPTS)
    prompts, batch = lab.prompts(N, "explore", 0)
    experiment = TunedLens.model_validate({**GIVEN, "train": 16, "value": "sum", "position": "middle"})
    result, (maps, _) = experiment.run(lab), experiment.maps(lab)
    model: Any = lab.subject.model
    norm = model.transformer.ln_f if kind == "gpt2" else model.model.norm
    ids, layers = lab.subject.tokenizer.get_vocab(), 1
    tokens = [ids[p.values["sum"]] for p in prompts]
    streams, ends = [], []
    with torch.no_grad():
        for i, prompt in enumerate(prompts):
            at = int(batch.prompt_len[i]) - len(prompt.text.split()) + 1
            whole = model(tokens_of(batch, i), output_hidden_states=True)
            streams.append(whole.hidden_states[layers][0, at])
            ends.append(whole.logits[0, at].log_softmax(-1))
        moved = maps[layers](torch.stack(streams)[:, None])[:, 0]
        read = model.lm_head(norm(moved)).log_softmax(-1)
        prob = [float(row[token].exp()) for row, token in zip(read, tokens, strict=True)]
        kl, other = ([float((end.exp() * (end - row)).sum()) for end, row in zip(ends, rows, strict=True)]
                     for rows in (read, read.roll(1, 0)))  # fmt: skip
    site = f"L{layers - 1}.resid_post@middle"
    assert by_metric(result, "prob")[site] == pytest.approx(sum(prob) / N, abs=1e-5)
    assert by_metric(result, "kl")[site] == pytest.approx(sum(kl) / N, abs=1e-4)
    # The control reads another prompt at its own position.
    assert by_metric(result, "specific")[site] == pytest.approx((sum(other) - sum(kl)) / N, abs=1e-4)
    assert result["identity"].value <= 1e-5
    assert result.found.startswith("It looked for sum at middle. ")
    assert "value" not in TunedLens(task="words").config()


def test_a_map_is_labelled_by_a_named_value(lab: Lab) -> None:
    given = {**GIVEN, "n": 24, "position": "last"}
    found = EmbeddingMap.model_validate({**given, "label": "sum"}).run(lab)
    prompts, _ = lab.prompts(24, "explore", 0)
    # A span with the same words as the value gives the same map.
    spelled = tuple(p.model_copy(update={"values": {}, "answer": f" {p.values['sum']}"}) for p in PROMPTS)
    by_answer = EmbeddingMap.model_validate({**given, "label": "answer"}).run(word_lab("gemma2", spelled))
    assert len({p.values["sum"] for p in prompts}) > 1
    for name in ("accuracy", "accuracy_shuffled", "accuracy_embedding", "p"):
        assert found[name] == by_answer[name]
    with pytest.raises(BadConfiguration, match=r"'b'\. Labels: answer, template, long, middle, same, sum, if"):
        EmbeddingMap.model_validate({**given, "label": "b"}).check({}, lab.task)


def test_a_position_is_shown_with_its_token() -> None:
    given = {"model": "smollm2-135m", "task": "arithmetic", "n": 4}
    lens = LogitLens.model_validate({**given, "position": "last"})
    lab = lab_of(load("smollm2-135m"), tasks()["arithmetic"])
    assert lens.run(lab).found.startswith('It looked for the answer at last (" ="). ')
    _, batch = lab.prompts(*lens.draw)
    assert tokens_at(lab, batch, {"a", "b"}) == ""
    assert tokens_at(lab, batch, {"last"}) == ' Here last is " =".'
    read = token_at(lab, batch, "read")
    assert read.endswith(" of 4 prompts")
    assert sum(int(count) for count in re.findall(r" in (\d)", read)) == 4
