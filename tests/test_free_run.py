"""Free runs against plain transformers: tables, continuations, and every probe by a slow loop."""

from __future__ import annotations

import shlex
from itertools import pairwise
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from lashley.agent.main import cli
from lashley.experiments.errors import BadConfiguration, BadTask
from lashley.experiments.kinds.free_run import FreeRun
from lashley.experiments.methods.free_run import SHIFTED, probes
from lashley.experiments.result import Result
from lashley.tests.test_planted import planted_lab
from lashley.tests.test_web import parsed
from lashley.tests.tiny import VOCABULARY, tiny_subject
from lashley.tests.word_tasks import word_lab
from lashley.tools.workbench.catalog import command_of

SHAPES = ("gpt2", "llama", "gemma2")
ROWS = [[5, 17, 40, 8, 77, 30], [61, 9, 12], [33, 90, 4, 4, 51, 28]]


@torch.no_grad()
def plain(kind: str, row: list[int], shift: int = 0) -> Tensor:
    """The model's own log-probabilities, [position, vocabulary]."""
    ids = torch.tensor([row])
    positions = torch.arange(len(row))[None] + shift
    logits = tiny_subject(kind).model(input_ids=ids, position_ids=positions, use_cache=False).logits[0]
    return logits.float().log_softmax(-1)


def run(kind: str, **given: Any) -> Result:
    asked = FreeRun.model_validate({"task": "words", **given})
    lab = word_lab(kind)
    asked.check(lab.subject.sizes, lab.task)
    return asked.run(lab)


@pytest.mark.parametrize("kind", SHAPES)
def test_tables_are_those_of_a_plain_forward_pass(kind: str) -> None:
    found = run(kind, tokens=ROWS, top=4, positions="all")
    for i, row in enumerate(ROWS):
        best = plain(kind, row).topk(4)
        assert found.arrays[f"T{i}_next"].tolist() == best.indices.tolist()
        assert torch.allclose(torch.tensor(found.arrays[f"T{i}_prob"]), best.values.exp(), atol=1e-5)
        last = [e for e in found.effects if e.site.startswith(f"T{i}@{len(row) - 1} ")]
        assert [e.value for e in last] == pytest.approx(best.values[-1].exp().tolist(), abs=1e-5)
        entropy = -(plain(kind, row)[-1].exp() * plain(kind, row)[-1]).sum().item()
        assert found[f"entropy[T{i}@{len(row) - 1}]"].value == pytest.approx(entropy, abs=1e-4)
    assert 'T1 = 0:"w61" 1:"w9" 2:"w12"' in found.found


def test_a_text_is_its_tokens() -> None:
    by_text = run("llama", texts=["w61 w9 w12"], positions="0, -1")
    by_token = run("llama", tokens=[[61, 9, 12]], positions=[0, 2])
    assert by_text.effects == by_token.effects
    assert by_text.found.replace("0, -1", "") == by_token.found
    assert [line.split(":")[0] for line in by_text.found.splitlines()[2:]] == ['  after 0 "w61"', '  after 2 "w12"']


@pytest.mark.parametrize("kind", SHAPES)
def test_a_greedy_continuation_is_that_of_generate(kind: str) -> None:
    found = run(kind, tokens=ROWS, continue_by=7)
    for i, row in enumerate(ROWS):
        wanted = tiny_subject(kind).model.generate(torch.tensor([row]), max_new_tokens=7, do_sample=False,
                                                   attention_mask=torch.ones(1, len(row)))  # fmt: skip
        assert found.arrays[f"T{i}_continued"].tolist() == wanted[0, len(row) :].tolist()
        assert found.samples[i].said == tiny_subject(kind).tokenizer.decode(wanted[0, len(row) :])


def test_a_drawn_continuation_is_drawn_from_the_predictions() -> None:
    found = run("llama", tokens=[ROWS[1]] * 2, continue_by=6, temperature=1.5, seed=4)
    for i in range(2):
        row, draw, end = list(ROWS[1]), torch.Generator().manual_seed(4 * 1_000_003 + i), 2
        for _ in range(6):
            if row[-1] != end:
                spread = (plain("llama", row)[-1].double() / 1.5).softmax(-1)
                row.append(int(torch.multinomial(spread, 1, generator=draw)))
        assert found.arrays[f"T{i}_continued"].tolist() == row[len(ROWS[1]) :]
    assert found.arrays["T0_continued"].tolist() != found.arrays["T1_continued"].tolist()
    assert run("llama", tokens=[ROWS[1]] * 2, continue_by=6, temperature=1.5, seed=4).samples == found.samples


def test_nothing_follows_an_end_of_text() -> None:
    """With a high temperature the end-of-text token is drawn sooner or later."""
    found = run("gpt2", tokens=[[10, 11]] * 40, continue_by=40, temperature=10.0)
    written = [found.arrays[f"T{i}_continued"].tolist() for i in range(40)]
    assert any(2 in row for row in written)
    assert all(2 not in row[:-1] for row in written)
    assert all(len(row) == 40 for row in written if row[-1] != 2)


