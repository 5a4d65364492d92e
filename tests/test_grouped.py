"""Means by group, and the baseline by a value: the same numbers as for each group alone, and honest differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from lashley.experiments.errors import BadConfiguration, BadTask
from lashley.experiments.kinds.activation_patching import ActivationPatching
from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.kinds.causal_tracing import CausalTracing
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.methods.by_group import groups_of, sentence
from lashley.experiments.sites import parse_site
from lashley.experiments.statistics.grouped import FEWEST, MOST, difference, grouped, share_difference
from lashley.experiments.statistics.intervals import wilson
from lashley.experiments.statistics.skewed import mean_interval
from lashley.experiments.tasks.corrupted_prompts import corrupted_prompts
from lashley.experiments.tasks.prompt import Prompt
from lashley.tests.corrupted_lab import corrupted_lab, last, slow_recovery
from lashley.tests.word_tasks import word_lab
from lashley.tools.evidence.quantity import Numbers, read
from lashley.tools.report.figures import draw

N = 24
PROMPTS = tuple(
    Prompt(
        text=" ".join(f"w{3 + (i * 7 + k * 11) % 90}" for k in range(3 + i % 3)),
        answer=f" w{40 + i % 5}",
        distractor=f" w{60 + i % 3}",
        template="t",
        key=f"question {i // 2}",
        values={"third": f"w{i // 2 % 3}", "own": f"w{i}", "odd[1]": str(i % 2)},
    )
    for i in range(90)
)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.floats(-9, 9)), min_size=2, max_size=40),
    st.randoms(),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_group_is_what_it_is_alone_whatever_the_order(rows: list[tuple[str, int, float]], rng: object) -> None:
    values = np.array([row[2] for row in rows])
    names, asked = [row[0] for row in rows], [str(row[1]) for row in rows]
    found = grouped(values, names, asked)
    for one in found.groups:
        chosen = [i for i, name in enumerate(names) if name == one.name]
        own = [asked[i] for i in chosen]
        mean, low, high = mean_interval(values[chosen], own)
        assert one.value == pytest.approx(float(mean))
        assert (one.n, one.questions) == (len(chosen), len(set(own)))
        if one.questions > 1:
            assert (one.low, one.high) == pytest.approx((float(low), float(high)))
        else:
            assert one.low is None
    assert sum(one.n for one in found.groups) == len(rows)
    if len(found.groups) > 1 and found.above is not None:
        assert found.largest is not None
        inside = np.array([name == found.largest for name in names])
        assert found.above[0] == pytest.approx(values[inside].mean() - values[~inside].mean(), abs=1e-9)
        outside = {
            one.name: len({a for a, n in zip(asked, names, strict=True) if n != one.name}) for one in found.groups
        }
        compared = [one for one in found.groups if min(one.questions, outside[one.name]) >= FEWEST]
        assert found.largest in [one.name for one in compared]
        assert all(one.value <= values[inside].mean() + 1e-9 for one in compared)
    order = list(range(len(rows)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    again = grouped(values[order], [names[i] for i in order], [asked[i] for i in order])
    assert [one.name for one in again.groups] == [one.name for one in found.groups]
    assert [one.value for one in again.groups] == pytest.approx([one.value for one in found.groups])


def test_without_skewness_a_difference_is_welchs_with_fewer_degrees_of_freedom() -> None:
    """Symmetric values on both sides: the standard error must be Welch's, here read back from the width."""
    first, second = np.array([1.0, 2, 3, 4, 5, 6, 7, 8]), 2 * np.arange(12.0)
    values = np.concatenate([first, second])
    inside = np.arange(20) < 8
    apart, low, high = difference(values, inside, [str(i) for i in range(20)])
    welch = ttest_ind(first, second, equal_var=False)
    error = abs(apart / welch.statistic)
    assert low is not None
    assert high is not None
    assert high - apart == pytest.approx(apart - low)
    _, alone_low, alone_high = mean_interval(first)
    # The same number of questions and no skewness: as wide, per standard error, as the interval of the first alone.
    per_error = float(alone_high - alone_low) / 2 / (first.std(ddof=1) / math.sqrt(8))
    assert high - apart == pytest.approx(error * per_error)
    # Prompts of a question count once: twice the same prompts change nothing.
    twice = difference(np.tile(values, 2), np.tile(inside, 2), [str(i % 20) for i in range(40)])
    assert twice == pytest.approx((apart, low, high))


