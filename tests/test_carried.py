"""Every line of a task of one's own is looked at for the subject; too long a prompt is refused with both sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from lashley.agent.main import cli
from lashley.experiments import engine
from lashley.experiments.answers.scoring import AnswerReadout
from lashley.experiments.errors import BadTask, UnsupportedModel
from lashley.experiments.kinds.activation_patching import ActivationPatching
from lashley.experiments.lab import Lab
from lashley.experiments.model.loading import prepare
from lashley.experiments.model.room import room
from lashley.experiments.model.selfcheck import check_or_refuse, self_check
from lashley.experiments.model.subject import Subject
from lashley.experiments.notes import note
from lashley.experiments.tasks.batch import make_batch
from lashley.experiments.tasks.from_file import from_jsonl
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.shuffled import shuffled
from lashley.tests.corrupted_lab import corrupted_lab
from lashley.tests.tiny import tiny_model, tiny_subject, tiny_tokenizer

GOOD = [{"text": f"w{n} w{n + 1}", "answer": f" w{n + 2}", "distractor": f" w{n + 3}"} for n in range(3, 60)]


def mine(*more: dict[str, Any]) -> Any:
    return from_jsonl("mine", "\n".join(map(json.dumps, [*GOOD, *more])))


def words(n: int) -> str:
    return " ".join(f"w{3 + i % 90}" for i in range(n))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"text": "w3 w4 w", "answer": "5"}, "joins the end of the prompt and the answer '5'"),
        ({"text": "w3 w4 w6", "answer": " what"}, "does not know 'what' in the answer ' what'"),
        ({"text": "w3 w4 w6", "answer": " w7 w8", "distractor": " w7"}, "start with those of the distractor"),
        ({"text": "w3 w4 w6", "answer": " w7", "spans": {"blank": [2, 3]}}, "contains no token"),
        ({"text": words(70), "answer": " w7"}, r"has 70 tokens and up to \d+ more follow, .* has 64 positions"),
    ],
)
def test_a_line_that_cannot_be_carried_is_named_before_anything_is_measured(line: dict[str, Any], says: str) -> None:
    with pytest.raises(BadTask, match=rf"^mine, line 58: [^\n]*{says}[^\n]*$"):
        Lab(tiny_subject("gpt2"), mine(line))
    with pytest.raises(BadTask, match=r"^mine, line 58: .*Also affected: line 59"):
        Lab(tiny_subject("gpt2"), mine(line, {**line, "text": f"w9 {line['text']}", "key": "one more"}))


def test_shuffled_lines_are_looked_at_too() -> None:
    with pytest.raises(BadTask, match=r"^mine~shuffled, line 58: .*70 tokens"):
        Lab(tiny_subject("gpt2"), shuffled(mine({"text": words(70), "answer": " w7"})))


def test_texts_that_are_the_same_to_the_tokenizer_share_their_key() -> None:
    """Both end in its unknown token, so that one would be measured twice, and perhaps in both splits."""
    pair = [{"text": f"w3 {word}", "answer": " w7"} for word in ("here", "there")]
    with pytest.raises(BadTask, match=r"^mine, line 59: this tokenizer gives it the same tokens as line 58;"):
        Lab(tiny_subject("gpt2"), mine(*pair))
    Lab(tiny_subject("gpt2"), mine(*({**line, "key": "place"} for line in pair)))


def test_good_lines_make_a_lab() -> None:
    task = mine()
    lab = Lab(tiny_subject("gpt2"), task)
    assert len(lab.prompts(task.capacity("confirm"), "confirm", 0)[0]) == task.capacity("confirm")


def test_the_command_checks_all_lines_for_a_model(tmp_path: Path) -> None:
    path, db = tmp_path / "mine.jsonl", tmp_path / "t.db"
    lines = [{"text": f"{n} and", "answer": f" {n + 1}"} for n in range(40)] + [{"text": "a (", "answer": ") b"}] * 1
    path.write_text("\n".join(map(json.dumps, lines)))
    done = CliRunner().invoke(cli, ["tasks", "import", str(path), "--db", str(db), "--model", "smollm2-135m"])
    assert done.exit_code == 2
    assert f"{path}, line 41: The tokenizer joins the end of the prompt" in done.output
    assert not db.exists()


# --- positions --------------------------------------------------------------------------------------------------

LONG = {"rope_theta": 10000.0, "short_factor": [1.0] * 4, "long_factor": [8.0] * 4, "factor": 8.0}
ROPES: dict[str, dict[str, Any]] = {
    "longrope": {"rope_type": "longrope", "original_max_position_embeddings": 8, **LONG},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0},
}


ALONE = "a prompt alone has the same logits as in a batch with a longer one"


def subject_of(kind: str, **changed: Any) -> Subject:
    return prepare(f"tiny-{kind}", tiny_model(kind, **changed), tiny_tokenizer(), "cpu")


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt", "gemma2"])
def test_what_goes_beyond_the_positions_is_refused(kind: str) -> None:
    """Learned positions would end in an index error, rotary ones in numbers that mean nothing."""
    subject = tiny_subject(kind)
    assert room(subject.model) == (64, "max_position_embeddings")
    fits, longer = (make_batch(subject.tokenizer, [Prompt(text=words(n), answer=" w5", key="x")]) for n in (64, 65))
    assert engine.read(subject, fits, ["resid_pre"]).at(0, "resid_pre").shape[1] == 64
    with pytest.raises(BadTask, match=r"^A prompt has 65 tokens, but the model has 64 positions \(max_position"):
        engine.read(subject, longer, ["resid_pre"])
    with pytest.raises(BadTask, match="has 66 tokens, but the model has 64"):
        engine.generate(subject, fits, [engine_identity()], 2)


def engine_identity() -> Any:
    from lashley.experiments.interventions import Intervention

    return Intervention(name="intact")


@pytest.mark.parametrize("rope", ROPES)
def test_angles_that_change_with_the_longest_prompt_are_refused_where_they_do(rope: str) -> None:
    """Up to there a prompt's logits are the same alone, beside a longer one, and after one; beyond it is refused."""
    most = 8 if rope == "longrope" else 16
    subject = subject_of("llama", rope_parameters=ROPES[rope], max_position_embeddings=64 if most == 8 else 16)
    assert room(subject.model)[0] == most
    short, long, longer = (Prompt(text=words(n), answer=" w5", key=str(n)) for n in (4, most, most + 1))

    def resid(*prompts: Prompt) -> torch.Tensor:
        batch = make_batch(subject.tokenizer, prompts)
        return engine.read(subject, batch, ["resid_pre", "mlp_out"]).at(2, "mlp_out")[0, -4:]

    alone = resid(short)
    assert torch.allclose(resid(short, long), alone, atol=1e-5)
    with pytest.raises(BadTask, match=f"has {most + 1} tokens, but the model has {most} positions"):
        resid(short, longer)
    assert torch.allclose(resid(short), alone, atol=1e-5)
    # What is refused would have been another number.
    batch = make_batch(subject.tokenizer, [short, longer])
    given = {"input_ids": batch.ids, "attention_mask": batch.mask, "position_ids": batch.position_ids}
    with torch.no_grad():
        beside = subject.model(**given, use_cache=False).logits[0, -4:]
        single = make_batch(subject.tokenizer, [short])
        apart = subject.model(input_ids=single.ids, position_ids=single.position_ids, use_cache=False).logits[0]
    assert float((beside - apart).abs().max()) > 0.01


