"""What a tokenizer cannot carry is left out, counted and said; what is left fits into a batch."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lashley.experiments.errors import BadTask
from lashley.experiments.model.bundled import bundled_folder
from lashley.experiments.tasks.batch import make_batch
from lashley.experiments.tasks.fitted import Fitted, Tokens
from lashley.experiments.tasks.gender import HE, SHE
from lashley.experiments.tasks.ioi import NAMES
from lashley.experiments.tasks.prompt import SPLITS
from lashley.experiments.tasks.registry import task, tasks
from lashley.experiments.tasks.task import Fits
from lashley.experiments.tasks.tokens import labels, token_text
from lashley.experiments.tasks.vocabulary import NOUNS

FITTED = tuple(name for name, t in tasks().items() if isinstance(t.source, Fits))
SCORED = tuple(name for name, t in tasks().items() if t.answer_kind != "open")


@pytest.fixture(scope="module")
def smollm2() -> Any:
    return AutoTokenizer.from_pretrained(bundled_folder("smollm2-135m"))


@pytest.fixture(scope="module")
def gpt2_like() -> Any:
    """Byte pairs as in GPT-2, learnt from numbers up to 540 and from half of the names, nouns and professions."""
    taught = [word for words in (NAMES, NOUNS, SHE, HE) for word in words[::2]]
    lines = [f"{n} {n}" for n in range(540)] + [f" {c} {year:02}" for c in range(11, 18) for year in range(100)]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=6000, initial_alphabet=alphabet, show_progress=False)  # type: ignore[call-arg]
    trained.train_from_iterator([*lines * 3, *(f"a {word} {word}" for word in taught * 3)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=trained, pad_token="!")


@pytest.mark.parametrize("name", FITTED)
def test_what_is_left_out_is_what_does_not_fit(name: str, gpt2_like: Any) -> None:
    whole = task(name)
    source = whole.source
    assert isinstance(source, Fitted)
    missing = [word for word in source.words if not source.fits(Tokens(gpt2_like), word)]
    carried = whole.for_tokenizer(gpt2_like)
    assert isinstance(carried.source, Fitted)
    assert set(carried.source.words) == set(source.words) - set(missing)
    if not missing:
        assert (carried.left_out, carried.fingerprint()) == ("", whole.fingerprint())
        return
    assert f"{len(missing)} of {len(source.words)}" in carried.left_out
    assert source.need in carried.left_out
    assert carried.fingerprint() != whole.fingerprint()
    assert carried.for_tokenizer(gpt2_like).fingerprint() == carried.fingerprint()
    assert carried.for_tokenizer(gpt2_like).left_out == carried.left_out


def test_names_of_several_tokens_are_left_out(gpt2_like: Any) -> None:
    carried = task("ioi").for_tokenizer(gpt2_like)
    assert carried.left_out
    for split in SPLITS:
        for p in carried.prompts(200, split):
            assert len(gpt2_like(p.answer)["input_ids"]) == len(gpt2_like(p.distractor)["input_ids"]) == 1


def test_numbers_are_taken_where_they_are_one_token(gpt2_like: Any, smollm2: Any) -> None:
    carried = task("kth_smallest").for_tokenizer(gpt2_like)
    for p in carried.prompts(100):
        assert len(gpt2_like(p.text)["input_ids"]) == 16
    with pytest.raises(BadTask, match=r"does not fit 'kth_smallest'.*1000 of 1000") as told:
        task("kth_smallest").for_tokenizer(smollm2)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", [name for name in SCORED if name != "kth_smallest"])
def test_every_task_fits_into_a_batch(name: str, smollm2: Any) -> None:
    """Answers are tokens of their own, told apart from their distractors, and spans hold tokens."""
    carried = task(name).for_tokenizer(smollm2)
    for split in SPLITS:
        if n := min(200, carried.capacity(split)):
            batch = make_batch(smollm2, carried.prompts(n, split))
            assert len(batch) == n


@pytest.mark.parametrize("name", ["ioi", "kth_smallest", "induction", "docstring", "greater_than", "copying"])
def test_a_tokenizer_with_whole_numbers_carries_them_too(name: str, gpt2_like: Any) -> None:
    make_batch(gpt2_like, task(name).for_tokenizer(gpt2_like).prompts(50))


def test_every_token_has_a_label_that_shows_its_white_space(smollm2: Any) -> None:
    (the,), (line,) = smollm2(" the")["input_ids"], smollm2("\n")["input_ids"]
    assert labels(smollm2, [the, line]) == ["␣the", "↵"]
    every = labels(smollm2, range(0, len(smollm2), 7))
    assert all(text and not set(text) & set(" \n\t\r\ufffd") for text in every)


def test_a_vocabulary_that_marks_words_keeps_their_leading_space() -> None:
    made = Tokenizer(models.WordLevel({"▁the": 0, "th": 1, "<unk>": 2}, unk_token="<unk>"))
    made.decoder = decoders.Metaspace()
    marked = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")
    assert [token_text(marked, token) for token in range(3)] == [" the", "th", "<unk>"]
