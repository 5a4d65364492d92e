"""A metric is one row: what depends on it reads the row, whoever wrote it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lashley.experiments import metrics
from lashley.experiments.answers.scoring import AnswerReadout, FirstReadout, PairReadout, Predicted, readout_for
from lashley.experiments.errors import BadConfiguration
from lashley.experiments.kinds.attribution_patching import AttributionPatching
from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.kinds.causal_tracing import CausalTracing
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.layer_program import LayerProgram
from lashley.experiments.kinds.minimal_set import MinimalSet
from lashley.experiments.kinds.neuron_ablation import NeuronAblation
from lashley.experiments.kinds.pruning_curve import PruningCurve
from lashley.experiments.kinds.registry import kinds
from lashley.experiments.lab import Lab
from lashley.experiments.methods.ablation import Ablation
from lashley.experiments.metrics import BUILT_IN, Metric, OneOf
from lashley.experiments.tasks.batch import make_batch
from lashley.experiments.tasks.from_file import Lines, from_jsonl
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.task import Task
from lashley.tests.tiny import tiny_subject, tiny_tokenizer
from lashley.tools.evidence.conditions import _says_effect
from lashley.tools.registry import experiment_tool
from lashley.tools.workbench.catalog import kind_fields

ROOT = Path(__file__).resolve().parent.parent
LINES = [f'{{"text": "w{i} w{i + 1}", "answer": " w{i + 2}", "distractor": " w{i + 3}"}}' for i in range(10, 50)]
# Nothing is asked: no answer, and none to be wrong.
OPEN = tuple(
    Prompt(text=f"w{i} w{i + 1}", answer=" w3", key=str(i)).model_copy(update={"answer": ""}) for i in range(10, 50)
)


def entropy(seen: Predicted) -> torch.Tensor:
    return -(seen.first.exp() * seen.first).sum(-1)


def other_top(seen: Predicted) -> torch.Tensor:
    return (seen.first.argmax(-1) != seen.intact.to(seen.first.device).argmax(-1)).float()


ENTROPY = Metric(name="entropy", unit="nats", worse=1, read=entropy, reads="first", needs_answer=False)
OTHER_TOP = Metric(
    name="other_top", unit="share", worse=1, read=other_top, reads="first", needs_answer=False, has_slope=False,
    from_intact=True,
)  # fmt: skip


@pytest.fixture
def two_more(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two metrics beside ours, for one test."""
    monkeypatch.setattr(metrics, "BUILT_IN", (*BUILT_IN, ENTROPY, OTHER_TOP))
    metrics.all_registered.cache_clear()
    yield
    monkeypatch.undo()
    metrics.all_registered.cache_clear()


def lab() -> Lab:
    return Lab(tiny_subject("llama"), from_jsonl("counting", "\n".join(LINES)))


def open_lab() -> Lab:
    task = Task(name="counting", title="Open", description="Words.", keywords=(), answer_kind="open", max_new_tokens=4,
                source=Lines(OPEN))  # fmt: skip
    return Lab(tiny_subject("llama"), task)


def predicted_by_hand(of: Lab, n: int) -> torch.Tensor:
    """The model's own log-probabilities after each prompt, one prompt at a time: [prompt, vocabulary]."""
    rows: list[torch.Tensor] = []
    for prompt in of.prompts(n, "explore", 0)[0]:
        ids = torch.tensor([of.subject.tokenizer(prompt.text)["input_ids"]])
        with torch.no_grad():
            rows.append(of.subject.model(input_ids=ids).logits[0, -1].log_softmax(-1))
    return torch.stack(rows)


def test_the_cheapest_readout_follows_from_what_a_metric_reads(two_more: None) -> None:
    _, batch = lab().prompts(4, "explore", 0)
    kinds_of = {name: type(readout_for(name, batch)) for name in ("logit_diff", "loss", "prob", "entropy")}
    assert kinds_of == {"logit_diff": PairReadout, "loss": AnswerReadout, "prob": AnswerReadout,
                        "entropy": FirstReadout}  # fmt: skip


def test_a_new_metric_is_measured_by_a_baseline_and_by_removals(two_more: None) -> None:
    here = lab()
    last = predicted_by_hand(here, 6)
    expected = float(-(last.exp() * last).sum(-1).mean())
    assert Baseline(n=6).run(here)["entropy"].value == pytest.approx(expected, abs=1e-5)
    sweep = HeadAblation(n=6, metric="entropy").run(here)
    assert sweep["intact_entropy"].value == pytest.approx(expected, abs=1e-5)
    assert sweep["intact_entropy"].unit == sweep.figures[0].unit == "nats"
    assert all(effect.metric == "entropy" and effect.p is not None for effect in sweep.effects)
    one = HeadAblation(n=6, metric="entropy", heads=["L1.H2"]).run(here)
    alone = next(effect for effect in sweep.effects if effect.site == "L1.H2")
    assert one.effects[0].value == pytest.approx(alone.value, abs=1e-5)
    assert one["entropy_change"].value == pytest.approx(alone.value, abs=1e-5)
    assert one["excess"].unit == "nats"


def test_a_distance_has_no_value_of_its_own_and_no_p(two_more: None) -> None:
    found = HeadAblation(n=6, metric="other_top", layers=[0, 1]).run(lab())
    assert all(effect.p is None and effect.value >= 0 for effect in found.effects)
    assert any(effect.value > 0 for effect in found.effects)
    assert "intact_other_top" not in {m.name for m in found.measurements}
    program = LayerProgram(n=6, program="0", metric="other_top").run(lab())
    assert program["other_top"].value == program.effects[0].value == program["top_token_changed"].value


