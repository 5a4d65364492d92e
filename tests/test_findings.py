"""The findings are the program's: on subjects whose answer is known they say it.

Whatever a writer wishes: `test_liars`. The rules by which a verdict is given: `test_verdict_rules`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lashley.agent.autopilot.course import Data, Protocol
from lashley.agent.autopilot.driver import Autopilot
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.read.reader import Reader
from lashley.experiments.result import Doubt
from lashley.tests.forked import agent
from lashley.tests.studies import Scripted
from lashley.tools.claims.answers import answers as answered
from lashley.tools.claims.answers import by_verdict
from lashley.tools.claims.call import TypedClaim, claim_on
from lashley.tools.claims.claim import CannotClaim, Finding
from lashley.tools.claims.counted import looked_through
from lashley.tools.claims.findings import findings
from lashley.tools.claims.in_short import in_short
from lashley.tools.claims.question import Question
from lashley.tools.claims.registry import claim_types
from lashley.tools.claims.removals import corrected
from lashley.tools.report.claims import Claim, check_claim
from lashley.tools.report.numbers import value_text
from lashley.tools.report.render import render_run
from lashley.tools.report.study import Study, read_study
from lashley.tools.workbench.context import Context

TASK = "induction"
SHOWN = ("confirmed", "supported", "seen")
# What each planted subject needs, alone and as a set; every other head does nothing.
ALONE: dict[str, set[str]] = {"planted:induction": {"L0.H1", "L1.H2"}, "planted:null": set()}


class Studied:
    """A study that has ended, read once while its tracker was open."""

    def __init__(self, path: Path, model: str, driver: Any, goal: str, n: int = 16) -> None:
        self.path = path
        with Context.open(str(path), model=model, task=TASK) as context:
            self.ending = study(context, driver, goal, Budget(), View(None), n=n)
        with Reader.open(path) as reader:
            self.study: Study = read_study(reader, 1)
            self.findings = findings(self.study)
            self.front = render_run(reader, 1).markdown.split("## The writer's reading")[0].replace("\\", "")

    def judged(self, kind: str, **fields: Any) -> Finding:
        with Reader.open(self.path) as reader:
            return claim_types()[kind].model_validate({"task": TASK, **fields}).judge(read_study(reader, 1))


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    path = tmp_path_factory.mktemp("honest") / "t.db"
    return Studied(path, "planted:induction", Autopilot(), "Which heads continue a repeated list?")


# --- an honest study


def test_an_honest_study_says_what_was_planted(honest: Studied) -> None:
    both = honest.judged("needed", parts=("L0.H1", "L1.H2"))
    assert both.verdict == "confirmed"
    assert "Heads L0.H1 and L1.H2 are, together, needed for induction (confirmed on held-out prompts)." in both.text
    assert both.grounds in honest.front
    assert "| Does induction need heads L0.H1 and L1.H2? | yes (confirmed) |" in honest.front
    for head in ("L0.H1", "L1.H2"):
        assert honest.judged("needed", parts=(head,)).verdict in SHOWN
        assert honest.judged("spare", parts=(head,)).verdict == "refuted"
    assert honest.judged("does").verdict == "seen"
    said, layers = answered(honest.study, honest.findings)
    assert said.question == "Which heads does induction need?"
    # Nobody asked about layers, and the study skipped each.
    assert layers.question == "Which parts did the most damage?"
    (skipped,) = layers.sentences
    assert skipped.startswith("Of 2 layers removed one at a time, these did the most damage, by the change of loss: ")
    assert "skip, E2; seen while exploring" in skipped
    assert "Asked by the program, of every study" in honest.front
    (heads,) = [one for one in said.sentences if "did the most damage" in one]
    order = [heads.index(f"head {head} (") for head in ("L0.H1", "L1.H2")]
    assert order == sorted(order)
    assert heads.count("supported on held-out prompts") == 2
    # In short, they appear unless each is shown to be needed.
    most = "Of 8 heads removed one at a time, L0.H1 and L1.H2 did the most damage."
    assert most not in in_short(honest.study, honest.findings)
    assert most in in_short(honest.study, [one for one in honest.findings if one.claim.about != ("L0.H1",)])
    assert both.short in said.sentences
    assert said.sentences[-1].startswith("The intact model can do induction (seen while exploring")


def test_what_was_seen_while_exploring_says_whether_it_is_needed(honest: Studied) -> None:
    seen = [honest.judged(kind, parts=(head,)).model_copy(update={"verdict": "seen"})
            for kind, head in (("needed", "L0.H1"), ("spare", "L0.H0"))]  # fmt: skip
    for asked in ("spare", "needed"):
        said = list(by_verdict(Question(type=asked, task=TASK), seen))
        assert ("Seen while exploring, not tested on held-out prompts: induction needs head L0.H1; induction can spare "
                "head L0.H0.") in said  # fmt: skip


def test_no_other_head_is_needed(honest: Studied) -> None:
    heads = [f"L{layer}.H{head}" for layer in range(2) for head in range(4)]
    for head in set(heads) - ALONE["planted:induction"]:
        assert honest.judged("needed", parts=(head,)).verdict not in SHOWN, head
        # Nothing but the prompts to explore speaks of them, and it says so.
        assert "not tested on held-out prompts" in honest.judged("needed", parts=(head,)).text


def test_a_set_says_nothing_of_its_members_and_members_nothing_of_a_set(honest: Studied) -> None:
    apart = honest.judged("needed", parts=("L0.H1", "L1.H0"))
    assert apart.verdict == "untested"
    assert "No experiment removed them" in apart.text
    together = honest.judged("stands_in", parts=("L0.H1", "L1.H2"))
    assert together.verdict == "refuted"


def test_what_was_not_measured_is_untested(honest: Studied) -> None:
    for kind, fields in (
        ("attends", {"parts": ("L1.H2",), "at": "answer"}), ("writes", {"parts": ("L1.H2",)}),
        ("path", {"parts": ("L0.H1", "L1.H2.k")}), ("carries", {"parts": ("L1.H2",)}),
        ("decodable", {"parts": ("L1",)}), ("scores", {"parts": ("L1.H2",), "at": "induction"}),
        ("enough", {"parts": ("L0.H1", "L1.H2")}), ("needed_within", {"parts": ("L0.H1",), "besides": ("L1.H2",)}),
    ):  # fmt: skip
        found = honest.judged(kind, **fields)
        assert found.verdict == "untested", kind
        assert "was not tested" in found.text, kind
    role = honest.judged("role", parts=("L1.H2",), at="induction head")
    assert role.verdict == "untested"
    assert "is not shown" in role.text


def test_a_hypothesis_is_told_by_its_predictions_and_never_by_its_statement(honest: Studied) -> None:
    for name, row in honest.study.hypotheses.items():
        found = honest.judged("predicted", of=name)
        assert row.statement not in found.text
        assert found.text.startswith(f"{name} is ")
    with pytest.raises(CannotClaim, match="H99 is not a hypothesis"):
        honest.judged("predicted", of="H99")


# --- every other type, measured


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    """A study of the planted induction circuit by every instrument that the types read."""
    path = tmp_path_factory.mktemp("measured") / "t.db"

    def protocol(data: Data) -> Protocol:
        why = {"n": 16, "reason": "Look."}
        yield "", "baseline", why
        for kind, config in (
            ("attention_patterns", {}), ("direct_logit_attribution", {}), ("logit_lens", {}), ("head_detectors", {}),
            ("activation_patching", {"part": "z"}), ("minimal_set", {"goal": "keep"}),
            ("path_patching", {"receivers": ["L1.H2"]}), ("head_ablation", {"method": "mean"}),
            ("head_ablation", {"method": "mean", "heads": ["L0.H1", "L1.H2"], "together": True}),
            ("head_ablation", {"method": "mean", "heads": ["L1.H0", "L1.H2"], "together": True}),
            ("head_ablation", {"method": "mean", "heads": ["L1.H2"]}),
        ):  # fmt: skip
            yield "", kind, {**why, **config}
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "It was looked at."}

    return Studied(path, "planted:induction", Scripted(protocol), "How does it continue a list?")


@pytest.mark.parametrize(
    ("kind", "true", "false"),
    [
        ("attends", {"parts": ("L1.H2",), "at": "answer"}, {"parts": ("L1.H0",), "at": "answer"}),
        ("writes", {"parts": ("L1.H2",)}, {"parts": ("L0.H1",)}),
        ("decodable", {"parts": ("L1",)}, {"parts": ("L0",)}),
        ("scores", {"parts": ("L1.H2",), "at": "induction"}, {"parts": ("L0.H1",), "at": "induction"}),
        ("scores", {"parts": ("L0.H1",), "at": "previous_token"}, {"parts": ("L1.H2",), "at": "previous_token"}),
        ("carries", {"parts": ("L1.H2",)}, {"parts": ("L1.H0",)}),
        ("path", {"parts": ("L0.H1", "L1.H2.k")}, {"parts": ("L0.H0", "L1.H2.k")}),
        ("enough", {"parts": ("L0.H1", "L1.H2")}, {"parts": ("L0.H0", "L1.H2")}),
        ("needed", {"parts": ("L1.H2",)}, {"parts": ("L1.H0",)}),
        ("each_needed", {"parts": ("L0.H1", "L1.H2")}, {"parts": ("L1.H0", "L1.H2")}),
        ("first_decodable", {"parts": ("L1",)}, {"parts": ("L0",)}),
        ("spare", {"parts": ("L1.H0",)}, {"parts": ("L1.H2",)}),
        ("needed_within", {"parts": ("L1.H2",), "besides": ("L0.H1",)}, {"parts": ("L1.H0",), "besides": ("L1.H2",)}),
    ],
)  # fmt: skip
def test_each_type_holds_of_what_was_planted_and_not_of_what_was_not(
    measured: Studied, kind: str, true: dict[str, Any], false: dict[str, Any]
) -> None:
    wrong = measured.judged(kind, **false)
    assert wrong.verdict in ("undecided", "untested", "refuted"), wrong.text
    if kind == "needed_within" and true["besides"] == ("L0.H1",):
        # With L0.H1 gone the circuit is gone, so L1.H2 adds nothing; nobody measured L0.H1 alone on these prompts.
        assert measured.judged(kind, **true).verdict == "untested"
        return
    right = measured.judged(kind, **true)
    assert right.verdict == "seen", right.text
    assert "not tested on held-out prompts" in right.text


def test_every_type_says_in_its_sentence_which_verdict_it_is(honest: Studied, measured: Studied) -> None:
    words = {
        "confirmed": "confirmed on held-out",
        "supported": "supported on held-out",
        "refuted": "refuted on held-out",
    }
    for found in (*honest.findings, *measured.findings):
        if found.claim.type not in ("predicted", "does"):
            assert found.verdict not in words or words[found.verdict] in found.text
        assert "{" not in found.text
        assert found.text.endswith((".", ")"))


# --- laws


def test_a_bound_that_a_control_meets_is_refused(measured: Studied) -> None:
    of = next(one for one, row in measured.study.experiments.items() if row.kind == "attention_patterns")
    with pytest.raises(CannotClaim, match="equal weights gives"):
        measured.judged("behaves", of=of, bound="effect[L1.H2, to_answer] > 0.01")
    found = measured.judged("behaves", of=of, bound="effect[L1.H2, to_answer] > 0.5")
    assert found.verdict == "seen"
    assert "the bound was set afterwards" in found.text


# --- a claim as data, from a report and from the command line


def test_a_report_takes_claims_as_data_and_words_them(tmp_path: Path) -> None:
    def protocol(data: Data) -> Protocol:
        yield "", "baseline", {"n": 16, "reason": "Look."}
        yield "", "head_ablation", {"n": 16, "method": "mean", "reason": "Which heads?"}
        report = {"title": "T", "claims": [], "interpretation": "It was looked at."}
        for wrong in (
            {"type": "ned", "parts": ["L1.H2"]}, {"type": "needed"}, {"type": "does", "parts": ["L1.H2"]},
            {"type": "behaves", "of": "E2", "bound": "effect[L1.H2, kl] > 0"}, {"type": "predicted", "of": "H7"},
        ):  # fmt: skip
            found = yield "", "write_report", {**report, "findings": [wrong]}
            assert found["refused"], wrong
        yield "", "write_report", {**report, "findings": [{"type": "needed", "parts": ["L1.H2"]},
                                                          {"type": "spare", "parts": ["L1.H0"]}]}  # fmt: skip

    studied = Studied(tmp_path / "t.db", "planted:induction", Scripted(protocol), "Which heads continue a list?")
    assert studied.ending.status == "finished"
    assert "sent the writer's report back 5 times. Reasons: a claim that cannot be made (5)." in studied.front
    for kind, head in (("needed", "L1.H2"), ("spare", "L1.H0")):
        found = studied.judged(kind, parts=(head,))
        assert found.verdict == "seen"
        assert found.grounds in studied.front


def test_anybody_can_ask_for_a_verdict(honest: Studied) -> None:
    folder = honest.path.parent
    said = agent(folder, "findings", "R1", "--json", "--db", str(honest.path))
    assert [one["verdict"] for one in json.loads(said.stdout)["findings"]] == [one.verdict for one in honest.findings]
    asked = agent(folder, "findings", "R1", "needed", "L0.H1", "L1.H2", "--db", str(honest.path))
    assert "Does induction need heads L0.H1 and L1.H2? yes (confirmed)" in " ".join(asked.stdout.split())
    for wrong, words in (
        (("E1",), "not a run"), (("R9",), "There is no run R9"), (("R1", "ned", "L1"), "no type of claim 'ned'"),
        (("R1", "needed"), "name the parts"), (("R1", "attends", "L1.H2"), "at: is required"),
    ):  # fmt: skip
        refused = agent(folder, "findings", *wrong, "--db", str(honest.path))
        assert refused.returncode == 2
        assert words in refused.stderr


def test_only_what_a_prediction_speaks_of_counts_as_tested(honest: Studied) -> None:
    said = {one.claim.about for one in honest.findings if one.claim.type in ("needed", "spare")}
    heads = {"L0.H1", "L1.H2"}
    assert said <= {("L0.H1",), ("L1.H2",), ("L0.H1", "L1.H2"), ("L0",), ("L1",)}
    assert heads <= {part for parts in said for part in parts}


def test_one_prediction_and_a_comparison_of_two_experiments_are_claims(measured: Studied, honest: Studied) -> None:
    rows = measured.study.experiments
    sweep = next(one for one, row in rows.items() if row.kind == "head_ablation" and row.config.get("heads") is None)
    alone = next(one for one, row in rows.items() if row.config.get("heads") == ["L1.H2"])
    same = measured.judged("contrast", of=sweep, at=alone, bound="effect[L1.H2] between -0.001 and 0.001")
    assert same.verdict == "seen"
    assert "minus that in" in same.text
    other = measured.judged("contrast", of=sweep, at=alone, bound="effect[L1.H2] < -0.5")
    assert other.verdict == "undecided"
    assert "is not below -0.5 (not tested on held-out prompts)" in other.text
    for wrong, words in (
        ({"of": sweep, "at": "E99", "bound": "effect[L1.H2] < 0"}, "E99 is not an experiment"),
        ({"of": sweep, "at": alone, "bound": "accuracy > 0"}, "is not one effect"),
        ({"of": sweep, "at": alone, "bound": "effect[L1.H0] < 0"}, "no effect at 'L1.H0'"),
        ({"of": sweep, "at": "E1", "bound": "effect[L1.H2] < 0"}, "measured no effects"),
    ):
        with pytest.raises(CannotClaim, match=words):
            measured.judged("contrast", **wrong)
    equal = measured.judged("ratio", of=sweep, at=alone, bound="effect[L1.H2] between 0.99 and 1.01")
    assert equal.verdict == "seen"
    assert "divided by that in" in equal.text
    assert measured.judged("ratio", of=sweep, at=alone, bound="effect[L1.H2] > 2").verdict == "undecided"
    with pytest.raises(CannotClaim, match="use contrast"):
        measured.judged("ratio", of=sweep, at=sweep, bound="effect[L1.H0] > 1")
    name = next(one for one, row in honest.study.hypotheses.items() if len(row.predictions) > 1)
    first = honest.judged("predicted", of=f"{name}.1")
    assert first.text.startswith(f"Prediction 1 of {name}, which as a whole is ")
    assert len(first.evidence) == 1
    with pytest.raises(CannotClaim, match="predictions"):
        honest.judged("predicted", of=f"{name}.99")


# --- controls


def test_a_needed_set_is_shown_with_what_random_sets_do(honest: Studied, measured: Studied) -> None:
    both = measured.judged("needed", parts=("L0.H1", "L1.H2"))
    row = next(one for one in measured.study.experiments.values() if one.config.get("heads") == ["L0.H1", "L1.H2"])
    control = next(one for one in row.measurements if one.name == "control_change")
    value = value_text(control.value, control.low, control.high, unit="logits")
    said = f"As many other heads nearby, drawn at random, change logit_diff by {value} on average ({control.n} sets)."
    assert said in both.text
    assert (
        f"{row.id}; rank 1 of {control.n + 1} by logit_diff, with {control.n} random sets of the same size" in both.text
    )
    bound = f"{row.id}.logit_diff_change < -0.1"
    checked = check_claim(Claim(sentence="It falls.", conditions=(bound,)), measured.study)
    behaves = measured.judged("behaves", of=row.id, bound="logit_diff_change < -0.1")
    other = measured.judged("spare", parts=("L1.H0", "L1.H2"))
    rank = "rank {0} of {1} by logit_diff, with {2} random sets of the same size and the nearest layers".format
    for text in (checked[0].found, behaves.text):
        assert rank(1, control.n + 1, control.n) in text
    # A set of one head that matters and one that does not has its own rank, and a single head of a sweep has none.
    them = next(one for one in measured.study.experiments.values() if one.config.get("heads") == ["L1.H0", "L1.H2"])
    ranks = {one.name: one for one in them.measurements}["control_rank"]
    assert ranks.n == 2
    assert f"; rank {ranks.value:.0f} of 2 by logit_diff, with 1 random set of the same size" in other.text
    assert "rank" not in measured.judged("needed", parts=("L1.H0",)).text
    single = measured.judged("needed", parts=("L1.H2",))
    assert "Other heads nearby, drawn at random, change logit_diff by " in single.text
    # A sweep has no sets beside it, and nothing is said.
    assert "drawn at random" not in measured.judged("needed", parts=("L1.H0",)).text
    assert "drawn at random" not in measured.judged("spare", parts=("L1.H2",)).text
    assert "drawn at random" in honest.judged("needed", parts=("L0.H1", "L1.H2")).text


def test_what_is_predicted_of_a_spare_part_is_its_change_and_never_an_excess(tmp_path: Path, measured: Studied) -> None:
    told: list[Data] = []

    def protocol(data: Data) -> Protocol:
        about = {"statement": "It does not matter.", "rationale": "It was seen.", "refuted_if": "It does."}
        within = {"low": -0.5, "high": 0.5, "comparison": "between"}
        for quantity, bounds in (
            ("excess", {"high": 0.5, "comparison": "below"}), ("excess", within),
            ("percentile", {"high": 50, "comparison": "below"}), ("logit_diff_change", within),
        ):  # fmt: skip
            config = json.dumps({"heads": ["L1.H0"], "method": "mean", "n": 16})
            one = {"kind": "head_ablation", "config": config, "quantity": quantity, **bounds}
            told.append((yield "", "propose_hypothesis", {**about, "predictions": [one]}))
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "Nothing."}

    Studied(tmp_path / "t.db", "planted:induction", Scripted(protocol), "Is L1.H0 spare?")
    *refused, taken = told[-4:]
    assert all(one.get("refused") for one in refused)
    assert not taken.get("refused")
    of = next(one for one, row in measured.study.experiments.items() if row.config.get("heads") == ["L1.H2"])
    with pytest.raises(CannotClaim, match=r"logit_diff_change between -0\.1 and 0\.1"):
        measured.judged("behaves", of=of, bound="excess < 100")


# --- what a claim may name, and what it may rest on


def test_a_claim_in_a_report_names_what_there_is(honest: Studied) -> None:
    for given, words in (
        (
            {"type": "needed", "parts": ["L9.H0"]},
            r"has no L9\.H0\. There is no layer 9\. This model has 2 layers",
        ),
        ({"type": "needed", "parts": ["L1.H7"]}, r"has no L1\.H7\. There is no head 7"),
        ({"type": "needed", "parts": ["L1.H2"], "task": "lists, which need L1.H0"}, "No experiment of R1 has the task"),
        ({"type": "attends", "parts": ["L1.H2"], "at": "answer"}, "No attention to 'answer' was measured"),
        ({"type": "attends", "parts": ["L1.H2"], "at": "answer, as is confirmed"}, "should match pattern"),
    ):
        with pytest.raises(CannotClaim, match=words):
            claim_on(honest.study, TypedClaim.model_validate(given))


def test_a_place_that_no_prediction_names_is_one_of_all_that_were_measured(honest: Studied) -> None:
    row = next(one for one in honest.study.experiments.values() if one.kind == "head_ablation" and len(one.effects) > 2)
    metric = row.effects[0].metric
    assert looked_through(honest.study, row, "L1.H0", metric) == len(row.effects) == 8
    prediction = next(iter(honest.study.hypotheses.values())).predictions[0]
    assert prediction.judged is not None
    of_row = prediction._replace(quantity="effect[L1.H0]", judged=prediction.judged._replace(experiment=row.id))
    hypothesis = next(iter(honest.study.hypotheses.values()))._replace(predictions=[of_row])
    named = replace(honest.study, hypotheses={"H1": hypothesis})
    assert looked_through(named, row, "L1.H0", metric) == 1
    assert looked_through(named, row, "L1.H1", metric) == 8
    assert corrected(named, "E0", 0.01, among=8) == pytest.approx(8 * corrected(named, "E0", 0.01))


def test_another_model_and_a_task_that_is_not_done_show_nothing(honest: Studied) -> None:
    both = {"task": TASK, "parts": ("L0.H1", "L1.H2")}
    needed = claim_types()["needed"].model_validate(both)
    assert needed.judge(honest.study).verdict == "confirmed"
    rows = honest.study.experiments
    elsewhere = {one: row._replace(model="planted:backup") for one, row in rows.items()}
    assert needed.judge(replace(honest.study, experiments=elsewhere)).verdict == "untested"
    doubt = Doubt(code="unable", text="It cannot.")
    unable = {one: row._replace(doubts=[doubt]) for one, row in rows.items()}
    found = needed.judge(replace(honest.study, experiments=unable))
    assert found.verdict == "undecided"
    assert "The intact model is not shown to do the task" in found.text


def test_a_distance_shows_no_need(honest: Studied) -> None:
    rows = {
        one: row._replace(effects=[e._replace(metric="kl", value=2.0, low=1.5, high=2.5) for e in row.effects],
                          measurements=[])
        for one, row in honest.study.experiments.items() if row.kind == "head_ablation"
    }  # fmt: skip
    study = replace(honest.study, experiments=rows)
    for kind, verdicts in (("needed", ("undecided",)), ("spare", ("refuted", "undecided"))):
        claim = claim_types()[kind].model_validate({"task": TASK, "parts": ("L0.H1", "L1.H2")})
        assert claim.judge(study).verdict in verdicts


def test_what_a_writer_did_not_look_at_stands_in_the_answer(tmp_path: Path, honest: Studied) -> None:
    def protocol(data: Data) -> Protocol:
        why = {"n": 8, "reason": "Look."}
        yield "", "layer_program", {**why, "program": "0", "metric": "loss"}
        yield "", "write_report", {"title": "T", "claims": [], "interpretation": "It was looked at."}

    one_sided = Studied(tmp_path / "t.db", "planted:induction", Scripted(protocol), "Show that layer 1 does it.", n=8)
    last = answered(one_sided.study, one_sided.findings)[-1]
    assert last.question == "What was not looked at?"
    assert last.sentences == (
        "Of the model's 2 layers, experiments on induction removed only layer 1, so nothing is known about the other "
        "one.",
        "No baseline of induction was run, so it is not shown that the model can do it.",
    )
    assert "What was not looked at?" in one_sided.front
    # An honest study skips each layer, and runs the baseline.
    assert all(one.question != "What was not looked at?" for one in answered(honest.study, honest.findings))
