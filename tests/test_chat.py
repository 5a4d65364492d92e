"""A subject asked through its chat template: the same numbers as plain transformers give, everything in its place."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tokenizers import processors
from torch import Tensor

from lashley.agent.main import cli
from lashley.experiments.errors import BadConfiguration, BadTask
from lashley.experiments.experiment import Experiment
from lashley.experiments.kinds.baseline import Baseline
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.kinds.registry import kinds, own_settings
from lashley.experiments.lab import Lab, lab_of
from lashley.experiments.methods.counterfactuals import others
from lashley.experiments.model.chat import Template, rendered, template
from lashley.experiments.model.loading import load
from lashley.experiments.model.subject import Subject
from lashley.experiments.tasks.corrupted_prompts import corrupted_prompts, donors
from lashley.experiments.tasks.lines import Lines
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.registry import task
from lashley.experiments.tasks.task import Task
from lashley.tests.corrupted_lab import corrupted_lab
from lashley.tests.tiny import tiny_model, tiny_subject, tiny_tokenizer
from lashley.tools.hypotheses import predict_by_hand
from lashley.tools.replay.experiment import replay
from lashley.tools.subject_card import subject_card
from lashley.tools.workbench.context import Context
from lashley.tools.workbench.run_experiment import measured, run_experiment

# Every message has a word for its beginning and its end; the template writes BOS, which the tokenizer would add, too.
WORDS = (
    "{{ bos_token }}{% for m in messages %} {{ {'system': 'w90', 'user': 'w91', 'assistant': 'w92'}[m.role] }}"
    "{% if m.content %} {{ m.content }}{% endif %} w93{% endfor %}{% if add_generation_prompt %} w92{% endif %}"
)


def chatty(kind: str = "llama", written: str | None = WORDS) -> Subject:
    """The tiny subject with a chat template, and with a tokenizer that puts BOS before every text."""
    subject = tiny_subject(kind)
    tokenizer: Any = copy.deepcopy(subject.tokenizer)
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = written
    return replace(subject, tokenizer=tokenizer)


def ids_of(subject: Subject, text: str, system: str | None) -> list[int]:
    """What plain transformers makes of a message."""
    said = [] if system is None else [{"role": "system", "content": system}]
    return subject.tokenizer.apply_chat_template(
        [*said, {"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
    )


@torch.no_grad()
def scores(subject: Subject, head: list[int], answer: list[int], other: list[int]) -> tuple[float, float]:
    """Loss and logit difference by one plain forward pass."""
    found: Tensor = subject.model(torch.tensor([head + answer])).logits[0].log_softmax(-1)
    told = [found[len(head) - 1 + i] for i in range(len(answer))]
    at = next(i for i, (a, b) in enumerate(zip(answer, other, strict=False)) if a != b)
    loss = -sum(float(row[token]) for row, token in zip(told, answer, strict=True)) / len(answer)
    return loss, float(told[at][answer[at]] - told[at][other[at]])


def agree(lab: Lab, subject: Subject, system: str | None, n: int) -> None:
    """Tokens and scores of the lab's prompts are those of plain transformers."""
    prompts, batch = lab.prompts(n, "explore", 0)
    found = lab.intact(n, "explore", 0).scores
    for row, (prompt, plain) in enumerate(zip(prompts, lab_of(subject, lab_task(lab)).task.prompts(n), strict=True)):
        head = ids_of(subject, plain.text, system)
        end = batch.spans[row]["last"][1]
        assert batch.ids[row, end - len(head) : end].tolist() == head
        assert int(batch.prompt_len[row]) == len(head)
        words = [
            subject.tokenizer(w, add_special_tokens=False)["input_ids"] for w in (prompt.answer, prompt.distractor)
        ]
        loss, difference = scores(subject, head, *words)
        assert found["loss"][row] == pytest.approx(loss, abs=2e-4)
        assert found["logit_diff"][row] == pytest.approx(difference, abs=2e-4)
        for name, (a, b) in plain.spans.items():
            said = subject.tokenizer.decode(batch.ids[row, slice(*batch.spans[row][name])])
            assert said.strip() == plain.text[a:b].strip() == prompt.text[slice(*prompt.spans[name])].strip()


def lab_task(lab: Lab) -> Task:
    """The task as it was before the template."""
    source: Any = lab.task.source
    return lab.task.model_copy(update={"source": source.source, "asked": ""})


