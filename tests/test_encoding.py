"""What a tokenizer puts around a text, does not know, or does not tell."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

from lashley.experiments.errors import BadTask
from lashley.experiments.lab import Lab
from lashley.experiments.model.bundled import bundled_folder
from lashley.experiments.model.encoding import encode, encode_answer, found_offsets, habits
from lashley.experiments.model.loading import prepare
from lashley.experiments.tasks.batch import make_batch
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.tokens import labels, token_text
from lashley.tests.tiny import tiny_model, tiny_tokenizer
from lashley.tests.word_tasks import word_task
from lashley.tools.subject_card import in_tokens, subject_card


def putting(template: str) -> Any:
    """The tiny tokenizer with the habit of putting tokens around every text."""
    made = tiny_tokenizer()
    special = [("<bos>", 1), ("<eos>", 2)]
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return made


OPEN = Prompt(text="w3 w4", answer="", key="x", open=True)
ASKED = Prompt(text="w3 w4", answer=" w5", distractor=" w6", key="x")


@pytest.mark.parametrize(("template", "front"), [("$A <eos>", []), ("<bos> $A <eos>", [1]), ("<bos> $A", [1])])
def test_a_prompt_begins_as_every_text_does_and_has_no_end(template: str, front: list[int]) -> None:
    tokenizer = putting(template)
    for prompt in (OPEN, ASKED):
        assert make_batch(tokenizer, [prompt]).ids.tolist() == [[*front, 3, 4]]
    assert make_batch(tokenizer, [ASKED]).targets.tolist() == [[5]]
    told = " ".join(habits(tokenizer))
    assert ("<eos> (2) after every text" in told) == ("eos" in template)
    assert ("starts every text with <bos> (1)" in told) == bool(front)


def test_a_text_that_begins_with_the_bos_itself_has_one() -> None:
    given = Prompt(text="<bos> w3 w4", answer=" w5", spans={"first": (6, 8)}, key="x")
    batch = make_batch(putting("<bos> $A"), [given, ASKED])
    assert batch.ids.tolist() == [[1, 3, 4], [1, 3, 4]]
    assert batch.spans[0]["first"] == (1, 2)


def test_a_tokenizer_without_habits_has_none_to_tell() -> None:
    assert habits(tiny_tokenizer()) == ()
    assert habits(AutoTokenizer.from_pretrained(bundled_folder("smollm2-135m"))) == ()


@pytest.mark.parametrize("field", ["answer", "distractor"])
def test_an_answer_that_the_tokenizer_does_not_know_is_refused(field: str) -> None:
    prompt = ASKED.model_copy(update={field: " w5 nowhere"})
    with pytest.raises(BadTask, match=r"does not know 'nowhere' in the answer ' w5 nowhere' \(after 'w3 w4'\)[^\n]*$"):
        make_batch(tiny_tokenizer(), [prompt])


def test_an_answer_of_which_a_letter_is_dropped_is_refused() -> None:
    """A vocabulary of letters without an unknown token leaves out what it does not have, without a word."""
    made = Tokenizer(models.BPE({c: i for i, c in enumerate("abcde ")}, []))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    letters = PreTrainedTokenizerFast(tokenizer_object=made)
    assert encode_answer(letters, "ab", " cd")[1] == [2, 3]
    with pytest.raises(BadTask, match="does not know 'cñd'"):
        encode_answer(letters, "ab", " cñd")


def test_the_literal_name_of_a_special_token_may_be_asked_for() -> None:
    assert encode_answer(tiny_tokenizer(), "w3", " <pad>")[1] == [0]


def test_all_of_a_byte_level_vocabulary_is_known() -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundled_folder("smollm2-135m"))
    for answer in (" naïve", " 東京", " कि", " 🎉", "\u200b x", " <|endoftext|>"):
        assert tokenizer.decode(encode_answer(tokenizer, "It is", answer)[1]) == answer


def test_spans_are_found_where_a_tokenizer_does_not_tell_them() -> None:
    """ByT5: a token is a byte, and an é is two of them."""
    prompt = Prompt(text="héllo wörld is", answer=" ça", distractor=" da", spans={"e": (1, 2), "w": (6, 11)}, key="x")
    batch = make_batch(ByT5Tokenizer(), [prompt])
    assert (batch.spans[0]["e"], batch.spans[0]["w"]) == ((1, 3), (7, 13))
    assert batch.targets.tolist() == [[b + 3 for b in " ça".encode()]]
    assert int(batch.prompt_len) == len(prompt.text.encode()), "no EOS is counted"
    assert in_tokens(ByT5Tokenizer(), prompt)["spans"] == {"e": (1, 3), "w": (7, 13)}


@pytest.mark.parametrize(
    "text", ["Mary went to the store.", " two  blanks\n\nand lines", "naïve 東京 🎉!", "1234 + 5 ="]
)
def test_found_offsets_are_those_that_a_tokenizer_tells(text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundled_folder("smollm2-135m"))
    ids, told = encode(tokenizer, text)
    assert found_offsets(tokenizer, ids) == told


def test_a_subject_with_a_tokenizer_of_bytes_is_measured() -> None:
    prompts = tuple(
        Prompt(text=f"{a} and {b}", answer=" é", distractor=" o", spans={"a": (0, 1)}, key=a + b)
        for a in "abcdefgh" for b in "xyz"
    )  # fmt: skip
    subject = prepare("bytes", tiny_model("gpt2", vocab_size=384), ByT5Tokenizer(), "cpu")
    task = word_task(prompts)
    card = subject_card(subject, task, 1, "explore", 0, n=4)
    assert card["examples"][0]["spans"] == {"a": (0, 1)}
    assert any("found by decoding" in note for note in card["tokenizer"])
    _, batch = Lab(subject, task).prompts(4, "explore", 0)
    assert batch.length == 7 + 2


def test_a_row_of_the_vocabulary_without_a_token_is_named() -> None:
    assert token_text(tiny_tokenizer(), 96) == "<no token 96>"
    assert labels(ByT5Tokenizer(), [ord("a") + 3, 384]) == ["a", "<no␣token␣384>"]


def test_the_card_counts_prompts_that_the_tokenizer_does_not_know() -> None:
    prompts = tuple(
        Prompt(text=f"w{3 + i} {'zebra' if i % 2 else 'w9'} w5", answer=" w6", distractor=" w7", key=str(i))
        for i in range(40)
    )  # fmt: skip
    card = subject_card(
        prepare("tiny", tiny_model("gpt2"), tiny_tokenizer(), "cpu"), word_task(prompts), 1, "explore", 0
    )
    n = min(32, word_task(prompts).capacity("explore"))
    unknown = sum("zebra" in p.text for p in word_task(prompts).prompts(n))
    told = f"{unknown} of {n} prompts contain something that the tokenizer does not know"
    assert [note.startswith(told) for note in card["tokenizer"]] == [True]