def test_a_question_on_both_sides_is_paired() -> None:
    """The same questions in both groups, with the difference of a pair always one: no spread is left."""
    rng = np.random.default_rng(0)
    base = rng.normal(0, 50, 20)
    values = np.concatenate([base + 1 + 1e-3 * rng.normal(size=20), base])
    inside = np.arange(40) < 20
    paired = difference(values, inside, [str(i % 20) for i in range(40)])
    apart = difference(values, inside, [str(i) for i in range(40)])
    assert paired[0] == pytest.approx(apart[0])
    assert paired[1] is not None
    assert apart[1] is not None
    assert paired[0] - paired[1] < 0.01 < 10 < apart[0] - apart[1]


def test_the_difference_of_shares_is_newcombes() -> None:
    """56 of 70 against 48 of 80: method 10 of Newcombe 1998, table II (a)."""
    values = np.array([1.0] * 56 + [0.0] * 14 + [1.0] * 48 + [0.0] * 32)
    found = share_difference(values, np.arange(150) < 70, [str(i) for i in range(150)])
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    none = share_difference(np.array([1.0] * 5 + [0.0] * 5), np.arange(10) < 5, [str(i) for i in range(10)])
    assert none[0] == 1
    assert none[1] is not None
    assert none[1] < 0.5


@pytest.mark.parametrize("share", [True, False])
def test_the_largest_of_equal_groups_is_not_found_to_be_larger(share: bool) -> None:
    """Without the correction for the choice, about half of these would be wrong."""
    rng, wrong, tried = np.random.default_rng(1), 0, 120
    names = [str(i % 8) for i in range(64)]
    for _ in range(tried):
        values = (rng.random(64) < 0.5).astype(float) if share else rng.normal(size=64)
        found = grouped(values, names, share=share)
        assert found.above is not None
        assert found.above[1] is not None
        wrong += found.above[1] > 0
    assert wrong / tried <= 0.08


def test_a_group_of_one_or_two_questions_is_never_the_headline() -> None:
    """Its mean may be far above the others', and its interval says nothing."""
    names = ["22"] * 2 + ["10"] * 8 + ["11"] * 8
    values = np.array([40.0, 60.0, *np.arange(8.0), *np.arange(1.0, 9.0)])
    assert grouped(values, names).largest == "11"
    # A third question makes it one; a repeated one does not.
    assert grouped(np.array([50.0, *values]), ["22", *names]).largest == "22"
    again = ["0", "1", "1", *(str(i) for i in range(2, 18))]
    assert grouped(np.array([50.0, *values]), ["22", *names], again).largest == "11"
    # Neither does a group that leaves almost none.
    few = grouped(values[:6], ["a"] * 5 + ["b"])
    assert (few.largest, few.above) == (None, None)
    assert "no group is compared with the rest: each has, or leaves, fewer than 3" in sentence(few, few, "length")


def test_rare_groups_are_merged_and_numbers_are_in_order() -> None:
    names = [str(i % 9) for i in range(40)] + [str(i) for i in range(100, 120)]
    found = grouped(np.arange(60.0), names)
    assert len(found.groups) == MOST
    assert [one.name for one in found.groups][:9] == [str(i) for i in range(9)]
    assert found.groups[-1].name == "other"
    assert (found.merged, found.groups[-1].n) == (18, 18)
    assert found.largest != "other"
    assert [one.name for one in grouped(np.arange(4.0), ["10", "9", "-1", "9"]).groups] == ["-1", "9", "10"]
    assert grouped(np.arange(3.0), ["a"] * 3).above is None


def test_a_baseline_by_a_value_measures_each_group_as_if_alone() -> None:
    lab = word_lab("llama", PROMPTS)
    plain = Baseline(task="words", n=N).run(lab)
    result = Baseline(task="words", n=N, by="third").run(lab)
    prompts, _ = lab.prompts(N, "explore", 0)
    intact = lab.intact(N, "explore", 0)
    assert intact.correct is not None
    for value in ("w0", "w1", "w2"):
        rows = [i for i, p in enumerate(prompts) if p.values["third"] == value]
        asked = {prompts[i].key for i in rows}
        right = result[f"accuracy[third={value}]"]
        assert (right.value, right.n) == (pytest.approx(intact.correct[rows].mean()), len(rows))
        assert (right.low, right.high) == pytest.approx(wilson(right.value, len(asked)))
        lost = result[f"loss[third={value}]"]
        assert lost.value == pytest.approx(intact.scores["loss"][rows].mean())
        assert result[f"questions[third={value}]"].value == len(asked)
        # A verdict rests on the questions of the group, not on all.
        numbers = Numbers.of(result, {"n": N})
        assert read(numbers, f"loss[third={value}]").questions == len(asked) < len(rows)
    assert [m for m in result.measurements if "[" not in m.name] == list(plain.measurements)
    assert plain.found in result.found
    assert "By third, accuracy is largest for third=" in result.found
    assert all(draw(figure) for figure in result.figures)