@pytest.mark.parametrize("system", [None, "", "w80 w81"])
def test_tokens_scores_and_spans_are_those_of_plain_transformers(system: str | None) -> None:
    subject = chatty()
    lab = lab_of(subject, corrupted_lab("llama").task, True, system)
    agree(lab, subject, system, 6)
    prompts, _ = lab.prompts(6, "explore", 0)
    for prompt in prompts:
        assert prompt.corrupted is not None
        assert prompt.corrupted.startswith("<bos>")
        assert prompt.corrupted.endswith("w93 w92")


@pytest.mark.parametrize(("name", "system"), [("capitals", None), ("ioi", "You are terse.")])
def test_a_real_chat_model_is_scored_where_its_turn_begins(name: str, system: str | None) -> None:
    subject = load("smollm2-135m", "cpu")
    lab = lab_of(subject, task(name), True, system)
    agree(lab, subject, system, 2)
    (prompt, _), _ = lab.prompts(2, "explore", 0)
    assert prompt.text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert not prompt.answer[0].isspace()


def by_hand(kind: str, system: str | None = None) -> tuple[Subject, Task, Task]:
    """A tiny subject, its task of twins, and the same task with the template already around every text."""
    subject, plain = chatty(kind), corrupted_lab(kind).task
    before = f"<bos>{'' if system is None else f' w90 {system} w93'} w91 "

    def around(text: str | None) -> str | None:
        return None if text is None else f"{before}{text} w93 w92"

    made: list[Prompt] = []
    for split in ("explore", "confirm"):
        for p in plain.source.stream(split, 0):
            spans = {name: (a + len(before), b + len(before)) for name, (a, b) in p.spans.items()}
            moved = {"text": around(p.text), "corrupted": around(p.corrupted), "spans": spans, "key": p.key}
            made.append(p.model_copy(update=moved))
    # In the order of one draw: another order would be other prompts.
    return subject, plain, plain.model_copy(update={"source": InOrder(tuple(made))})


class InOrder(Lines):
    def stream(self, split: Any, seed: int) -> Any:
        return (p for p in self.prompts if p.split == split)


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("head_ablation", {"method": "mean", "layers": [0]}),
    ("head_ablation", {"method": "resample", "heads": ["L0.H0", "L1.H1"], "together": True}),
    ("logit_lens", {}),
    ("saliency", {"draws": 1}),
]


@pytest.mark.parametrize(("kind", "given"), KINDS, ids=[f"{i} {kind}" for i, (kind, _) in enumerate(KINDS)])
def test_a_kind_measures_through_the_template_what_it_measures_on_the_text(kind: str, given: dict[str, Any]) -> None:
    """Prompts, twins and donors alike: the whole result is that of a task which holds the templated texts."""
    subject, plain, written = by_hand("llama", "w80")
    whole = {"model": subject.name, "task": plain.name, "n": 6, **fields_of(kind, given)}
    chat = kinds()[kind].model_validate({**whole, "chat": True, "system": "w80"})
    first = chat.run(lab_of(subject, plain, True, "w80"))
    # The text holds BOS already, so the tokenizer that adds none reads it.
    text = replace(subject, tokenizer=tiny_tokenizer())
    second = kinds()[kind].model_validate(whole).run(lab_of(text, written))
    same(first, second)


def test_twins_and_donors_are_those_of_the_templated_texts() -> None:
    subject, plain, written = by_hand("llama")
    chat, text = lab_of(subject, plain, True), lab_of(replace(subject, tokenizer=tiny_tokenizer()), written)
    for made in (corrupted_prompts, others):
        first, second = (made(lab, (6, "explore", 0)) for lab in (chat, text))
        assert first.clean.spans == second.clean.spans
        for a, b in ((first.clean, second.clean), (first.corrupted, second.corrupted)):
            assert torch.equal(a.ids, b.ids)
            assert torch.equal(a.pair, b.pair)
        if made is corrupted_prompts:
            lent = [donors(lab, pair, 0, False) for lab, pair in ((chat, first), (text, second))]
            assert torch.equal(lent[0][0].ids, lent[1][0].ids)
            assert lent[0][1] == lent[1][1]


