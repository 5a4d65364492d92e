"""Maps of activations: components are those of an independent decomposition, the nearest centroid is the plain one with
the question left out, shuffled labels give chance, and what is mapped is what the plain model has there."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from lashley.agent.commands.pages.points import print_points
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.embedding_map import OTHERS, EmbeddingMap, activations
from lashley.experiments.methods import embedding_map
from lashley.experiments.methods.embedding_map import Labelled, labelled, nearest, principal, right, shuffled
from lashley.experiments.sites import Site, parse_site
from lashley.tests.slow_way import clean_values, tokens_of
from lashley.tests.test_engine import TOLERANCE
from lashley.tests.test_planted import planted_lab
from lashley.tests.tiny import SAMPLED
from lashley.tests.word_tasks import PROMPTS, word_lab, word_task
from lashley.tools.report.figures import draw

N = 15
GIVEN: dict[str, Any] = {"task": "words", "n": N}
SPANNED = tuple(p.model_copy(update={"spans": {"subject": (0, p.text.index(" "))}}) for p in PROMPTS)


def made(**changed: Any) -> EmbeddingMap:
    return EmbeddingMap.model_validate({**GIVEN, **changed})


@given(n=st.integers(2, 9), d=st.integers(1, 12), seed=st.integers(0, 999))
def test_components_are_those_of_the_covariance(n: int, d: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1)
    found, spread = principal(values)
    assert spread.sum() == pytest.approx(1)
    assert (np.diff(spread) <= 1e-12).all()
    centred = values - values.mean(0)
    size, axes = np.linalg.eigh(centred.T @ centred)
    order = size.argsort()[::-1]
    assert spread[: min(n, d)] == pytest.approx(np.clip(size[order] / size.sum(), 0, None)[: min(n, d)], abs=1e-9)
    for k in range(min(2, d)):
        plain = centred @ axes[:, order[k]]
        sign = 1 if plain @ found[:, k] >= 0 else -1
        assert found[:, k] == pytest.approx(sign * plain, abs=1e-6)
    # In the plane of the two components distances are never longer than they were.
    assert (np.linalg.norm(found[:, None] - found[None], axis=-1)
            <= np.linalg.norm(values[:, None] - values[None], axis=-1) + 1e-9).all()  # fmt: skip


def test_components_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    values = np.random.default_rng(0).normal(size=(20, 40)) * np.arange(40)
    theirs = PCA(2, svd_solver="full").fit(values)
    assert np.abs(principal(values)[0]) == pytest.approx(np.abs(theirs.transform(values)), abs=1e-8)
    assert principal(values)[1][:2] == pytest.approx(theirs.explained_variance_ratio_)


def test_values_that_are_all_the_same_have_no_components() -> None:
    found, spread = principal(np.ones((4, 3)))
    assert not found.any()
    assert not spread.any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(6, 20))
def test_the_nearest_centroid_is_that_of_scikit_learn_without_the_question(seed: int, n: int) -> None:
    from sklearn.neighbors import NearestCentroid

    rng = np.random.default_rng(seed)
    values, labels, groups = rng.normal(size=(n, 4)), rng.integers(0, 3, n), rng.integers(0, 6, n)
    labels[:3] = [0, 1, 2]
    found = nearest(embedding_map.inner(values), labels, groups)
    turned = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    assert (nearest(embedding_map.inner(5 * values @ turned + 3), labels, groups) == found).all()
    for i in range(n):
        kept = groups != groups[i]
        left = np.unique(labels[kept])
        if len(left) > 1:
            assert NearestCentroid().fit(values[kept], labels[kept]).predict(values[i : i + 1])[0] == found[i]
        elif len(left) == 1:
            assert found[i] == left[0]


def blobs(apart: float, seed: int) -> tuple[np.ndarray, Labelled]:
    """Prompts of 12 questions, two each, of three labels."""
    rng = np.random.default_rng(seed)
    questions = [f"q{i // 2}" for i in range(24)]
    of = labelled([f"label {(i // 2) % 3}" for i in range(24)], questions)
    assert of is not None
    centres = apart * rng.normal(size=(3, 8))
    # Prompts of a question lie together, whatever their label is.
    return centres[of.labels] + np.repeat(rng.normal(size=(12, 8)), 2, axis=0) + 0.1 * rng.normal(size=(24, 8)), of


def test_labels_that_lie_apart_are_found_and_shuffled_ones_are_not() -> None:
    values, of = blobs(8.0, 0)
    products = embedding_map.inner(values)
    null = shuffled(products, of, 0, 200)
    assert right(products, of).mean() == 1.0
    assert null.max() < 1.0
    assert null.mean() == pytest.approx(1 / 3, abs=0.15)
    assert (shuffled(products, of, 0, 200) == null).all()


def test_where_labels_mean_nothing_p_is_seldom_small_although_questions_lie_together() -> None:
    small = 0
    for seed in range(60):
        values, of = blobs(0.0, seed)
        products = embedding_map.inner(values)
        null = shuffled(products, of, seed, 99)
        small += (1 + (null >= right(products, of).mean() - 1e-9).sum()) / 100 <= 0.05
    # Of 60 with a chance of at most 0.05 each, 9 or more in 3 of 1,000 cases.
    assert small < 9


def test_which_labels_can_be_compared() -> None:
    of = labelled(["a", "a", "b", "b", "c", "a"], ["1", "2", "3", "4", "5", "1"])
    assert of is not None
    assert (of.rows, of.names, of.by_question, of.dropped) == ([0, 1, 2, 3, 5], ["a", "b"], True, 1)
    assert of.labels.tolist() == [0, 0, 1, 1, 0]
    assert of.groups.tolist() == [0, 1, 2, 3, 0]
    # Labels that are questions: what can be left out is a prompt.
    alone = labelled(["a", "a", "b", "b"], ["1", "1", "2", "2"])
    assert alone is not None
    assert (alone.by_question, alone.groups.tolist()) == (False, [0, 1, 2, 3])
    assert labelled(["a", "a", "b", "c"], ["1", "2", "3", "4"]) is None


@pytest.mark.parametrize("kind", SAMPLED)
def test_what_is_mapped_is_what_the_plain_model_has_there(kind: str) -> None:
    lab = word_lab(kind, SPANNED)
    _, batch = lab.prompts(4, "explore", 0)
    model, d_head = lab.subject.model, lab.subject.anatomy.d_head
    for name in ("L1.resid_post", "L0.resid_pre", "L2.attn", "L1.mlp", "L1.H2"):
        site = parse_site(name)
        for position in ("last", "subject"):
            found = activations(lab.subject, batch, site, position)
            for row in range(4):
                ids = tokens_of(batch, row)[:, : int(batch.prompt_len[row])]
                # A tokenizer may put a token before the first word.
                at = -1 if position == "last" else batch.spans[row]["subject"][1] - 1 - int(batch.mask[row].argmax())
                plain = clean_values(model, ids)[Site(layer=site.layer, part=site.part)][at]
                if site.index is not None:
                    plain = plain[site.index * d_head : (site.index + 1) * d_head]
                assert found[row] == pytest.approx(plain.numpy(), abs=TOLERANCE), (kind, name, position)


@pytest.mark.parametrize("kind", SAMPLED)
def test_it_runs_on_every_architecture_and_a_replay_has_the_same_bits(kind: str) -> None:
    first, second = (made(label="template").run(word_lab(kind)) for _ in range(2))
    assert first.model_dump() == second.model_dump()
    assert {k: v.tolist() for k, v in first.arrays.items()} == {k: v.tolist() for k, v in second.arrays.items()}
    assert first["accuracy"].value == first.arrays["correct"].mean()
    assert first["explained_1"].value >= first["explained_2"].value
    assert len(first.found) < 3000
    assert draw(first.figures[0])


def test_the_planted_circuit_says_the_answer_at_the_end_and_its_first_layer_does_not() -> None:
    name = "planted:induction"
    subject = planted_lab(name)
    last = subject.subject.sizes["n_layers"] - 1
    given: dict[str, Any] = {"model": name, "task": "induction", "n": 128}
    end = EmbeddingMap(site=f"L{last}.resid_post", **given).run(subject)
    begin = EmbeddingMap(site="L0.resid_pre", **given).run(subject)
    assert end["accuracy"].value > 0.6
    assert end["p"].value < 0.01
    assert (end["above_shuffled_weights"].low or 0) > 0.3
    assert "can be read here better" in end.found
    assert begin["accuracy"].value < 0.3
    assert begin["accuracy"].value == begin["accuracy_embedding"].value
    assert "not shown" in begin.found


def test_the_map_of_a_seed_is_the_same_and_warns() -> None:
    pytest.importorskip("sklearn")
    lab = word_lab("llama")
    one, again = (made(method="tsne", perplexity=4, seed=1, label="template").run(lab) for _ in range(2))
    assert one.figures == again.figures
    assert "drawn_by_tsne" in [note.code for note in one.notes]
    flat = made(seed=1, label="template").run(lab)
    assert "drawn_by_tsne" not in [note.code for note in flat.notes]
    # What is measured is of all dimensions, whatever is drawn.
    assert one.measurements == flat.measurements
    assert one.figures[0].data["x"] != flat.figures[0].data["x"]


def test_the_drawing_names_the_labels_and_has_no_diagonal() -> None:
    result = made(label="template").run(word_lab("gpt2"))
    (figure,) = result.figures
    assert sorted(set(figure.data["groups"])) == ["t0", "t1", "t2"]
    points = sorted(zip(figure.data["x"], figure.data["y"], strict=True))
    kept = result.arrays["coordinates"].astype(float).tolist()
    assert np.array(points) == pytest.approx(np.array(sorted(map(tuple, kept))), abs=1e-4)
    svg = draw(figure)
    assert "dashed" not in svg
    for name in ("t0", "t1", "t2", "component 1"):
        assert name in svg
    many = tuple(p.model_copy(update={"template": f"form {i % 14}"}) for i, p in enumerate(PROMPTS))
    (crowded,) = made(label="template", n=32).run(word_lab("gpt2", many)).figures
    assert len(set(crowded.data["groups"])) == 9
    assert crowded.data["groups"][-1] == OTHERS


def test_points_in_a_terminal_stand_at_their_places() -> None:
    out = io.StringIO()
    groups = ["a\x1b[31m", "b", "c", "c", "b"]
    data = {"x": [0.0, 1.0, 1.0, None, 0.5], "y": [0.0, 1.0, 1.0, 0.0, 1.0], "groups": groups, "x_label": "one",
            "y_label": "two"}  # fmt: skip
    print_points(Console(file=out, width=34), data)
    text = out.getvalue()
    page = [line[2:] for line in text.split("\n")[-17:-1]]
    assert (page[0][-1], page[0].index("B"), len(page[0])) == ("+", 15, 30)
    assert page[-1] == "A"
    assert not any(line.strip() for line in page[1:-1])
    assert "0 to 1" in text
    assert "\x1b" not in text
    assert max(map(len, text.split("\n"))) <= 34
    print_points(Console(file=out, width=34), {"x": [None], "y": [1.0], "labels": [""]})
    assert out.getvalue() == text


def test_what_is_the_same_before_the_first_layer_is_told() -> None:
    prompts = tuple(p.model_copy(update={"text": f"w{50 + i % 4} {p.text}", "spans": {"subject": (0, 3)}})
                    for i, p in enumerate(PROMPTS))  # fmt: skip
    result = made(label="subject", position="subject", site="L1.resid_post").run(word_lab("llama", prompts))
    assert result["accuracy_embedding"].value == 1.0
    assert "known_before_layers" in [note.code for note in result.notes]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"label": "colour"}, "Labels: answer, template"),
        ({"site": "L9.resid_post"}, "no layer 9"),
        ({"site": "L1.H0.pattern"}, "cannot be mapped"),
        ({"method": "tsne", "perplexity": 15}, "perplexity must be below"),
    ],
)
def test_what_cannot_be_mapped_is_refused_in_a_line(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(BadConfiguration, match=says) as caught:
        made(**changed).check({"n_layers": 3, "n_heads": 4}, word_task())
    assert "\n" not in str(caught.value)


def test_other_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadConfiguration, match="Positions: last"):
        made(position="subject").run(word_lab("llama"))
    with pytest.raises(BadConfiguration, match="Raise n, or use another label"):
        made(n=4).check({}, word_task())
    with pytest.raises(BadConfiguration, match="Labels: answer"):
        made().check({}, word_task(is_open=True))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(BadConfiguration, match=r'pip install "lashley\[tsne\]"'):
        made(method="tsne", perplexity=5).check({}, word_task())
