"""A long study in a short context: never too long for the server, and stable at its beginning."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.agent.drivers.chat import ChatDriver, chat_messages
from lashley.agent.drivers.conversation import Call, ContextOverflow, Message
from lashley.agent.drivers.server_faults import Complaint, fault_of
from lashley.agent.live import View
from lashley.agent.study.budget import Budget
from lashley.agent.study.context_window import SHRUNK, Window, as_requested, characters, is_mark, make_mark
from lashley.agent.study.loop import Ending, study
from lashley.db.read.reader import Reader
from lashley.experiments.kinds.registry import kinds
from lashley.experiments.model.loading import load
from lashley.tests.wire import Answer, Wire, chat, serving
from lashley.tools.toolset import core
from lashley.tools.workbench.context import Context

CONTEXT, ANSWER = 16_000, 2000


class Counting:
    """A language model that asks without end, on a server that counts tokens as SmolLM2 does and refuses too many.

    `cuts`: too many are cut off instead, without a word, as some servers do."""

    def __init__(self, steps: int, context: int = CONTEXT, cuts: bool = False) -> None:
        self.tokenizer = load("smollm2-135m").tokenizer
        self.steps, self.context, self.cuts, self.step, self.refused, self.largest = steps, context, cuts, 0, 0, 0

    def __call__(self, body: dict[str, Any]) -> object:
        text = json.dumps(body["messages"]) + json.dumps(body["tools"])
        count = len(self.tokenizer(text)["input_ids"])
        if count + ANSWER > self.context and not self.cuts:
            self.refused += 1
            said = f"This model's maximum context length is {self.context} tokens; {count + ANSWER} were asked for."
            return Answer(
                400, json.dumps({"error": {"message": said}}).encode(), {"content-type": "application/json"}, 0
            )
        self.largest = max(self.largest, count)
        self.step += 1
        made = chat(f"Step {self.step}.", (f"c{self.step}", *self.called()))
        return {**made, "usage": {"prompt_tokens": min(count, self.context), "completion_tokens": 9}}

    def called(self) -> tuple[str, str]:
        step = self.step
        name, arguments = "list_experiments", dict[str, Any]()
        if step >= self.steps:
            name, arguments = "write_report", {"title": "T", "claims": [], "interpretation": "{{E1.found}}"}
        elif step % 5 == 1:
            given = {"n": 4, "seed": step // 5, "reason": "Another draw. " * 20}
            name, arguments = ("head_ablation" if step % 3 else "baseline"), given
        elif step % 5 == 2:
            name, arguments = "show_experiment", {"id": f"E{1 + step // 10}"}
        elif step % 5 == 3:
            text = {"text": "Two heads stand out. " * 30, "tags": ["x"], "experiments": ["E1"]}
            name, arguments = "write_note", {"title": f"Note of step {step}", **text}
        elif step % 5 == 4:
            name, arguments = "search_notes", {"query": "heads"}
        return name, json.dumps(arguments)


def run(server: Counting, folder: Path, **budget: Any) -> tuple[Ending, Wire]:
    with serving() as wire, Context.open(str(folder / "t.db"), model="planted:induction", task="induction") as context:
        driver = ChatDriver("by-hand", wire.by(server).url, "none", max_output_tokens=ANSWER)
        most = Budget(experiments=1000, minutes=600, steps=1000, **budget)
        return study(context, driver, "Which heads?", most, View(None), n=4), wire


def prefix(body: dict[str, Any]) -> str:
    return json.dumps([body["tools"], body["messages"][:2]])


def check(server: Counting, ending: Ending, wire: Wire, folder: Path) -> None:
    assert ending == Ending("finished")
    assert server.step == server.steps
    bodies = [body for body in wire.bodies if "messages" in body]
    # The first reply shows how many tokens the server counts, and so whether more tools than the core fit.
    while json.loads(prefix(bodies[0]))[0] != bodies[-1]["tools"]:
        bodies.pop(0)
    assert server.refused or len(bodies) >= server.steps - 2
    assert len({prefix(body) for body in bodies}) == 1, "instructions, tools and goal are the same to the byte"
    grown = [b["messages"][: len(a["messages"])] == a["messages"] for a, b in pairwise(bodies)]
    shrunk = grown.count(False)
    assert 0 < shrunk <= len(bodies) / 5, "it shrinks seldom, and between only grows at its end"
    with Reader.open(folder / "t.db") as reader:
        messages = [Message.model_validate(turn.content) for turn in reader.turns(1)]
        ids = {e.id for e in reader.experiments(run=1)}
    # What was sent last follows from the log alone.
    replies = [place for place, m in enumerate(messages) if m.role == "assistant"]
    assert chat_messages("", as_requested(messages[: replies[-1]])) == bodies[-1]["messages"][1:]
    last = json.dumps(bodies[-1]["messages"])
    assert "Goal: Which heads?" in last
    offered = {tool["function"]["name"] for tool in bodies[-1]["tools"]}
    assert offered & set(kinds()) == set(core()), "all tools would leave no room"
    assert max(ids, key=lambda one: int(one[1:])) in last


def test_a_study_fits_where_it_is_said_how_much_is_read(tmp_path: Path) -> None:
    server = Counting(45)
    ending, wire = run(server, tmp_path, context=CONTEXT)
    check(server, ending, wire, tmp_path)
    assert not server.refused


def test_a_study_fits_where_only_the_refusal_says_it(tmp_path: Path) -> None:
    server = Counting(30)
    ending, wire = run(server, tmp_path)
    check(server, ending, wire, tmp_path)
    assert 1 <= server.refused <= 3


@pytest.mark.slow
@pytest.mark.parametrize("context", [CONTEXT, None])
def test_a_study_of_300_steps_fits_16000_tokens(tmp_path: Path, context: int | None) -> None:
    server = Counting(300)
    ending, wire = run(server, tmp_path, context=context)
    check(server, ending, wire, tmp_path)
    print(f"largest {server.largest}, refused {server.refused}, requests {len(wire.bodies)}")
    assert server.largest + ANSWER <= CONTEXT
    assert server.refused <= 3


def test_where_the_tools_alone_are_too_long_it_says_so_and_can_be_gone_on_with(tmp_path: Path) -> None:
    ending, wire = run(Counting(9), tmp_path, context=4000)
    assert ending.status == "stopped"
    assert "The instructions and tools alone are about" in (ending.why or "")
    assert not wire.bodies
    with Reader.open(tmp_path / "t.db") as reader:
        assert reader.run(1).status == "stopped"
        assert reader.run(1).report is None


def test_a_server_that_cuts_silently_is_noticed_once() -> None:
    window = Window()
    assert window.gauge(30_000, 7000) is None
    assert window.gauge(36_000, 8192) is None
    assert "cut conversations silently" in (window.gauge(40_000, 8192) or "")
    assert window.gauge(44_000, 8192) is None
    # Where no more was sent, or nothing is said, there is nothing to notice.
    assert Window(last=(30_000, 7000)).gauge(30_500, 6990) is None
    assert Window(last=(30_000, 7000)).gauge(90_000, None) is None


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("This model's maximum context length is 8192 tokens. However, you requested 9000 tokens", 8192),
        ("request (9000 tokens) exceeds the available context size (8,192 tokens), try increasing it", 8192),
        ("Requested tokens (9000) exceed context window of 8192", 8192),
        ("Your input exceeds the context window of this model.", 8100),
    ],
)
def test_how_much_is_read_is_taken_from_the_refusal(said: str, limit: int) -> None:
    window = Window()
    fault = fault_of(Complaint(400, "context_length_exceeded", "", said), "m", "http://h/v1", None, 1)
    assert isinstance(fault, ContextOverflow)
    window.learn(fault, 9000)
    assert window.limit == limit


texts = st.text(alphabet="ab 1E\n", max_size=900)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    messages = [Message(role="user", text="Goal")]
    for turn in range(draw(st.integers(1, 8))):
        ids = [f"c{turn}.{i}" for i in range(draw(st.integers(0, 3)))]
        calls = tuple(Call(id=one, name="t", arguments=json.dumps({"x": draw(texts)})) for one in ids)
        items = draw(st.sampled_from([(), ({"a": "x" * 2000},)]))
        messages.append(Message(role="assistant", text=draw(texts), calls=calls, items=items))
        messages += [Message(role="tool", call_id=one, text=draw(texts)) for one in ids]
        if draw(st.booleans()):
            messages.append(Message(role="user", text=draw(texts)))
    return messages


@given(conversations(), st.integers(1, 1500), st.integers(1, 1500))
def test_what_is_sent_is_a_conversation_and_never_grows_by_shrinking(
    messages: list[Message], first: int, second: int
) -> None:
    for target in (first, second):
        before = as_requested(messages)
        messages = [*messages, make_mark(messages, Window().tokens, target, lambda place: f"Until {place}.", None)]
        now = as_requested(messages)
        # Raises where a call has no result, or a result no call.
        chat_messages("", now)
        assert now[0] == messages[0]
        assert sum(map(characters, now)) <= sum(map(characters, before)) + characters(
            Message(role="user", text="Until 999.")
        )
        assert not any(is_mark(m) for m in now)
        last = max((place for place, m in enumerate(messages) if m.role == "assistant"), default=0)
        mark = (messages[-1].data or {})[SHRUNK]
        assert mark["from"] <= last
        # What comes later is sent as it is, after what was sent before.
        more = [*messages, Message(role="user", text="And?")]
        assert as_requested(more) == [*now, more[-1]]