def test_length_and_answer_group_too_and_names_fit_a_quantity() -> None:
    lab = word_lab("llama", PROMPTS)
    prompts, batch = lab.prompts(N, "explore", 0)
    assert groups_of(prompts, batch, "length") == [str(int(length)) for length in batch.prompt_len]
    assert groups_of(prompts, batch, "answer") == [p.answer.strip() for p in prompts]
    names = {m.name for m in Baseline(task="words", n=N, by="odd[1]").run(lab).measurements}
    assert {"accuracy[odd(1)=0]", "accuracy[odd(1)=1]"} <= names
    long = [Prompt(text="w3", answer=" w4", key=str(i), values={"said": "w3 " * 30 + f"w{i}"}) for i in (1, 2, 1)]
    first, second, third = groups_of(long, batch, "said")
    assert first == third != second


def spanned(i: int) -> Prompt:
    """Words with a span at the second one, and one at the word before the last."""
    words = PROMPTS[i].text.split()
    first, second = len(words[0]) + 1, len(" ".join(words[:-2])) + 1
    spans = {"early": (first, first + len(words[1])), "late": (second, second + len(words[-2]))}
    return PROMPTS[i].model_copy(update={"spans": spans})


def test_distance_counts_tokens_and_right_is_what_the_intact_model_says() -> None:
    lab = word_lab("llama", tuple(map(spanned, range(90))))
    result = Baseline(task="words", n=N, by="early..late").run(lab)
    prompts, _ = lab.prompts(N, "explore", 0)
    loss = lab.intact(N, "explore", 0).scores["loss"]
    # A word is a token: from the second word to the one before the last.
    apart = np.array([len(p.text.split()) - 3 for p in prompts])
    for tokens in set(apart.tolist()):
        assert result[f"loss[early..late={tokens}]"].value == pytest.approx(loss[apart == tokens].mean())
    assert len(set(apart.tolist())) == 3
    Baseline(task="words", n=N, by="early..last").check(lab.subject.sizes, lab.task)
    with pytest.raises(BadConfiguration, match="Not every prompt has the position 'end'"):
        Baseline(task="words", n=N, by="early..end").check(lab.subject.sizes, lab.task)
    # Every third prompt gets the answer that the model gives, so it is right.
    said = lab.intact(N, "explore", 0).said
    answers = {p.text: text for p, text in list(zip(prompts, said, strict=True))[::3]}
    able: list[Prompt] = []
    for prompt in map(spanned, range(90)):
        word = answers.get(prompt.text, "w3").split()[:1]
        right = {"answer": f" {word[0]}", "distractor": " w3"} if word not in ([], ["w3"]) else {}
        able.append(prompt.model_copy(update=right))
    both = word_lab("llama", tuple(able))
    found, intact = Baseline(task="words", n=N, by="right").run(both), both.intact(N, "explore", 0)
    assert intact.correct is not None
    assert 0 < intact.correct.sum() < N
    for name, rows in (("right", intact.correct == 1), ("wrong", intact.correct == 0)):
        assert found[f"accuracy[right={name}]"].value == (name == "right")
        assert found[f"loss[right={name}]"].value == pytest.approx(intact.scores["loss"][rows].mean())


@pytest.mark.parametrize("together", [False, True])
def test_a_removal_by_group_is_the_removal_on_the_group_alone(together: bool) -> None:
    lab, heads = word_lab("llama", PROMPTS), ["L0.H1", "L1.H2", "L2.H0", "L2.H3"]
    given = {"task": "words", "n": N, "heads": heads, "together": together, "controls": 2}
    plain, result = (HeadAblation(**given, by=by).run(lab) for by in (None, "third"))
    assert result.effects == plain.effects
    assert [m for m in result.measurements if "[" not in m.name] == list(plain.measurements)
    strongest = sorted(plain.effects, key=lambda e: -abs(e.value))[:3] if not together else plain.effects[:1]
    prompts, _ = lab.prompts(N, "explore", 0)
    kept = plain.arrays["logit_diff"]
    for effect in strongest:
        change = kept[1 + [e.site for e in plain.effects].index(effect.site)] - kept[0]
        for value in ("w0", "w1", "w2"):
            rows = [i for i, p in enumerate(prompts) if p.values["third"] == value]
            asked = [prompts[i].key for i in rows]
            mean, low, high = mean_interval(change[rows].astype(float), asked)
            name = f"change[third={value}; {effect.site}]"
            assert result[name].value == pytest.approx(float(mean), abs=1e-5)
            assert (result[name].low, result[name].high) == pytest.approx((float(low), float(high)), abs=1e-4)
            # A verdict rests on the questions of the group.
            assert read(Numbers.of(result, {"n": N}), name).questions == len(set(asked))
    assert sum(m.name.startswith("change[") for m in result.measurements) == 3 * len(strongest)
    assert "by" not in HeadAblation(**given).config()