def fields_of(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """Those of the given fields that the kind has."""
    return {name: value for name, value in given.items() if name in kinds()[kind].model_fields}


def same(first: Any, second: Any) -> None:
    assert [(e.site, e.metric) for e in first.effects] == [(e.site, e.metric) for e in second.effects]
    for a, b in zip(first.effects, second.effects, strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-5)
    assert [m.name for m in first.measurements] == [m.name for m in second.measurements]
    for a, b in zip(first.measurements, second.measurements, strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-5), a.name


def made_of(written: str, system: str | None = None) -> Template:
    subject = chatty(written=written)
    return template(subject.name, subject.tokenizer, system)


USER = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}{% for m in messages %}"
REPLIES: list[tuple[str, str, str, str]] = [
    # Before the message, after it, what a reply begins with.
    (USER + "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }} <eos>{% endif %}"
     "{% endfor %}", "[INST] ", " [/INST]", " "),
    (USER + "{% if m.role == 'user' %}Q: {{ m.content | trim }}\n{% else %}A: {{ m.content }}\n{% endif %}{% endfor %}"
     "{% if add_generation_prompt %}A: {% endif %}", "Q: ", "\nA:", " "),
    (USER + "<{{ m.role }}>\n{{ m.content | trim }}<eos>{% endfor %}"
     "{% if add_generation_prompt %}<assistant>\n{% endif %}"
     "{% if enable_thinking is defined and enable_thinking is false %}<think></think>\n{% endif %}",
     "<user>\n", "<eos><assistant>\n<think></think>\n", ""),
    (USER + "{% if loop.first %}{{ strftime_now('%d %b %Y') }} {% endif %}{{ m.content }}{% endfor %}/",
     "26 Jul 2024 ", "/", ""),
]  # fmt: skip


@pytest.mark.parametrize(("written", "before", "after", "lead"), REPLIES)
def test_templates_of_many_forms(written: str, before: str, after: str, lead: str) -> None:
    found = made_of(written)
    assert (found.before, found.after, found.lead) == (before, after, lead)
    prompt = Prompt(text="\n2 + 3 =", answer=" 5", distractor=" 6", key="2+3", spans={"a": (1, 2), "all": (0, 8)})
    asked = found.ask(prompt)
    assert (asked.answer, asked.distractor, asked.message, asked.split) == (
        f"{lead}5",
        f"{lead}6",
        prompt.text,
        prompt.split,
    )
    assert asked.text[slice(*asked.spans["a"])] == "2"
    assert asked.text[slice(*asked.spans["all"])].strip() == "2 + 3 ="
    whole = rendered(chatty(written=written).tokenizer, None, prompt.text)
    assert asked.text + asked.answer == whole.rstrip(" ") + lead + "5"


def test_what_cannot_be_asked_is_refused_in_one_line() -> None:
    with pytest.raises(BadConfiguration, match="tiny-llama has no chat template\\."):
        template("tiny-llama", chatty(written=None).tokenizer, None)
    with pytest.raises(BadConfiguration, match=r"fails: no system here\. Leave out chat, or leave out the system"):
        made_of(REPLIES[0][0], "w5")
    with pytest.raises(BadConfiguration, match="does not show the message exactly once"):
        made_of("hello")
    with pytest.raises(BadTask, match="changes the text of a prompt"):
        made_of("{{ messages[0].content | replace('w3', 'x') }}.").around("w3 w4")
    with pytest.raises(BadConfiguration, match="a system prompt needs a chat"):
        Baseline(system="w5", n=4)
    for name in ("head_composition", "head_detectors"):
        with pytest.raises(BadConfiguration, match="runs no prompts here"):
            kinds()[name](chat=True, n=4)


def test_chance_is_guessed_from_the_prompt_and_not_from_the_template() -> None:
    copying = task("repetition").model_copy()
    subject = chatty(written=WORDS)
    source = Lines(tuple(copying.prompts(40)))
    plain = copying.model_copy(update={"source": source})
    lab = lab_of(subject, plain, True, "w3 w4 w5 w6")
    assert lab.task.guess is not None
    assert plain.guess is not None
    (asked,), (prompt,) = lab.task.prompts(1), plain.prompts(1)
    assert lab.task.guess(asked) == plain.guess(prompt)


