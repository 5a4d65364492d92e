"""Prompts as tokens: answers in place, pads that nobody sees; and where means and resamples come from."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from lashley.experiments import engine
from lashley.experiments.engine import Activations
from lashley.experiments.engine.donors import FEWEST
from lashley.experiments.errors import BadConfiguration, BadTask
from lashley.experiments.model.bundled import bundled_folder
from lashley.experiments.tasks.batch import Batch, make_batch
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.registry import task
from lashley.tests.tiny import VOCABULARY, tiny_tokenizer

FAST = settings(max_examples=60, deadline=None, derandomize=True)
TOKENIZER = tiny_tokenizer()


def words(tokens: list[int]) -> str:
    return " ".join(f"w{t}" for t in tokens)


@st.composite
def prompts(draw: st.DrawFn) -> list[tuple[Prompt, list[int], list[int]]]:
    """Prompts with the tokens of text and answer; lengths repeat often, so that groups of several form."""
    token = st.integers(3, VOCABULARY - 1)
    made: list[tuple[Prompt, list[int], list[int]]] = []
    for i in range(draw(st.integers(1, 6))):
        text = draw(st.lists(token, min_size=2, max_size=4))
        answer = draw(st.lists(token, min_size=1, max_size=3))
        template = draw(st.sampled_from(["", "a", "b"]))
        made.append((Prompt(text=words(text), answer=f" {words(answer)}", template=template, key=str(i)), text, answer))
    return made


@given(prompts())
@FAST
def test_every_token_stands_where_it_is_read(made: list[tuple[Prompt, list[int], list[int]]]) -> None:
    batch = make_batch(TOKENIZER, [p for p, _, _ in made])
    for row, (_, text, answer) in enumerate(made):
        there = batch.mask[row].bool()
        assert batch.ids[row][there].tolist() == text + answer[:-1]
        assert batch.position_ids[row][there].tolist() == list(range(len(text) + len(answer) - 1))
        assert batch.targets[row].tolist() == answer + [-1] * (batch.reads - len(answer))
        # What is read for the first answer token is what stands at the prompt's last one.
        first, last = batch.spans[row]["last"]
        assert (first, last) == (batch.length - batch.reads, batch.length - batch.reads + 1)
        assert int(batch.ids[row, first]) == text[-1]
    bare = batch.without_answers()
    assert [bare.ids[r][bare.mask[r].bool()].tolist() for r in range(len(made))] == [text for _, text, _ in made]


def test_a_span_of_characters_becomes_its_tokens() -> None:
    short = Prompt(text="w3 w44 w5", answer=" w6", spans={"middle": (3, 6), "all": (0, 9)}, key="1")
    long = Prompt(text="w3 w4 w5 w6 w7", answer=" w8 w9", spans={"middle": (4, 7)}, key="2")
    batch = make_batch(TOKENIZER, [short, long])
    named = [
        {k: batch.ids[i, a:b].tolist() for k, (a, b) in spans.items()} for i, spans in enumerate(batch.spans)
    ]  # fmt: skip
    assert named == [{"middle": [44], "all": [3, 44, 5], "last": [5]}, {"middle": [4, 5], "last": [7]}]


def test_answers_are_compared_where_they_first_differ() -> None:
    prompt = Prompt(text="w3 w4", answer=" w6 w7 w8", distractor=" w6 w9 w8", key="1")
    batch = make_batch(TOKENIZER, [prompt])
    assert (batch.answer_at.tolist(), batch.pair.tolist()) == ([1], [[7, 9]])


def test_answers_that_no_token_tells_apart_are_refused() -> None:
    prompt = Prompt(text="w3 w4", answer=" w6 w7", distractor=" w6", key="1")
    with pytest.raises(BadTask, match=r"^The tokens of the answer ' w6 w7' start with those of the distractor[^\n]*$"):
        make_batch(TOKENIZER, [prompt])


def test_an_answer_that_melts_into_the_prompt_is_refused() -> None:
    with pytest.raises(BadTask, match=r"^The tokenizer joins the end of the prompt and the answer 'b'[^\n]*$"):
        make_batch(TOKENIZER, [Prompt(text="w3 w4", answer="b", key="1")])


def test_every_prompt_of_arithmetic_fits_the_bundled_tokenizer() -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundled_folder("smollm2-135m"))
    drawn = task("arithmetic").prompts(16)
    batch = make_batch(tokenizer, drawn)
    for row, prompt in enumerate(drawn):
        answer = batch.targets[row][batch.targets[row] >= 0]
        assert tokenizer.decode(answer) == prompt.answer
        assert tokenizer.decode(batch.ids[row][batch.mask[row].bool()][: int(batch.prompt_len[row])]) == prompt.text


# --- where replacements come from ----------------------------------------------------------------------------


def marked(batch: Batch) -> Activations:
    """Activations that say where they are from: [row, column, (row, column, is it a token)]."""
    rows = torch.arange(len(batch))[:, None].expand(batch.ids.shape)
    columns = torch.arange(batch.length)[None].expand(batch.ids.shape)
    return Activations({(0, "z"): torch.stack([rows, columns, batch.mask], -1).double()})


def plain_donors(made: list[tuple[Prompt, list[int], list[int]]], row: int) -> tuple[list[int], bool]:
    """Who lends to a prompt, written down plainly, and whether column by column."""
    own, text, answer = made[row]
    far = [i for i, (p, _, a) in enumerate(made) if p.key != own.key and a[0] != answer[0]]
    as_long = [i for i in far if len(made[i][1]) == len(text)]
    same = [i for i in as_long if own.template and made[i][0].template == own.template]
    forms = [(same, True), (as_long, True), (far, False)]
    return next(form for enough in (FEWEST, 1, 0) for form in forms if len(form[0]) >= enough)


@given(prompts())
@FAST
def test_a_mean_is_taken_over_prompts_that_ask_and_answer_otherwise(
    made: list[tuple[Prompt, list[int], list[int]]],
) -> None:
    batch = make_batch(TOKENIZER, [p for p, _, _ in made])
    lent = [plain_donors(made, row) for row in range(len(made))]
    if not all(donors for donors, _ in lent):
        with pytest.raises(
            BadConfiguration, match=r"^\d of \d prompts have no other prompt with another question and answer"
        ):
            engine.mean_source(marked(batch), batch)
        return
    means = engine.mean_source(marked(batch), batch).at(0, "z")
    last = [int(batch.mask[i].nonzero().max()) for i in range(len(made))]
    for row, (donors, aligned) in enumerate(lent):
        for column in batch.mask[row].nonzero()[:, 0].tolist():
            if aligned:
                there = [(i, column) for i in donors if batch.mask[i, column]] or [(i, last[i]) for i in donors]
            else:
                there = [(i, c) for i in donors for c in batch.mask[i].nonzero()[1:, 0].tolist()]
            wanted = [sum(i for i, _ in there) / len(there), sum(c for _, c in there) / len(there), 1.0]
            assert means[row, column].tolist() == pytest.approx(wanted)


@given(prompts(), st.integers(0, 5))
@FAST
def test_a_resample_is_a_token_of_a_prompt_that_asks_and_answers_otherwise(
    made: list[tuple[Prompt, list[int], list[int]]], seed: int
) -> None:
    batch = make_batch(TOKENIZER, [p for p, _, _ in made])
    lent = [plain_donors(made, row) for row in range(len(made))]
    if not all(donors for donors, _ in lent):
        with pytest.raises(
            BadConfiguration, match=r"^\d of \d prompts have no other prompt with another question and answer"
        ):
            engine.resample_source(marked(batch), batch, seed)
        return
    drawn = engine.resample_source(marked(batch), batch, seed).at(0, "z")
    for row, (donors, aligned) in enumerate(lent):
        there = batch.mask[row].bool()
        rows, columns, tokens = drawn[row][there].unbind(-1)
        assert bool((tokens == 1).all())
        assert set(rows.tolist()) <= set(donors)
        if aligned:
            other = int(rows[0])
            assert bool((rows == other).all())
            last = int(batch.mask[other].nonzero().max())
            assert columns.tolist() == [min(c, last) for c in there.nonzero()[:, 0].tolist()]
    again = engine.resample_source(marked(batch), batch, seed).at(0, "z")
    assert torch.equal(drawn, again)


def test_only_the_first_prompts_borrow_and_all_may_lend() -> None:
    words = [("w3 w4", " w5"), ("w6 w7", " w8"), ("w9 w10", " w5"), ("w11 w12", " w13")]
    made = [Prompt(text=text, answer=answer, template="t", key=text) for text, answer in words]
    batch = make_batch(TOKENIZER, made)
    means = engine.mean_source(marked(batch), batch, 1).at(0, "z")
    assert means.shape[0] == 1
    # The third prompt answers as the first does.
    assert means[0, 0, 0] == pytest.approx((1 + 3) / 2)
    assert set(engine.resample_source(marked(batch), batch, 0, 1).at(0, "z")[:, 0, 0].tolist()) <= {1.0, 3.0}


def test_prompts_of_one_question_do_not_lend_to_each_other() -> None:
    made = [
        Prompt(text=f"w{i} w4", answer=f" w{i + 20}", template="t", key=key)
        for i, key in ((5, "a"), (6, "a"), (7, "b"))
    ]
    batch = make_batch(TOKENIZER, made)
    assert engine.mean_source(marked(batch), batch).at(0, "z")[:, 0, 0].tolist() == [2.0, 2.0, 0.5]


def test_an_open_prompt_has_no_answer_to_read() -> None:
    batch = make_batch(TOKENIZER, [Prompt(text="w3 w4", answer="", key="x", open=True)])
    assert (batch.ids.tolist(), batch.targets.tolist(), batch.pair.tolist()) == ([[3, 4]], [[-1]], [[-1, -1]])
