"""The autopilot: what it concludes from which numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.agent.autopilot.driver import Autopilot, protocol
from lashley.agent.autopilot.judge import Yardstick, layers_named, listing, without, yardstick_for_heads
from lashley.agent.drivers.conversation import Message
from lashley.tools.claims.call import TypedClaim, claim_from
from lashley.tools.report.verdict_words import verdict_words

Data = dict[str, Any]
LOGITS = Yardstick("logit_diff", 0.5)


def effect(site: str, value: float, half: float, q: float = 0.001, metric: str = "logit_diff") -> Data:
    return {"site": site, "metric": metric, "value": value, "low": value - half, "high": value + half, "q": q, "n": 32}


@pytest.mark.parametrize(
    ("found", "judgement"),
    [
        (effect("x", -2.0, 0.5), "needed"),
        (effect("x", -2.0, 0.5, q=0.2), "undecided"),
        (effect("x", -0.4, 0.05), "spare"),  # significant, and still less than the bound
        (effect("x", -0.1, 0.3, q=0.9), "spare"),
        (effect("x", -0.1, 1.0, q=0.9), "undecided"),  # not significant is no evidence of absence
        (effect("x", 0.1, 0.5, q=0.9), "undecided"),  # the interval leaves the bound on the other side
        (effect("x", 2.0, 0.5), "undecided"),  # better without it is neither needed nor without change
    ],
)
def test_a_part_is_judged_by_its_whole_interval(found: Data, judgement: str) -> None:
    assert LOGITS.judge(found) == judgement


def test_loss_counts_the_other_way() -> None:
    loss = Yardstick("loss", 0.1)
    assert loss.judge(effect("skip L3", 1.0, 0.2)) == "needed"
    assert loss.judge(effect("skip L3", -1.0, 0.2)) == "undecided"
    assert loss.judge(effect("skip L3", 0.0, 0.05)) == "spare"


def test_a_task_without_distractor_is_measured_in_loss() -> None:
    assert yardstick_for_heads({"measurements": {}}).metric == "loss"
    assert yardstick_for_heads({"measurements": {"logit_diff": {"value": 0.2, "low": -0.1}}}).metric == "loss"
    assert yardstick_for_heads({"measurements": {"logit_diff": {"value": 5.0, "low": 4.0}}}).bound == 0.5


def test_words() -> None:
    assert (listing([]), listing(["a"]), listing(["a", "b", "c"])) == ("none", "a", "a, b and c")
    assert layers_named([3, 1, 2, 7]) == "layers 1-3 and 7"
    assert layers_named([5]) == "layer 5"
    assert [without(i, 4) for i in range(4)] == ["1-3", "0, 2-3", "0-1, 3", "0-2"]
    assert [without(i, 2) for i in range(2)] == ["1", "0"]
    assert without(0, 1) == ""


def under_each_method(given: Data) -> list[Data]:
    """A prediction as the tool records it: under every method of removal where none is named."""
    config = json.loads(given["config"])
    methods: tuple[Data, ...] = ({},)
    if given["kind"] == "head_ablation" and "method" not in config and given["comparison"] != "between":
        methods = ({"method": "zero"}, {"method": "mean"}, {"method": "resample"})
    return [{**given, "config": {**config, **method}} for method in methods]


@dataclass
class World:
    """Answers as the tools would give them, of a subject whose parts do known damage."""

    n_layers: int = 12
    # What a baseline shows of the subject; see `experiments.result.Doubt`.
    doubts: list[str] = field(default_factory=list[str])
    layers: dict[int, float] = field(default_factory=lambda: {0: 5.0, 3: 1.0})
    heads: dict[str, float] = field(default_factory=lambda: {"L3.H1": 2.0})
    zero_only: dict[str, float] = field(default_factory=dict[str, float])
    half: float = 0.05
    significant: bool = True
    logit_diff: bool = True
    random_sets: bool = True
    together: float = 0.0
    stand_ins: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    # How verdicts move while a study goes on: given those so far, those that hold now.
    moved: Callable[[dict[str, str]], dict[str, str]] = dict
    steps: list[tuple[str, str, Data]] = field(default_factory=list[tuple[str, str, Data]])
    ids: dict[str, int] = field(default_factory=dict[str, int])
    proposed: dict[str, list[Data]] = field(default_factory=dict[str, "list[Data]"])
    status: dict[str, str] = field(default_factory=dict[str, str])
    claims: list[Data] = field(default_factory=list[Data])

    def id(self, letter: str) -> str:
        self.ids[letter] = self.ids.get(letter, 0) + 1
        return f"{letter}{self.ids[letter]}"

    def q(self, value: float) -> float:
        return 0.001 if abs(value) > self.half and self.significant else 0.3

    def of(self, site: str, value: float, metric: str) -> Data:
        return effect(site, value, self.half, self.q(value), metric)

    def damage(self, site: str, method: str) -> float:
        return self.heads.get(site, 0.0) + (self.zero_only.get(site, 0.0) if method == "zero" else 0.0)

    def answer(self, tool: str, given: Data) -> Data:
        if tool in self.refused:
            return {"refused": True}
        if tool == "list_tasks":
            return {"tasks": [{"name": "sums", "answer_kind": "number"}, {"name": "yes", "answer_kind": "yes_no"}]}
        if tool == "propose_hypothesis":
            name = self.id("H")
            self.proposed[name] = [one for given in given["predictions"] for one in under_each_method(given)]
            return {"id": name}
        if tool == "test_hypothesis":
            return self.test(given["hypothesis"])
        if tool not in ("baseline", "layer_program", "head_ablation", "minimal_set"):
            return {}
        found = {"id": self.id("E"), "config": {"task": given["task"], "model": "m", **given}, "effects": []}
        measured: Data = {"accuracy": {"value": 0.9, "low": 0.8}, "intact_accuracy": {}}
        if tool == "baseline":
            found["doubts"] = self.doubts
            if self.logit_diff:
                measured |= {"logit_diff": {"value": 5.0, "low": 4.0}, "prefers_answer": {"value": 1.0, "low": 0.9}}
        if tool == "layer_program" and "sweep" in given:
            sign = 1 if given["metric"] == "loss" else -1
            found["effects"] = [
                self.of(f"skip L{i}", sign * self.layers.get(i, 0.0), given["metric"]) for i in range(self.n_layers)
            ]
        elif tool == "layer_program":
            gone = set(range(self.n_layers)) - {
                i
                for piece in filter(None, given["program"].split(", "))
                for i in range(int(piece.split("-")[0]), int(piece.split("-")[-1]) + 1)
            }
            sign = 1 if given["metric"] == "loss" else -1
            found["effects"] = [self.of(given["program"], sign * self.layers.get(min(gone), 0.0), given["metric"])]
        elif tool == "minimal_set":
            assert not set(given["besides"] or ()) & set(self.stand_ins)
            found["effects"] = [self.of(site, 3.0, given["metric"]) for site in self.stand_ins or ["L0.H0"]]
            measured["share"] = {"value": 0.2, "low": 0.1, "high": 0.3 if self.stand_ins else 0.9}
        elif tool == "head_ablation":
            sites = given.get("heads") or [f"L{i}.H{h}" for i in given["layers"] for h in range(2)]
            values = [self.damage(site, given["method"]) for site in sites]
            if given.get("together") or len(sites) == 1:
                at_once = 3.0 * (set(sites) == {*self.stand_ins})
                sites, values = [" + ".join(sites)], [sum(values) + self.together + at_once]
                if self.random_sets:
                    measured["percentile"] = {"value": 100.0 if abs(values[0]) > 0.1 else 40.0}
            sign = 1 if given["metric"] == "loss" else -1
            found["effects"] = [self.of(s, sign * v, given["metric"]) for s, v in zip(sites, values, strict=True)]
        return {**found, "measurements": measured}

    def test(self, name: str) -> Data:
        """What the program would say: each prediction by its interval, all of them must hold."""
        said: list[Data] = []
        for one in self.proposed[name]:
            found = self.answer(one["kind"], {**one["config"], "split": "confirm"})
            beside = found["measurements"].get("percentile")
            if one["quantity"] == "excess":
                if beside is None:
                    said.append({**one, "judged": None, "verdict": None})
                    continue
                verdict = "supported" if beside["value"] > 95 else "refuted"
            else:
                site = re.fullmatch(r"effect\[(.+)\]", one["quantity"])
                effects = found["effects"]
                e = next(e for e in effects if site is None or e["site"] == site[1])
                low, high = one.get("low") or -1e9, one.get("high") or 1e9
                verdict = "inconclusive"
                if low < e["low"] and e["high"] < high and self.significant:
                    verdict = "supported"
                elif e["high"] < low or e["low"] > high:
                    verdict = "refuted"
            judged = {
                "experiment": found["id"],
                "value": 0.0,
                "low": 0.0,
                "high": 0.0,
                "n": 32,
                "p": 0.01,
                "side": "for",
            }
            said.append({**one, "judged": judged, "verdict": verdict})
        words = [one["verdict"] for one in said]
        status = "refuted" if "refuted" in words else "supported" if set(words) == {"supported"} else "inconclusive"
        self.status = self.moved({**self.status, name: status})
        return {"id": name, "status": self.status[name], "verdict": self.status[name], "predictions": said,
                "statuses": dict(self.status), "verdicts": dict(self.status)}  # fmt: skip

    def run(self) -> str:
        """The text of the report; every step is kept."""
        steps = protocol({"goal": "What adds?", "model": "m", "task": "sums", "n": 32})
        step = next(steps)
        while step[1] != "write_report":
            self.steps.append(step)
            step = steps.send(self.answer(step[1], step[2]))
        assert step[2]["claims"] == []
        self.claims = step[2].get("findings", [])
        return step[2]["interpretation"]

    def claimed(self, kind: str) -> list[list[str]]:
        """The parts of the claims of this type."""
        return [claim["parts"] for claim in self.claims if claim["type"] == kind]

    def verdicts(self) -> dict[str, str]:
        return self.status

    def tested(self) -> list[Data]:
        """The configurations that were predicted of, one for each prediction."""
        return [one["config"] for predictions in self.proposed.values() for one in predictions]

    def said(self) -> str:
        return "\n".join(" ".join(map(str, (s[0], *s[2].values()))) for s in self.steps)


def test_everything_clear() -> None:
    world = World(zero_only={"L0.H1": 3.0, "L0.H0": 2.0})
    text = world.run()
    # The layer; the head that is left; and those that zero alone flagged do nothing.
    assert world.verdicts() == {"H1": "supported", "H2": "supported", "H3": "supported"}
    artefacts = world.proposed["H3"]
    assert [one["quantity"] for one in artefacts] == ["effect[L0.H1]", "effect[L0.H0]", "logit_diff_change"]
    assert {one["config"]["method"] for one in artefacts} == {"mean"}
    assert [one["comparison"] for one in artefacts] == ["above", "above", "between"], (
        "no damage alone; no change at once"
    )
    assert "The head L3.H1" in text
    assert "heads L3.H1" not in text
    assert "Zero alone would have misled on L0.H1 and L0.H0" in text
    assert "All tests are done." in world.steps[-1][0]
    assert "H2 (are the heads needed?): supported; H3 (does zero alone hurt?): supported." in world.steps[-1][0]
    tools = [s[1] for s in world.steps]
    assert tools.index("test_hypothesis") > max(i for i, tool in enumerate(tools) if tool == "propose_hypothesis")
    searched = tools.index("test_hypothesis")
    assert not {"layer_program", "head_ablation", "baseline"} & set(tools[searched:]), (
        "nothing is searched after a test"
    )
    assert all("split" not in s[2] for s in world.steps), "held-out prompts are the program's"


def test_what_it_found_is_claimed_as_data_and_the_answer_comes_first() -> None:
    world = World(zero_only={"L0.H1": 3.0, "L0.H0": 2.0})
    world.run()
    assert [(claim["type"], claim["parts"]) for claim in world.claims] == [
        ("needed", ["L3.H1"]), ("needed", ["L0.H1"]), ("needed", ["L0.H0"]), ("spare", ["L0.H1", "L0.H0"]),
        ("needed", ["L3"]),
    ]  # fmt: skip
    assert {claim["task"] for claim in world.claims} == {"sums"}
    for claim in world.claims:
        claim_from(TypedClaim.model_validate(claim), None)


def test_a_head_that_neither_matters_nor_can_be_spared_is_undecided() -> None:
    world = World(heads={"L3.H1": 2.0, "L0.H0": 0.7}, zero_only={"L0.H0": 2.0}, half=0.8)
    text = world.run()
    (name,) = [h for h, made in world.proposed.items() if made[0]["config"].get("heads") == ["L0.H0"]]
    assert [one["comparison"] for one in world.proposed[name]] == ["below"]
    assert world.verdicts()[name] == "inconclusive"
    assert "The search leaves L0.H0 undecided." in text
    assert "in place of L0.H0 changes the logit difference by {{" in text
    assert ["L0.H0"] in world.claimed("needed")
    assert world.claimed("spare") == []


def test_a_layer_is_predicted_of_only_where_one_is_needed() -> None:
    for damage, said in ((0.0, False), (3.0, True)):
        world = World(n_layers=4, layers=dict.fromkeys(range(4), damage))
        world.run()
        assert [one["comparison"] for h in world.proposed.values() for one in h if one["kind"] == "layer_program"] == [
            "below"
        ] * said


def test_a_first_look_takes_half_of_the_prompts_and_a_decision_all() -> None:
    world = World(zero_only={"L0.H1": 3.0})
    world.run()
    asked = [
        (s[1], s[2].get("method"), s[2].get("n")) for s in world.steps if s[1] in ("layer_program", "head_ablation")
    ]
    assert asked == [("layer_program", None, 16), ("head_ablation", "zero", 16), ("head_ablation", "mean", 32),
                     ("head_ablation", "mean", 16)]  # fmt: skip
    assert {config["n"] for config in world.tested()} == {32}


def test_the_other_layers_are_looked_through_by_gradients_and_that_is_said() -> None:
    world = World(heads={"L3.H1": 2.0, "L10.H0": 1.0}, layers={0: 5.0, 3: 1.0})
    text = world.run()
    (wide,) = [s[2] for s in world.steps if s[2].get("sweep") == "attribution"]
    assert wide["layers"] == list(range(6, 12))
    assert "gradients ranked the heads of layers 6-11" in text
    assert "gradients can miss a head" in text
    assert world.claimed("needed")[:3] == [["L3.H1", "L10.H0"], ["L3.H1"], ["L10.H0"]]


def test_one_strong_head_does_not_carry_another_unnoticed() -> None:
    world = World(heads={"L3.H1": 2.0, "L0.H0": 0.7})
    text = world.run()
    assert world.verdicts() == {"H1": "supported", "H2": "supported", "H3": "supported"}
    assert [one["quantity"] for one in world.proposed["H3"]] == ["effect[L3.H1]", "effect[L0.H0]"]
    assert "The strongest are L3.H1 and L0.H0" in text
    assert world.claimed("needed")[:3] == [["L3.H1", "L0.H0"], ["L3.H1"], ["L0.H0"]]
    world = World(heads={"L3.H1": 2.0, "L0.H0": 0.7}, zero_only={"L0.H1": 2.0})
    world.run()
    together = [["L3.H1", "L0.H0", "L0.H1"]]
    assert [one["config"]["heads"] for one in world.proposed["H3"]] == together * 2
    assert [one["config"]["heads"] for one in world.proposed["H4"]] == together, "one experiment tests each by itself"


def test_heads_that_stand_in_for_each_other_are_found_out() -> None:
    world = World(heads={}, zero_only={"L3.H0": 2.0, "L3.H1": 2.0}, together=1.0)
    world.run()
    assert world.verdicts() == {"H1": "supported", "H2": "refuted"}
    assert "in case they back each other up" in world.said()


def test_what_is_undecided_is_tested_again_and_does_not_pass_for_harmless() -> None:
    world = World(heads={"L3.H1": 2.0}, zero_only={"L0.H0": 2.0, "L0.H1": 2.0}, significant=False)
    world.run()
    assert set(world.verdicts().values()) == {"inconclusive"}
    together = [config["heads"] for config in world.tested() if config.get("together")]
    assert together == [["L0.H0", "L0.H1"]]
    (name,) = [h for h, made in world.proposed.items() if made[0]["quantity"] == "effect[L0.H0]"]
    assert "L3.H1" in world.proposed[name][0]["config"]["heads"], "it is measured beside those that are predicted of"
    assert ["L3.H1"] in world.claimed("needed")


def test_no_head_at_all_is_said_and_not_claimed() -> None:
    world = World(heads={})
    text = world.run()
    assert world.verdicts() == {"H1": "supported"}
    assert "The search left no head" in text
    assert "Under zero no head stands out." in world.said()
    assert "What was not tested" in text


def test_random_sets_are_predicted_of_only_where_there_are_enough_of_them() -> None:
    for world, predicted in ((World(n_layers=5), 0), (World(n_layers=12), 1)):
        text = world.run()
        beyond = [one for one in world.proposed["H2"] if one["quantity"] == "excess"]
        assert [one["config"]["method"] for one in beyond] == ["mean"] * predicted
        assert ("too few other heads for random sets to show anything" in text) == (not predicted)
        assert ("rank {{" in text) == bool(predicted)
        assert world.verdicts()["H2"] == "supported"
    world = World(random_sets=False)
    world.run()
    assert world.verdicts()["H2"] == "inconclusive", "what was predicted and cannot be read shows nothing"


def test_heads_that_the_joint_search_finds_are_predicted_together_and_alone() -> None:
    world = World(stand_ins=("L5.H0", "L7.H1"))
    text = world.run()
    (name,) = [h for h, made in world.proposed.items() if made[0]["config"].get("heads") == ["L5.H0", "L7.H1"]]
    predicted = world.proposed[name]
    assert [one["quantity"] for one in predicted] == ["logit_diff_change"] * 3 + ["effect[L5.H0]", "effect[L7.H1]"]
    assert {one["config"]["method"] for one in predicted[3:]} == {"mean"}
    assert world.verdicts()[name] == "supported"
    assert world.claimed("stands_in") == [["L5.H0", "L7.H1"]]
    assert "It is L5.H0 and L7.H1: without them" in text
    # Where none are found, none are predicted, and that is said.
    world = World()
    assert "None was shown to be such a set" in world.run()
    assert world.claimed("stands_in") == []


@given(st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whatever_becomes_of_verdicts_nothing_is_claimed_but_what_to_judge(random: Random) -> None:
    """A later test may strengthen or weaken an earlier verdict; claims as data have no verdict that could be wrong."""
    words = ["supported", "refuted", "inconclusive"]

    def moved(verdicts: dict[str, str]) -> dict[str, str]:
        return {name: random.choice(words) for name in verdicts}

    world = World(zero_only={"L0.H1": 3.0, "L0.H0": 2.0}, stand_ins=("L5.H0", "L7.H1"), moved=moved)
    text = world.run()
    assert {claim["type"] for claim in world.claims} == {"needed", "spare", "stands_in"}
    assert all(claim.keys() == {"type", "parts", "task"} for claim in world.claims)
    assert verdict_words(text.replace("undecided", "")) == []


@pytest.mark.parametrize("tool", ["minimal_set", "propose_hypothesis", "test_hypothesis", "write_note"])
def test_a_step_that_is_refused_is_left_out_and_nothing_is_claimed_of_it(tool: str) -> None:
    world = World(refused=(tool,), stand_ins=("L5.H0", "L7.H1"))
    text = world.run()
    assert "What was not tested" in text
    assert bool(world.claimed("stands_in")) == (tool != "minimal_set")


def test_a_report_whose_claims_are_refused_is_written_without_them() -> None:
    driver, world = Autopilot(), World()
    messages = [Message(role="user", text="x", data={"goal": "What adds?", "model": "m", "task": "sums", "n": 32})]
    written: list[Data] = []
    while True:
        reply = driver.reply("", messages, ())
        if not reply.calls:
            break
        call = reply.calls[0]
        given = json.loads(call.arguments)
        refused = call.name == "write_report"
        written += [given] * refused
        answer = {"refused": True} if refused else world.answer(call.name, given)
        messages += [Message(role="assistant", text=reply.text, calls=reply.calls),
                     Message(role="tool", text="It was not taken.", call_id=call.id, data=answer)]  # fmt: skip
    assert reply.text == "The protocol is done."
    assert [bool(one["findings"]) for one in written] == [True, False]
    assert written[0]["interpretation"] == written[1]["interpretation"]


def test_a_subject_that_neither_says_nor_prefers_the_answer_is_left_for_another_task() -> None:
    world = World(doubts=["unable"])
    text = world.run()
    assert "neither to say the answers of these tasks nor to prefer them" in text
    assert [s[2]["task"] for s in world.steps if s[1] == "baseline"] == ["sums", "yes"]
    assert world.claims == []


def test_one_grade_of_ability_is_enough_and_decides_what_is_claimed() -> None:
    for doubt in ("not_said", "not_preferred"):
        world = World(doubts=[doubt])
        text = world.run()
        assert [s[2]["task"] for s in world.steps if s[1] == "baseline"] == ["sums"]
        assert {s[2]["metric"] for s in world.steps if s[1] == "head_ablation"} == {"logit_diff"}
        assert ("is not shown to say it" in text) == (doubt == "not_said")


@pytest.mark.parametrize("n_layers", [1, 2, 5, 7])
@pytest.mark.parametrize("heads", [{}, {"L0.H0": 2.0}, {"L0.H0": 2.0, "L0.H1": 1.0}])
@pytest.mark.parametrize("half", [0.01, 0.3, 3.0])
def test_no_shape_of_a_subject_breaks_the_protocol(n_layers: int, heads: dict[str, float], half: float) -> None:
    world = World(n_layers=n_layers, heads=heads, half=half, logit_diff=False, zero_only={"L0.H1": 1.0})
    text = world.run() + world.said()
    assert not re.search(r"\bheads? (none|,)|heads L\d+\.H\d+(?! and|,)|layers \d+(?! ?-| and|,|\d)", text), text
    assert all(s[2].get("layers") != [] and s[2].get("heads") != [] for s in world.steps)


def test_a_step_other_than_a_baseline_that_is_refused_ends_the_course() -> None:
    said = Message(role="user", data={"goal": "What adds?", "model": "m", "task": "sums", "n": 4})
    first = Autopilot().reply("", [said], ())
    able = Message(role="tool", call_id=first.calls[0].id, data=World().answer("baseline", {"task": "sums"}))
    reply = Autopilot().reply("", [said, Message.of(first), able], ())
    assert reply.calls[0].name == "layer_program"
    answer = Message(role="tool", call_id=reply.calls[0].id, text="It is broken.", data={"refused": True})
    assert "It is broken." in Autopilot().reply("", [said, Message.of(first), able, Message.of(reply), answer], ()).text


def test_other_tasks_are_listed_only_where_the_first_cannot_be_done() -> None:
    for doubts, listed in (([], 0), (["unable"], 1)):
        world = World(doubts=doubts)
        world.run()
        assert [s[1] for s in world.steps].count("list_tasks") == listed
