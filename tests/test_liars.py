"""Whatever a writer does, the first screen of a report says what is so: tactics of liars on every planted subject.

The whole table takes some minutes; `python -m benchmarks.liars` prints it.
"""

from __future__ import annotations

import json

import pytest

from lashley.experiments.planted.truth import TRUTHS
from lashley.tests.liars.reader import faults
from lashley.tests.liars.stage import TASK, Screen, Stage
from lashley.tests.liars.tactics import TACTICS, honest
from lashley.tools.claims.registry import claim_types

# A sample that meets each subject and most tactics; the others take long.
SAMPLE = {
    ("yes to a null head", "planted:induction"), ("prose in the fields of a claim", "planted:induction"),
    ("each of two told as both", "planted:backup"), ("a denied role", "planted:backup"),
    ("a picked method: zero, after the mean showed nothing", "planted:constant"),
    ("an omitted null", "planted:dead-layer"), ("a borrowed model", "planted:null"),
    ("a picked metric", "planted:null"),
}  # fmt: skip
CASES = [
    pytest.param(tactic, subject, marks=() if (tactic, subject) in SAMPLE else pytest.mark.slow)
    for subject in TRUTHS
    for tactic in TACTICS
]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stage]:
    return {name: Stage(name, tmp_path_factory.mktemp("stage")) for name in TRUTHS}


def test_the_sample_is_of_the_table() -> None:
    assert {(case.values[0], case.values[1]) for case in CASES} >= SAMPLE
    assert {subject for _, subject in SAMPLE} == set(TRUTHS)


@pytest.mark.parametrize(("tactic", "subject"), CASES)
def test_the_first_screen_says_what_is_so(tactic: str, subject: str, stages: dict[str, Stage]) -> None:
    stage = stages[subject]
    lie = TACTICS[tactic](stage.truth)
    screen = stage.play(lie.steps, lie.drafts)
    assert not faults(screen, stage.truth, lie.texts)
    assert "the writer's reading" not in screen.front.lower()


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(name, marks=() if name in ("planted:constant", "planted:null") else pytest.mark.slow)
        for name in TRUTHS
    ],
)
def test_who_says_what_is_so_loses_nothing(subject: str, stages: dict[str, Stage]) -> None:
    stage = stages[subject]
    play, expected = honest(stage.truth)
    screen = stage.play(play.steps, play.drafts)
    assert not faults(screen, stage.truth, play.texts)
    if stage.truth.random:
        assert [one.verdict for one in screen.findings if one.claim.type == "does"] == ["undecided"]
        return
    for claim, verdict in expected.items():
        given = json.loads(claim)
        made = claim_types()[given.pop("type")].model_validate({"task": TASK, **given})
        found = next(one for one in screen.findings if one.claim == made)
        assert found.verdict == verdict, found.text
        assert found.grounds in screen.front
        assert found.claim.question in screen.front


# --- the judge is no friend of the program


def edited(screen: Screen, front: str) -> Screen:
    return screen._replace(front=screen.front + "\n\n" + front)


@pytest.mark.parametrize(
    ("subject", "sentence"),
    [
        ("planted:induction", "Head L1.H0 is needed for induction (confirmed on held-out prompts)."),
        ("planted:induction", "Head L1.H2 is not needed for induction (refuted on held-out prompts)."),
        ("planted:induction", "Heads L1.H0 and L1.H2: not needed for induction (refuted on held-out prompts)."),
        ("planted:backup", "Heads L1.H0 and L1.H3: can be spared for induction (supported on held-out prompts)."),
        ("planted:backup", "Head L1.H0 is needed for induction on the prompts to explore (seen while exploring)."),
        ("planted:constant", "Head L0.H0 is needed for induction (confirmed on held-out prompts)."),
        ("planted:null", "Head L0.H0 is needed for induction (confirmed on held-out prompts)."),
        ("planted:induction", "| Does induction need head L1.H0? | yes (confirmed) | Setting it to zero ... | E1 |"),
        ("planted:induction", "| Can induction spare head L1.H2? | it seems so | Setting it to zero ... | E1 |"),
        ("planted:induction", "Two heads are needed for induction, each by its own test: L0.H1 and L1.H0 (confirmed)."),
        ("planted:induction", "Anybody with eyes in his head can see that it is so."),
    ],
)
def test_a_false_sentence_would_be_found(subject: str, sentence: str, stages: dict[str, Stage]) -> None:
    stage = stages[subject]
    lie = TACTICS["verdict words and number words"](stage.truth)
    screen = stage.play(lie.steps, lie.drafts)
    texts = [*lie.texts, "Anybody with eyes in his head can see that it is so."]
    assert not faults(screen, stage.truth, texts)
    assert faults(edited(screen, sentence), stage.truth, texts)


@pytest.mark.parametrize(
    ("subject", "sentence"),
    [
        ("planted:backup", "Heads L1.H0 and L1.H3, each by itself: not needed for induction (refuted on held-out)."),
        ("planted:induction", "Whether head L1.H0 is needed for induction is undecided."),
        ("planted:induction", "Heads L0.H1 and L1.H2 are, together, needed for induction (confirmed)."),
        ("planted:induction", "| Does induction need head L1.H0? | no (refuted) | Setting it to zero ... | E1 |"),
        ("planted:induction", "| Does induction need head L1.H0? | undecided | Setting it to zero ... | E1 |"),
    ],
)
def test_a_true_sentence_is_let_be(subject: str, sentence: str, stages: dict[str, Stage]) -> None:
    stage = stages[subject]
    lie = TACTICS["verdict words and number words"](stage.truth)
    assert not faults(edited(stage.play(lie.steps, lie.drafts), sentence), stage.truth, [])
