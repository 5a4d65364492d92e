"""Tasks that a language model makes: what is refused and why, what is worked out, and a study that uses one."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.agent.drivers.chat import ChatDriver
from lashley.agent.live import View
from lashley.agent.main import cli
from lashley.agent.study.budget import Budget
from lashley.agent.study.loop import study
from lashley.db.read.reader import Reader
from lashley.experiments.answers.chance import chance_of
from lashley.experiments.errors import BadTask
from lashley.experiments.kinds.activation_patching import ActivationPatching
from lashley.experiments.kinds.logit_lens import LogitLens
from lashley.experiments.model.loading import load
from lashley.experiments.tasks.changed_values import ChangedValues
from lashley.experiments.tasks.draft import Draft
from lashley.experiments.tasks.expression import NoValue, sum_asked, value_of, written
from lashley.experiments.tasks.making import BadDraft, made
from lashley.experiments.tasks.prompt import SPLITS, Prompt
from lashley.experiments.tasks.task import Task
from lashley.experiments.tasks.values import value_in_each, values_of
from lashley.tests.tiny import tiny_tokenizer
from lashley.tests.wire import Wire, chat
from lashley.tools.replay.experiment import replay
from lashley.tools.workbench.catalog import named_task
from lashley.tools.workbench.context import Context

A, B = {"name": "a", "low": 11, "high": 40}, {"name": "b", "low": 2, "high": 9}
DOUBLES = {
    "text": "The double of {a} plus {b} is", "slots": [A, B], "answer_is": "expression", "answer": "a * 2 + b",
    "distractor": "a + b",
}  # fmt: skip
CARD = {"name": "doubles", "title": "Doubles", "description": "Twice a number plus another.", "answer_kind": "number"}
SPOKEN = [
    "one",
    "two",
    "six",
    "ten",
    "red",
    "blue",
    "green",
    "black",
    "white",
    "brown",
    "cold",
    "warm",
    "wet",
    "dry",
    "old",
    "new",
    "big",
    "small",
    "long",
    "short",
]
WORDS = [{"text": f"Number {i}: the word is", "answer": f" {w}", "distractor": " zoo"} for i, w in enumerate(SPOKEN)]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load("smollm2-135m").tokenizer


def draft(**changed: Any) -> Draft:
    return Draft.model_validate({**CARD, "templates": [DOUBLES], **changed})


def words(*more: dict[str, Any], **changed: Any) -> Draft:
    return draft(answer_kind="word", templates=None, examples=[*WORDS, *more], **changed)


def prompts_of(task: Any) -> list[Prompt]:
    return [p for split in SPLITS for p in task.source.stream(split, 0)]


def refusal(proposed: Draft, tokenizer: Any) -> str:
    with pytest.raises(BadDraft) as refused:
        made(proposed, tokenizer, {"ioi"})
    return str(refused.value)


def test_a_template_becomes_prompts_with_answers_worked_out(tokenizer: Any) -> None:
    task = made(draft(), tokenizer, set())
    prompts = prompts_of(task)
    assert len(prompts) > 200
    for p in prompts:
        a, b = (int(p.text[slice(*p.spans[name])]) for name in "ab")
        assert (p.answer, p.distractor) == (f" {2 * a + b}", f" {a + b}")
        assert p.corrupted is not None
        assert p.corrupted_answer is not None
    keys = [{p.key for p in task.source.stream(split, 0)} for split in SPLITS]
    assert not keys[0] & keys[1]
    texts = [{t for p in task.source.stream(s, 0) for t in (p.text, p.corrupted)} for s in SPLITS]
    assert not texts[0] & texts[1], "a twin is not a prompt of the other split"


def test_the_chance_that_a_card_gives_is_what_an_ability_is_held_to(tokenizer: Any, tmp_path: Path) -> None:
    with Context.open(str(tmp_path / "t.db")) as context:
        context.know(made(draft(chance=0.25), tokenizer, set()), "somebody")
    task = named_task("doubles", tmp_path / "t.db")
    assert chance_of(task, prompts_of(task)).value == 0.25
    assert "Chance is 0.25." in task.description


def test_what_is_said_in_other_words_is_in_one_split(tokenizer: Any) -> None:
    how = {"name": "how", "values": ["What is", "Compute", "Calculate"], "wording": True}
    asked = {**DOUBLES, "text": "{how} twice {a} and {b} more:", "slots": [how, A, B]}
    prompts = prompts_of(made(draft(templates=[asked]), tokenizer, set()))
    splits: dict[tuple[str, ...], set[str]] = {}
    for p in prompts:
        splits.setdefault(tuple(p.text[slice(*p.spans[n])] for n in "ab"), set()).add(p.split)
    assert {len(found) for found in splits.values()} == {1}


def test_a_large_template_is_drawn_from_and_leaks_are_left_out(tokenizer: Any) -> None:
    wide = [{**A, "low": 1, "high": 900}, {**B, "low": 0, "high": 900}]
    minus = {**DOUBLES, "text": "{a} - {b} =", "slots": wide, "answer": "a - b"}
    task = made(draft(templates=[minus]), tokenizer, set())
    assert 1500 < len(prompts_of(task)) < 2000
    assert "that contain their answer." in task.description
    assert made(draft(templates=[minus]), tokenizer, set()).fingerprint() == task.fingerprint()


def test_copying_is_a_task_when_it_is_meant(tokenizer: Any) -> None:
    copied = [{"text": f"Say {w}:", "answer": f" {w}"} for w in SPOKEN]
    copied += [{"text": f"Echo it, {w}:", "answer": f" {w}"} for w in SPOKEN]
    proposed = draft(answer_kind="word", templates=None, examples=copied)
    assert "so copying is right" in refusal(proposed, tokenizer)
    task = made(proposed.model_copy(update={"answer_in_prompt": True}), tokenizer, set())
    assert "The prompt contains the answer." in task.description


def one(**fields: Any) -> dict[str, Any]:
    return {"text": "Some text is", "answer": " word", "distractor": " other", **fields}


@pytest.mark.parametrize(
    ("proposed", "says"),
    [
        (draft(name="ioi"), "name: there is already a task 'ioi'"),
        (draft(name="2 words"), "name: '2 words' cannot name a task"),
        (draft(title=" "), "title: give 1 to 80 characters"),
        (draft(templates=None), "there are no rows, examples or templates"),
        (draft(answer_in_prompt=True), "answer_in_prompt: no prompt contains its answer; send false"),
        (draft(templates=None, examples=[{"text": "1 + 1 =", "answer": " 2"}]), "prompts: too few"),
        (words(one(text=" number  0: The word is")), r"examples[20].text: the same text as in examples[0]"),
        (words(one(text="It has a word here:")), "examples[20].answer: the prompt contains 'word'"),
        (words(one(answer="word")), "examples[20].answer: it joins the text as 'isword'"),
        (words(one(answer=" ")), "examples[20].answer: it is empty"),
        (words(one(text="Some text is ")), "text is blank or ends with a blank"),
        (words(one(answer=" one two three four")), "cannot be read as one to three words"),
        (words(one(distractor=" Word")), "examples[20].distractor: ' Word' would count as right"),
        (words(one(distractor=None)), "distractor: some prompts have one and some do not"),
        (words(one(corrupted="Some text was")), "examples[20].corrupted: corrupted has no answer"),
        (words(one(accepted=[" else"])), "accepted must contain the answer"),
        (words(one(text="17 + 25 =", answer=" 43")), "examples[20].answer: 17 + 25 is 42, not 43."),
        (words(one(text="What is 6 × 7?\nA:", answer=" 41")), "6 * 7 is 42, not 41"),
        (draft(examples=[one(answer=" 10", distractor=" 1052")]), "examples[0]: The tokens of the answer ' 10'"),
        (draft(templates=[{**DOUBLES, "answer": "a / (b - 2)"}]), "(a=11, b=2): a / (b - 2): it divides by zero. The"),
        (draft(templates=[{**DOUBLES, "answer": "a / 7"}]), "11/7 cannot be written as a number; use //"),
        (draft(templates=[{**DOUBLES, "answer": "__import__('os')"}]), "is not allowed; only numbers, slots"),
        (draft(templates=[{**DOUBLES, "answer": "a + c"}]), "'c' is not a slot with numbers (a, b are)"),
        (draft(templates=[{**DOUBLES, "text": "{a} {b} {c} is"}]), "templates[0].text: {c} is not a slot"),
        (draft(templates=[{**DOUBLES, "text": "{a is"}]), "templates[0].text: a brace is not paired"),
        (draft(templates=[{**DOUBLES, "text": "{a} + {b} =", "answer": "a - b"}]), "11 + 2 is 13, not 9."),
        (draft(templates=[{**DOUBLES, "slots": [A, B, B]}]), "slots[2]: there is another slot 'b'"),
        (draft(templates=[{**DOUBLES, "slots": [A, {"name": "b"}]}]), "slots[1]: give either values, or low and high"),
        (draft(templates=[{**DOUBLES, "slots": [A, {**B, "high": 1}]}]), "slots[1]: give low and high, low at most"),
        (draft(templates=[{**DOUBLES, "paired": True}]), "paired slots need equally many values"),
        (draft(templates=[{**DOUBLES, "answer": "7"}]), "every prompt has the same answer"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(proposed: Draft, says: str, tokenizer: Any) -> None:
    assert says in refusal(proposed, tokenizer)


def test_all_that_is_wrong_is_said_at_once(tokenizer: Any) -> None:
    proposed = draft(
        name="ioi", title="", examples=[one(answer="word"), one(text="9 - 4 =", answer=" 6")],
        templates=[{**DOUBLES, "answer": "a * c"}, {**DOUBLES, "paired": True}],
    )  # fmt: skip
    told = refusal(proposed, tokenizer)
    for place in (
        "name:",
        "title:",
        "examples[0].answer:",
        "examples[1].answer:",
        "templates[0].answer",
        "templates[1]",
    ):
        assert f"\n- {place}" in told


# Expressions that Python and `value_of` must agree on; Python is given exact numbers.
def combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    both = st.tuples(parts, signs, parts).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
    power = st.tuples(parts, st.integers(0, 4)).map(lambda p: f"({p[0]}) ** {p[1]}")
    called = st.tuples(st.sampled_from(["min", "max"]), parts, parts).map(lambda p: f"{p[0]}({p[1]}, {p[2]})")
    return both | power | called | parts.map(lambda p: f"-{p}") | parts.map(lambda p: f"abs({p})")


LEAVES = st.integers(0, 99).map(str) | st.sampled_from(["a", "b"])


@settings(max_examples=300, deadline=None)
@given(st.recursive(LEAVES, combined, max_leaves=6), st.integers(-50, 50), st.integers(-50, 50))
def test_an_expression_has_the_value_that_python_gives_it(text: str, a: int, b: int) -> None:
    import re

    exact = re.sub(r"(?<!\*\* )\b\d+\b", lambda n: f"F({n[0]})", text)
    try:
        expected = Fraction(eval(exact, {"F": Fraction, "a": Fraction(a), "b": Fraction(b)}))
    except ZeroDivisionError:
        expected = None
    try:
        found = value_of(text, {"a": a, "b": b})
    except NoValue as fault:
        assert expected is None or "too large" in str(fault) or "longer" in str(fault)  # noqa: PT017
    else:
        assert found == expected


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="0123456789ab+-*/%().,_ e\n", max_size=60))
def test_no_text_does_anything_but_give_a_number_or_a_reason(text: str) -> None:
    try:
        assert isinstance(value_of(text, {"a": 3, "b": 5}), Fraction)
    except NoValue as fault:
        assert str(fault)  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    ["9**99", "9**9**9", "2**64**64", "(((10**30)**2)", "a.b", "[1]", "1 if 1 else 2", "lambda: 1", "abs(1, 2)",
     "max()", "1 < 2", "a := 3", "0x10", "1e999", "True", "pow(2, 3)", "min(*a)", "1" * 300, "(" * 150, "", "1; 2"],
)  # fmt: skip
def test_what_is_no_arithmetic_or_too_much_is_refused(text: str) -> None:
    with pytest.raises(NoValue):
        value_of(text)


@settings(max_examples=100, deadline=None)
@given(st.fractions(max_denominator=2000))
def test_a_number_is_written_exactly_or_not_at_all(value: Fraction) -> None:
    try:
        assert Fraction(written(value)) == value
    except NoValue:
        rest = value.denominator
        while rest % 2 == 0 or rest % 5 == 0:
            rest //= 2 if rest % 2 == 0 else 5
        assert rest > 1


@pytest.mark.parametrize("text", ["Born in 1990?", "3, 5, 7 =", "What is 7?", "Room 5 - 3 + 4 =", "It was 3 - 1."])
def test_what_is_not_plainly_a_sum_is_not_worked_out(text: str) -> None:
    assert sum_asked(text) is None


def call(name: str, arguments: Any, id: str) -> dict[str, Any]:
    return chat(None, (id, name, json.dumps(arguments)))


WRONG = {**CARD, "templates": [{**DOUBLES, "answer": "a * 2 + c"}]}
RIGHT = {**CARD, "templates": [DOUBLES], "examples": None, "chance": None}


def test_a_model_makes_a_task_mends_it_and_measures_on_it(wire: Wire, tmp_path: Path) -> None:
    db = tmp_path / "t.db"
    wire.then(call("create_task", WRONG, "c1"))
    wire.then(call("create_task", RIGHT, "c2"))
    wire.then(call("create_task", RIGHT, "c3"))
    wire.then(call("show_task", {"task": "doubles"}, "c4"))
    wire.then(call("baseline", {"task": "doubles", "n": 4, "reason": "New."}, "c5"))
    wire.then(
        call(
            "write_report",
            {"title": "Doubles", "claims": [], "interpretation": "It is right in {{E1.accuracy}}."},
            "c6",
        )
    )
    driver = ChatDriver("by-hand", base_url=wire.url, api_key="none")
    with Context.open(str(db)) as context:
        ending = study(context, driver, "Can it double?", Budget(), View(None))
    assert ending.status == "finished"
    with Reader.open(db) as reader:
        told = [t.content["text"] for t in reader.turns(1) if t.role == "tool"]
        row = reader.task_file("doubles")
        logged = reader.experiment(1)
    assert "'c' is not a slot with numbers" in told[0]
    assert "The task doubles is ready" in told[1]
    assert "there is already a task 'doubles'" in told[2]
    assert "The double of" in told[3]
    assert row is not None
    assert (row.maker, row.run, row.spec["templates"][0]["answer"]) == ("chat by-hand", "R1", "a * 2 + b")
    assert (logged.status, logged.task, logged.task_fingerprint) == ("done", "doubles", row.fingerprint)
    # In a later process: by its name, in a list, and in a replay.
    assert named_task("doubles", db).maker == "chat by-hand in R1"
    with Context.open(str(db)) as context:
        assert "doubles" in context.all_own_tasks()
        assert replay(context, 1)["same"]


def test_generate_sends_faults_back_and_prints_the_card(wire: Wire, tmp_path: Path) -> None:
    wire.then({"data": []}).then(chat("Gladly!")).then(call("create_task", WRONG, "c1")).then(
        call("create_task", RIGHT, "c2")
    )
    arguments = ["tasks", "generate", "twice and more", "--llm", "m", "--base-url", wire.url, "--n", "30"]
    done = CliRunner().invoke(cli, [*arguments, "--db", str(tmp_path / "t.db")])
    assert done.exit_code == 0, done.output
    assert "m called no tool: Gladly!" in done.stderr
    assert "'c' is not a slot with numbers" in done.stderr
    assert "doubles: Doubles" in done.stdout
    assert "made by chat m" in done.stdout
    asked = [one.body for one in wire.received if one.method == "POST"]
    assert [t["function"]["name"] for t in asked[0]["tools"]] == ["create_task"]
    assert "twice and more" in asked[0]["messages"][0]["content"]
    assert "'c' is not a slot" in asked[-1]["messages"][-1]["content"]


def test_generate_gives_up_and_says_so(wire: Wire, tmp_path: Path) -> None:
    wire.then(chat("I would rather talk."))
    arguments = ["tasks", "generate", "x", "--llm", "m", "--base-url", wire.url, "--db", str(tmp_path / "t.db")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 1
    assert "m made no valid task in 5 tries" in done.stderr


@pytest.mark.parametrize("more", [[], ["--llm", "m"]])
def test_generate_without_a_language_model_is_one_line(more: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["tasks", "generate", "x", *more, "--db", str(tmp_path / "t.db")])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: The autopilot cannot make a task")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "t.db").exists()


def test_a_twin_whose_answer_would_be_counted_as_right_is_refused(tokenizer: Any) -> None:
    twin = {"text": "Sky above, colour:", "answer": " azure", "distractor": " zoo", "corrupted": "Sea above, colour:"}
    told = refusal(words({**twin, "corrupted_answer": " Azure!"}), tokenizer)
    assert told.endswith("examples[20].corrupted_answer: ' Azure!' would count as right; give a wrong answer.")
    made(words({**twin, "corrupted_answer": " teal"}), tokenizer, set())


def test_a_twin_of_a_template_has_another_answer_as_answers_are_read(tokenizer: Any) -> None:
    places = [f"place {n}" for n in range(60)]
    colours = [(" Red", " red", " blue")[n % 3] for n in range(60)]
    slots = [{"name": "place", "values": places}, {"name": "colour", "values": colours}]
    form = {"text": "At {place} the colour is", "slots": slots, "answer_is": "text", "answer": "{colour}",
            "distractor": " black", "paired": True}  # fmt: skip
    for kind, same in (("word", False), ("text", True)):
        task = made(draft(templates=[form], answer_kind=kind), tokenizer, set())
        pairs = {(p.answer, p.corrupted_answer) for p in prompts_of(task)}
        assert bool({(" Red", " red"), (" red", " Red")} & pairs) == same


def test_a_task_in_a_script_without_spaces_is_made(tokenizer: Any) -> None:
    words_of = "红黄蓝绿黑白灰紫橙棕金银粉青褐米靛赭绯碧"
    asked = [{"text": f"第{n}个颜色是", "answer": word, "distractor": "水"} for n, word in enumerate(words_of)]
    more = [{"text": f"第{n + 20}个东西是", "answer": word, "distractor": "水"} for n, word in enumerate(words_of)]
    task = made(draft(templates=None, answer_kind="text", examples=[*asked, *more]), tokenizer, set())
    assert len(prompts_of(task)) == 40
    leak = {"text": "红色的颜色是", "answer": "红", "distractor": "水"}
    told = refusal(draft(templates=None, answer_kind="text", examples=[*asked, *more, leak]), tokenizer)
    assert "the prompt contains '红'" in told
    double = {**DOUBLES, "text": "{a}的两倍加{b}等于"}
    assert {p.answer[0].isdigit() for p in prompts_of(made(draft(templates=[double]), tokenizer, set()))} == {True}


def csv_rows(*more: str) -> str:
    lines = [f"In box {i} the key is {w},{f' {w[::-1]}x'}, zoo,{w}" for i, w in enumerate(SPOKEN)]
    return "\n".join(["text,answer,distractor,key", *lines, *more])


def of_rows(rows: str) -> Task:
    return made(Draft.model_validate({**CARD, "answer_kind": "word", "rows": rows}), load("smollm2-135m").tokenizer, ())


def test_rows_are_examples_with_named_values_and_spans() -> None:
    task = of_rows(csv_rows())
    prompt = next(p for split in SPLITS for p in task.prompts(task.capacity(split), split) if "green" in p.text)
    assert (prompt.answer, prompt.distractor) == (" neergx", " zoo")
    assert values_of(prompt)["key"] == "green"
    first, last = prompt.spans["key"]
    assert prompt.text[first:last] == "green"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("text,distractor\na, b", "the first line must name the columns"),
        (csv_rows("a, b"), "row 21 has 2 cells instead of 4"),
        (csv_rows("In box 0 the key is one, xyz, zoo,one"), "rows[21].text: the same text as in rows[1]"),
        (csv_rows("A text,, zoo,x"), "rows[21].answer: it is empty"),
    ],
)
def test_wrong_rows_are_named(rows: str, why: str) -> None:
    with pytest.raises(BadDraft) as fault:
        of_rows(rows)
    assert why in str(fault.value)


def test_words_that_the_subject_does_not_know_are_named() -> None:
    proposed = Draft.model_validate(
        {**CARD, "answer_kind": "word", "examples": [
            {"text": f"w{i} w{i + 1} xylophone", "answer": f" w{i + 2}"} for i in range(3, 43)
        ]}
    )  # fmt: skip
    tokenizer = tiny_tokenizer()
    tokenizer.unk_token = "<pad>"
    with pytest.raises(BadDraft, match=r"the subject does not know 'xylophone'; use other words"):
        made(proposed, tokenizer, ())


def test_arithmetic_over_number_slots_is_a_value_of_a_template(tokenizer: Any) -> None:
    slots = [A, B, {"name": "c", "low": 2, "high": 5}, {"name": "who", "values": ["Ann", "Bob"], "wording": True}]
    asked = {"text": "{who} has {a} and {b} times {c}, so", "slots": slots, "answer_is": "expression",
             "answer": "a + b * c"}  # fmt: skip
    task = made(draft(templates=[asked]), tokenizer, set())
    prompts = task.prompts(20)
    for prompt, product in zip(prompts, value_in_each(prompts, "b * c"), strict=True):
        a, b, c = (int(prompt.text[slice(*prompt.spans[name])]) for name in "abc")
        assert (int(product), int(prompt.answer)) == (b * c, a + b * c)
    sizes = {"n_layers": 4, "n_heads": 2}
    LogitLens(task=task.name, n=20, value="b * c", position="c").check(sizes, task)
    ActivationPatching(task=task.name, n=20, twin="b * c").check(sizes, task)
    with pytest.raises(BadTask, match=r"'who' is not a slot .*: who, a, b, c, answer, and arithmetic over"):
        LogitLens(task=task.name, n=20, value="a + who", position="c").check(sizes, task)
    # A corrupted prompt changes one number, and the value with it.
    maker = ChangedValues(task.source, "explore", 0)
    for prompt in prompts[:5]:
        changed, values = next(maker.changing(prompt, "b * c"))
        own = values_of(prompt)
        assert int(values["b"]) * int(values["c"]) != int(own["b"]) * int(own["c"])
        assert sum(values[name] != own[name] for name in ("a", "b", "c", "who")) == 1
        assert changed.corrupted_answer == f" {int(values['a']) + int(values['b']) * int(values['c'])}"