def test_open_prompts_take_each_metric_that_needs_no_answer(two_more: None) -> None:
    here = open_lab()
    for kind, given in ((HeadAblation, {}), (HeadAblation, {"heads": ["L1.H2"]}), (LayerProgram, {"program": "0-1"})):
        experiment = kind(n=6, metric="entropy", **given)
        experiment.check(here.subject.sizes, here.task)
        assert experiment.run(here).effects[0].metric == "entropy"
    with pytest.raises(BadConfiguration, match="which loss needs\\. Use metric kl or entropy or other_top"):
        HeadAblation(n=6, metric="loss").check(here.subject.sizes, here.task)


@pytest.mark.parametrize(
    "experiment",
    [
        HeadAblation(sweep="attribution", metric="kl"),
        NeuronAblation(metric="kl"),
        PruningCurve(ranking="attribution", metric="kl"),
    ],
    ids=lambda experiment: experiment.kind,
)
def test_gradients_are_refused_where_there_is_no_slope(experiment: Ablation) -> None:
    here = lab()
    with pytest.raises(BadConfiguration, match="kl has no gradient at the intact model"):
        experiment.model_copy(update={"n": 6}).check(here.subject.sizes, here.task)


def test_a_metric_with_a_slope_can_be_ranked_by_gradients(two_more: None) -> None:
    found = HeadAblation(n=6, metric="entropy", sweep="attribution", verify=4).run(lab())
    assert {effect.metric for effect in found.effects} == {"entropy"}
    assert found["screen_agreement"].value > 0


TAKEN = {
    HeadAblation: ["logit_diff", "loss", "prob", "kl", "entropy", "other_top"],
    AttributionPatching: ["logit_diff", "loss", "prob", "entropy"],
    CausalTracing: ["logit_diff", "loss", "prob", "entropy"],
    MinimalSet: ["logit_diff", "prob"],
}


@pytest.mark.parametrize("kind", TAKEN, ids=lambda kind: kind.kind)
def test_schema_command_and_check_take_the_same_metrics(kind: Any, two_more: None) -> None:
    (field,) = (f for f in kind_fields(kind.kind)[1] if f["name"] == "metric")
    assert field["choices"] == TAKEN[kind]
    assert experiment_tool(kind).schema["properties"]["metric"]["enum"] == [*TAKEN[kind], None]
    for name in TAKEN[kind]:
        assert kind(metric=name).metric == name
    with pytest.raises(ValidationError, match=r"Input should be 'logit_diff'(, | or )"):
        kind.model_validate({"metric": "accuracy"})


def test_a_change_in_a_metric_is_a_claim_that_there_is_an_effect(two_more: None) -> None:
    assert _says_effect("entropy_change") == _says_effect("loss_increase") == "away"
    assert _says_effect("kl") is None
    assert _says_effect("other_top") is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "Top 1"}, "lower-case letters"),
        ({"reads": "pair"}, "needs_distractor must be True"),
        ({"needs_answer": False}, 'reads must be "first"'),
        ({"needs_answer": False, "reads": "first", "needs_distractor": True}, "needs_answer must be True"),
        ({"from_intact": True, "reads": "first"}, "has no slope"),
    ],
)
def test_a_row_that_does_not_hold_together_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Metric.model_validate({"name": "m", "unit": "", "worse": 1, "read": entropy, **given})


@pytest.mark.parametrize(
    ("reads", "read", "says"),
    [
        ("first", lambda seen: seen.first, "one number for each"),
        ("first", lambda seen: 1.0, "one number for each"),
        ("first", lambda seen: seen.nll.sum(-1), "must have reads set to answer"),
        ("pair", lambda seen: seen.first[:, 0], "must have reads set to first"),
    ],
)
def test_a_metric_that_reads_what_it_does_not_say_is_told(
    reads: str, read: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Metric(name="wrong", unit="", worse=1, read=read, reads=reads, needs_distractor=reads == "pair")  # type: ignore[arg-type]
    monkeypatch.setattr(metrics, "BUILT_IN", (*BUILT_IN, wrong))
    metrics.all_registered.cache_clear()
    batch = make_batch(tiny_tokenizer(), [Prompt(text="w3 w4", answer=" w5", distractor=" w6", key="1")])
    with pytest.raises(BadConfiguration, match=says):
        readout_for("wrong", batch).measure(torch.randn(1, 1, 2 if reads == "pair" else 96), torch.tensor([0]))
    monkeypatch.undo()
    metrics.all_registered.cache_clear()


def test_no_kind_lists_metrics_by_itself() -> None:
    """A field that takes a metric takes it from the registry."""
    names = set(metrics.metrics())
    listed = [
        f"{path.name}, line {node.lineno}"
        for path in (ROOT / "experiments").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"
        if len({c.value for c in ast.walk(node.slice) if isinstance(c, ast.Constant)} & names) > 1
    ]
    assert not listed, listed
    fields = [k.model_fields["metric"] for k in kinds().values() if "metric" in k.model_fields]
    assert len(fields) > 10
    assert all(any(isinstance(one, OneOf) for one in field.metadata) for field in fields)