@pytest.mark.parametrize("kind", ["gpt2", "gemma3_text", "opt", "mixtral"])
def test_a_prompt_alone_is_as_in_a_batch(kind: str) -> None:
    experts = {"num_key_value_heads": 2, "num_local_experts": 4}
    subject = subject_of(kind, **experts) if kind == "mixtral" else tiny_subject(kind)
    assert {check.name: check for check in self_check(subject)}[ALONE].passed
    short, longer = (Prompt(text=words(n), answer=" w5", distractor=" w6", key=str(n)) for n in (5, 11))
    alone, beside = (make_batch(subject.tokenizer, given) for given in ([short], [short, longer]))
    apart, together = (
        engine.run(subject, batch, [engine_identity()], AnswerReadout(batch)) for batch in (alone, beside)
    )
    for metric in ("loss", "logit_diff", "prob"):
        assert torch.allclose(apart[metric][0, 0], together[metric][0, 0], atol=1e-4), metric


def test_a_model_that_minds_what_else_is_in_the_batch_is_seen() -> None:
    """As experts of a limited capacity would: what one prompt takes is taken from the others."""
    subject = subject_of("llama")
    subject.anatomy.blocks[1].layer.mlp.register_forward_hook(lambda _module, _args, out: out - out.mean(0))
    law = {check.name: check for check in self_check(subject)}[ALONE]
    assert not law.passed
    with pytest.raises(UnsupportedModel, match=r": the check [^\n]* is off by"):
        check_or_refuse(subject)


# --- twins ------------------------------------------------------------------------------------------------------


def test_twins_of_another_length_are_counted() -> None:
    lab = corrupted_lab("gpt2", 120)
    assert lab.task.content is not None
    given = [json.loads(line) for line in lab.task.content.split("\n")]
    changed = [{**p, "corrupted": p["corrupted"] + " w9"} if i % 2 else p for i, p in enumerate(given)]
    task = from_jsonl("twins", "\n".join(map(json.dumps, changed)))
    drawn = list(task.source.stream("explore", 0))
    aligned = [i for i, p in enumerate(drawn) if p.corrupted and len(p.corrupted.split()) == len(p.text.split())]
    looked_at, n = aligned[11] + 1, 12
    result = ActivationPatching(model="tiny", task="twins", n=n, sites=["L1.H0"]).run(Lab(lab.subject, task))
    passed = note("without_corrupted_prompt", passed=looked_at - n, looked_at=looked_at)
    assert looked_at > n
    assert passed in result.notes
    whole = ActivationPatching(model="tiny", task="twins", n=n, sites=["L1.H0"]).run(lab)
    assert passed.code not in [one.code for one in whole.notes]