@pytest.mark.parametrize("kind", SHAPES)
def test_every_probe_is_what_a_slow_loop_says(kind: str) -> None:
    n, length, among = 6, 5, list(range(3, 30))
    found = run(kind, probe="random", n=n, length=length, among=among, seed=3)
    drawn = probes((), among, n, length, "free run explore 3")
    assert found.arrays["sequences"].tolist() == drawn.rows
    before = [plain(kind, row)[-1] for row in drawn.rows]
    by = {(e.site, e.metric): e for e in found.effects}
    for name, rows in drawn.changed.items():
        after = [plain(kind, row, shift=int(name == SHIFTED))[-1] for row in rows]
        kl = [float((a.exp() * (a - b)).sum()) for a, b in zip(before, after, strict=True)]
        other = [float(a.argmax() != b.argmax()) for a, b in zip(before, after, strict=True)]
        assert by[name, "kl"].value == pytest.approx(sum(kl) / n, abs=1e-4)
        assert by[name, "top_changed"].value == pytest.approx(sum(other) / n)
    tops = [int(a.argmax()) for a in before]
    for i in range(length):
        assert by[f"t{i}", "copied"].value == sum(row[i] == t for row, t in zip(drawn.rows, tops, strict=True)) / n
    # Rotary angles know distances only, and a table of positions knows places.
    assert (by[SHIFTED, "kl"].value > 1e-3) == (kind == "gpt2")


def test_a_copying_model_is_seen_without_a_task() -> None:
    """The planted circuit says what followed the last token before; without a repeat it copies at random."""
    lab = planted_lab("planted:induction")
    found = FreeRun(probe="random", n=64, among=[3, 4, 5, 6], task="induction").run(lab)
    repeats = [row for row in found.arrays["sequences"].tolist() if row[-1] in row[:-1]]
    assert (found["top_follows_repeat"].value, found["top_follows_repeat"].n) == (1.0, len(repeats))
    guess = sum(len({b for a, b in pairwise(row) if a == row[-1]}) / 4 for row in repeats) / len(repeats)
    assert f"a random one of the drawn tokens: {guess:.2f}" in found.found


def test_what_the_changes_change() -> None:
    drawn = probes((1,), range(3, 90), 20, 6, "a")
    assert drawn == probes((1,), range(3, 90), 20, 6, "a")
    assert drawn.rows != probes((1,), range(3, 90), 20, 6, "b").rows
    for at, row in enumerate(drawn.rows):
        permuted, lengthened = drawn.changed["permuted"][at], drawn.changed["lengthened"][at]
        assert (sorted(permuted), permuted[-1], lengthened[1:]) == (sorted(row), row[-1], row)
        for i in range(6):
            other = drawn.changed[f"replaced t{i}"][at]
            assert [a != b for a, b in zip(row, other, strict=True)] == [i == j for j in range(6)]


def test_a_held_out_test_draws_other_sequences() -> None:
    explore, confirm = (run("gpt2", probe="random", n=4, split=split) for split in ("explore", "confirm"))
    assert explore.arrays["sequences"].tolist() != confirm.arrays["sequences"].tolist()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "one of texts, tokens and probe"),
        ({"texts": ["w5"], "probe": "random"}, "one of texts, tokens and probe"),
        ({"texts": []}, "between 1 and 64"),
        ({"texts": ["w5", ""]}, "empty"),
        ({"tokens": [[5, VOCABULARY]]}, f"no token {VOCABULARY}. This model has {VOCABULARY}, 0 to"),
        ({"tokens": [[5]], "positions": "first"}, "last, all, or numbers"),
        ({"tokens": [[5]], "positions": "1"}, "1 tokens has no position 1"),
        ({"probe": "random", "continue_by": 3}, "not continued"),
        ({"tokens": [[5]], "temperature": 1.0}, "needs continue_by"),
        ({"probe": "random", "among": [5, 5]}, "at least two"),
        ({"tokens": [[5]], "among": [5, 6]}, "with probe"),
    ],
)
def test_what_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(BadConfiguration, match=says):
        run("gpt2", **given)


def test_no_room_is_said() -> None:
    with pytest.raises(BadTask, match="64 positions"):
        run("gpt2", tokens=[[5] * 60], continue_by=5)


def test_the_command_line_says_texts_with_commas_and_token_ids() -> None:
    for given in ({"texts": ["a, b", "-c  d"]}, {"tokens": [[5, 6], [7]], "positions": "all"}):
        config = FreeRun.model_validate({**given, "model": "planted:induction"}).config()
        assert parsed("free_run", command_of("free_run", config) or "") == config


def test_a_free_run_is_an_experiment(tmp_path: Any) -> None:
    words = "experiment free_run --model planted:induction --tokens '3 4 5 3' --continue-by 2 --top 1"
    done = CliRunner().invoke(cli, [*shlex.split(words), "--db", str(tmp_path / "t.db")], catch_exceptions=False)
    assert 'after 3 " air": " arm" 0.997' in done.stdout
    assert 'continues (greedy): " arm art" = 4 5' in done.stdout
    again = CliRunner().invoke(cli, ["replay", "E1", "--db", str(tmp_path / "t.db")], catch_exceptions=False)
    assert again.exit_code == 0, again.output