def test_groups_of_one_question_say_that_they_have_no_interval() -> None:
    lab = word_lab("llama", PROMPTS)
    result = Baseline(task="words", n=N, by="own").run(lab)
    assert {"groups_merged", "groups_of_one_question"} <= {one.code for one in result.notes}
    single = next(m for m in result.measurements if m.name.startswith("loss[") and "other" not in m.name)
    assert (single.low, single.n) == (None, 1)


def test_what_cannot_be_grouped_is_refused_and_old_hashes_stay() -> None:
    lab = word_lab("llama", PROMPTS)
    with pytest.raises(BadTask, match=r"No prompt has value 'c'\. .*: answer, third, own, odd\[1\]\."):
        Baseline(task="words", n=N, by="c").check(lab.subject.sizes, lab.task)
    free = word_lab("llama", PROMPTS, is_open=True)
    with pytest.raises(BadConfiguration, match="no answer to group"):
        Baseline(task="words", n=N, by="third").check(free.subject.sizes, free.task)
    assert "by" not in Baseline(task="words").config()


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_patches_by_group_are_the_patches_of_the_group_alone(direction: str) -> None:
    lab = corrupted_lab("llama")
    given: dict[str, Any] = {"task": "twins", "n": 15, "positions": ["subject"], "direction": direction}
    plain, result = (ActivationPatching(**given, by=by).run(lab) for by in (None, "length"))
    patched = [e for e in plain.effects if e.metric == "recovery"]
    assert [m for m in result.measurements if "[" not in m.name] == list(plain.measurements)
    assert [e for e in result.effects if e.metric == "recovery"] == patched
    prompts = corrupted_prompts(lab, (15, "explore", 0)).prompts
    strongest = sorted(patched, key=lambda e: -abs(e.value))[:3]
    for effect in strongest:
        for words in ("5", "7"):
            group = tuple(p for p in prompts if p.text.count(" ") + 1 == int(words))
            assert 2 < len(group) < len(prompts)
            change, gap = result[f"change[length={words}; {effect.site}]"], result[f"gap[length={words}]"]
            site = parse_site(effect.site.partition("@")[0])
            share = slow_recovery("llama", group, site, "subject", direction == "denoising")
            assert change.value == pytest.approx(share * gap.value, abs=1e-4)
            assert (change.n, result[f"questions[length={words}]"].value) == (len(group), len({p.key for p in group}))
    assert sum(m.name.startswith("change[") for m in result.measurements) == 2 * len(strongest)
    assert "by" not in ActivationPatching(**given).config()
    with pytest.raises(BadTask, match="No prompt has value 'c'"):
        ActivationPatching(**given, by="c").check(lab.subject.sizes, lab.task)


def test_patches_are_grouped_by_whether_the_clean_prompt_is_answered() -> None:
    lab = corrupted_lab("llama")
    result = ActivationPatching(task="twins", n=15, positions=["subject"], by="right").run(lab)
    pair = corrupted_prompts(lab, (15, "explore", 0))
    right = [p for p in pair.prompts if int(last("llama", p.text).argmax()) == int(p.answer.strip()[1:])]
    counted = {m.name: m.n for m in result.measurements if m.name.startswith("gap[")}
    expected = {"gap[right=right]": len(right), "gap[right=wrong]": 15 - len(right)}
    assert counted == {name: count for name, count in expected.items() if count}


def test_restored_states_by_group_add_up_to_those_of_all() -> None:
    lab = corrupted_lab("gpt2")
    given: dict[str, Any] = {"task": "twins", "n": 12, "draws": 2, "metric": "logit_diff"}
    plain, result = (CausalTracing(**given, by=by).run(lab) for by in (None, "length"))
    assert result.effects == plain.effects
    assert [m for m in result.measurements if "[" not in m.name] == list(plain.measurements)
    kept, asked = plain.arrays["recovery"], lab.prompts(12, "explore", 0)[0]
    sites = [e.site for e in plain.effects]
    for m in result.measurements:
        if m.name.startswith("change["):
            group, _, site = m.name[len("change[length=") : -1].partition("; ")
            rows = [i for i, p in enumerate(asked) if p.text.count(" ") + 1 == int(group)]
            assert m.value == pytest.approx(float((kept[1 + sites.index(site)] - kept[0])[rows].mean()), abs=1e-4)
    total = [m for m in result.measurements if m.name.startswith("total_effect[")]
    assert sum(m.value * (m.n or 0) for m in total) / 12 == pytest.approx(result["total_effect"].value, abs=1e-4)
    assert {m.n for m in total} == {m.n for m in result.measurements if m.name.startswith("change[")}