def test_a_configuration_without_chat_is_the_one_of_earlier_trackers() -> None:
    """Hashes that do not know of a chat."""
    ablation = HeadAblation(model="tiny", n=8, heads=["L0.H1"], together=True, method="mean")
    assert Baseline().config_hash() == "8e840b0c561fc4ea8457e292"
    assert ablation.config_hash() == "f3bd63f6c3dd55140cdc828a"
    assert not {"chat", "system"} & Baseline().config().keys()
    hashes = {
        Baseline(chat=c, system=s).config_hash() for c, s in ((False, None), (True, None), (True, ""), (True, "x"))
    }
    assert len(hashes) == 4
    asked = Baseline(chat=True, system="x")
    assert Baseline.model_validate(asked.config()) == asked
    assert own_settings("baseline", asked.config()) == {"chat": True, "system": "x"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model on disk, and a task file of words beside it."""
    path = tmp_path_factory.mktemp("chat")
    tiny_model("llama").save_pretrained(path / "model")
    tokenizer: Any = tiny_tokenizer()
    tokenizer.chat_template = WORDS
    tokenizer.save_pretrained(path / "model")
    lines = [{"text": f"w{3 + i} w9", "answer": f" w{50 + i % 3}", "distractor": f" w{60 + i % 5}"} for i in range(60)]
    (path / "words.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return path


def context(folder: Path, name: str) -> Context:
    found = Context.open(str(folder / name), model=str(folder / "model"))
    found.task = found.add_task_file(str(folder / "words.jsonl")).name
    return found


def asked(context: Context, kind: type[Experiment] = Baseline, **more: Any) -> Experiment:
    return kind.model_validate({"model": context.model, "task": context.task, "n": 8, **more})


def test_it_is_logged_found_again_and_replayed(folder: Path) -> None:
    with context(folder, "a.db") as first:
        plain = run_experiment(first, asked(first))
        chat = run_experiment(first, asked(first, chat=True, system="w80"))
        assert (plain.error, chat.error) == (None, None)
        row, base = first.reader.experiment(chat.number), first.reader.experiment(plain.number)
        assert (row.config["chat"], row.config["system"]) == (True, "w80")
        assert "chat" not in base.config
        assert row.found.endswith("asked through the subject's chat template, with the system prompt 'w80'.")
        assert "chat template" not in base.found
        assert row.task_fingerprint.split("~")[0] == base.task_fingerprint
        assert row.samples[0].prompt.startswith("<bos> w90 w80 w93 w91 ")
        assert run_experiment(first, asked(first, chat=True, system="w80")).reused
        assert run_experiment(first, asked(first)).number == plain.number
    with context(folder, "a.db") as second:
        for number in (plain.number, chat.number):
            found = replay(second, number)
            assert found["same"], found
            assert found["compared"] > 10


def test_another_template_is_another_question(folder: Path, tmp_path: Path) -> None:
    with context(folder, "b.db") as first:
        number = run_experiment(first, asked(first, chat=True)).number
    kept = (folder / "model" / "chat_template.jinja").read_text()
    try:
        (folder / "model" / "chat_template.jinja").write_text(kept.replace("w91", "w94"))
        with context(folder, "b.db") as second:
            again = run_experiment(second, asked(second, chat=True))
            assert not again.reused
            with pytest.raises(Exception, match="version of the task words, or through a different chat template"):
                replay(second, number)
    finally:
        (folder / "model" / "chat_template.jinja").write_text(kept)


def test_a_prediction_is_tested_through_the_template(folder: Path) -> None:
    with context(folder, "c.db") as first:
        config = {"model": first.model, "task": first.task, "n": 8, "heads": ["L0.H1"], "method": "zero", "chat": True}
        predict_by_hand(first, "head_ablation", config, "logit_diff_change < -50", None)
        (row,) = first.reader.experiments()
        assert (row.config["chat"], row.split) == (True, "confirm")


def test_the_command_line(folder: Path) -> None:
    run = CliRunner().invoke
    words, model = str(folder / "words.jsonl"), str(folder / "model")
    db = ["--db", str(folder / "d.db")]
    shown = run(cli, ["tasks", "show", words, "--model", model, "--chat", "--system", "w80", *db])
    assert shown.exit_code == 0, shown.output
    assert "<bos>|w90|w80|w93|w91|" in shown.output
    assert "with the system prompt 'w80'" in " ".join(shown.output.split())
    done = run(cli, ["experiment", "baseline", "--model", model, "--task", words, "--n", "8", "--chat", *db])
    assert done.exit_code == 0, done.output
    assert "through the subject's chat template" in done.output
    bare = run(cli, ["experiment", "baseline", "--model", model, "--task", words, "--n", "8", "--system", "w80", *db])
    assert bare.exit_code == 2
    assert "a system prompt needs a chat" in bare.output
    alone = run(cli, ["tasks", "show", words, "--chat", *db])
    assert alone.exit_code == 2


def test_the_card_and_a_lab_of_the_wrong_form() -> None:
    subject, plain = chatty(), corrupted_lab("llama").task
    card = subject_card(subject, plain, 1, "explore", 0, n=6, chat=True)
    assert card["examples"][0]["tokens"][:2] == ["<bos>", "w91"]
    with pytest.raises(Exception, match="needs a lab with chat"):
        measured(Baseline(task=plain.name, n=6, chat=True), lab_of(subject, plain))
