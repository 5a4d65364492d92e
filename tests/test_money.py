"""What a study costs: prices, cached tokens, a limit in dollars, over a real HTTP server on loopback."""

from __future__ import annotations

import json
import signal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lashley.agent.drivers.conversation import Reply
from lashley.agent.main import cli
from lashley.agent.prices import FILE, TABLE, Long, Price, among, price_of, read_table
from lashley.agent.study.budget import Budget, Spent
from lashley.db.read.reader import Reader
from lashley.db.records import RunSummary
from lashley.tests.killed import agent_process, ran, sound
from lashley.tests.wire import Wire, chat, function_call, response
from lashley.tools.errors import ToolError
from lashley.tools.report.spent import cost_text, dollars, tokens_text

from .test_resume import GOAL, ON, resume, scripted

WHO = ["--goal", GOAL, *ON, "--llm", "by-hand"]
ASK = {"n": 4, "reason": "Another draw."}
REPORT = {"title": "T", "claims": [], "interpretation": "{{E1.found}}"}
# A million tokens: 2 dollars read, 0.5 read again, 3 written into the cache, 10 written.
USAGE = {"prompt_tokens": 100_000, "completion_tokens": 10_000}
DETAILS = {"prompt_tokens_details": {"cached_tokens": 60_000, "cache_write_tokens": 30_000}}
TOKENS = st.integers(0, 500_000)
RATE = st.integers(0, 100_000).map(lambda n: n / 1000)


def agent(*words: str, **environ: str) -> Result:
    env = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": "", FILE: "", "COLUMNS": "80", **environ}
    return CliRunner().invoke(cli, list(words), env=env)


def study(wire: Wire, *words: str, api: str = "chat", **environ: str) -> Result:
    return agent("run", *WHO, "--driver", api, "--base-url", wire.url, *words, **environ)


def asks(usage: dict[str, Any] | None = None, reports: bool = True) -> Any:
    """A language model that runs baselines without end, and writes a report when the budget is spent (or never)."""

    def script(body: dict[str, Any]) -> object:
        if "messages" not in body:
            return {"data": [{"id": "by-hand"}]}
        step = sum(m["role"] == "assistant" for m in body["messages"])
        spent = "The budget is spent" in json.dumps(body["messages"][-1])
        call = ("write_report", REPORT) if spent and reports else ("baseline", {**ASK, "seed": step})
        made = chat(None, (f"c{step}", call[0], json.dumps(call[1])))
        return {**made, "usage": {**USAGE, **DETAILS} if usage is None else usage}

    return script


def runs(folder: Path) -> list[RunSummary]:
    with Reader.open(folder / "s.db") as reader:
        return reader.runs()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# A machine that is busy with something else draws slowly.
calmly = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@calmly
@given(st.tuples(RATE, RATE, RATE, RATE), TOKENS, TOKENS, TOKENS, TOKENS, st.none() | st.integers(0, 900_000))
def test_a_reply_costs_what_adding_up_its_tokens_one_sort_after_the_other_gives(
    rates: tuple[float, float, float, float], fresh: int, cached: int, written: int, out: int, above: int | None
) -> None:
    each = ("input", "cached", "written", "output")
    long = None if above is None else Long(above=above, input=2, output=1.5)
    price = Price(llm="m", source="x", long=long, **dict(zip(each, rates, strict=True)))
    reply = Reply(tokens_in=fresh + cached + written, tokens_cached=cached, tokens_written=written, tokens_out=out)
    read = [Fraction(str(rate)) * count for rate, count in zip(rates, (fresh, cached, written), strict=False)]
    wrote = Fraction(str(rates[3])) * out
    is_long = above is not None and fresh + cached + written > above
    whole = sum(read) * 2 + wrote * Fraction(3, 2) if is_long else sum(read) + wrote
    assert price.of(reply) == pytest.approx(float(whole / 1_000_000), rel=1e-12, abs=1e-15)


def test_what_is_not_said_of_the_cache_is_read_anew_and_what_is_not_counted_has_no_cost() -> None:
    price = Price(llm="m", source="x", input=2, cached=0.5, output=10)
    assert price.of(Reply(tokens_in=100, tokens_out=10)) == pytest.approx(300e-6)
    assert price.of(Reply(tokens_in=100, tokens_out=10, tokens_written=50)) == pytest.approx(300e-6)
    assert price.of(Reply(tokens_in=100)) is None
    assert price.of(Reply(tokens_out=100)) is None


def test_a_name_stands_for_itself_and_its_dates_and_for_nothing_else() -> None:
    known = price_of("gpt-6-astra", openai=True, environ={})
    assert known is not None
    assert (known.input, known.cached, known.written, known.output) == (10, 1, 12.5, 50)
    dated = price_of("gpt-6-astra-2026-09-03", openai=True, environ={})
    assert dated is not None
    assert dated.input == 10
    for other in ("gpt-6-astra-mini", "gpt-5.5-pro", "gpt-6", "my-gpt-6-astra", "openai/gpt-6-astra", "qwen3"):
        assert price_of(other, openai=True, environ={}) is None, other
    # Another server asks what it likes for the same name.
    assert price_of("gpt-6-astra", openai=False, environ={}) is None


def test_the_table_is_dated_and_in_order() -> None:
    table = read_table(TABLE)
    assert table.date.year >= 2026
    for name, rates in table.models.items():
        written = rates.input if rates.written is None else rates.written
        assert 0 < rates.cached < rates.input <= written < rates.output, name
        assert among(name, table.models) is rates


def test_the_users_table_comes_before_ours_and_by_hand_before_both(tmp_path: Path) -> None:
    own = tmp_path / "p.toml"
    own.write_text('[models]\n"gpt-6-*" = {input=1, cached=1, output=1}\n"gpt-6-astra" = {input=3, cached=3, output=3}')
    environ = {FILE: str(own)}

    def price(llm: str, openai: bool = True, by_hand: str | None = None) -> tuple[float, str]:
        found = price_of(llm, openai, by_hand, environ)
        assert found is not None
        return found.input, found.source

    assert price("gpt-6-astra", openai=False) == (3, FILE)
    assert price("gpt-6-astra-2026-09-03") == (3, FILE)
    assert price("gpt-6-astra-mini") == (1, FILE)
    assert price("gpt-5.5") == (5, f"prices of {read_table(TABLE).date}")
    assert price("gpt-5.5", by_hand="7,8") == (7, "--price")


@pytest.mark.parametrize("text", ["", "1", "1,2,3,4", "a,b", "-1,2", "nan,1", "1,inf", "1e999,1"])
def test_what_is_no_price_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(ToolError, match="Give --price IN,CACHED,OUT in dollars"):
        price_of("m", openai=False, given=text, environ={})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[models]\nm = 1", "models.m"),
        ("[models]\nm = {input=1, output=2}", "models.m.cached"),
        ("[models]\nm = {input=1, cached=1, output=2, x=3}", "models.m.x"),
        ("no toml", "not a table of prices"),
        (None, "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused_before_anything_begins(
    wire: Wire, here: Path, content: str | None, said: str
) -> None:
    wire.by(asks())
    if content is not None:
        (here / "p.toml").write_text(content)
    done = study(wire, **{FILE: "p.toml"})
    assert done.exit_code == 2
    assert said in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("Error")]) == 1
    assert not (here / "s.db").exists()


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_what_a_study_spends_is_counted_with_its_cached_tokens_and_shown_everywhere(
    wire: Wire, here: Path, api: str
) -> None:
    details = {f"{'prompt' if api == 'chat' else 'input'}_tokens_details": next(iter(DETAILS.values()))}
    for place, (name, arguments) in enumerate([("baseline", ASK), ("write_report", REPORT)]):
        if api == "chat":
            made = {**chat(None, (f"c{place}", name, json.dumps(arguments))), "usage": {**USAGE, **details}}
        else:
            usage = {"input_tokens": 100_000, "output_tokens": 10_000, "total_tokens": 110_000, **details}
            made = response(function_call(f"c{place}", name, json.dumps(arguments)), usage=usage)
        wire.then({"data": [{"id": "by-hand"}]}) if place == 0 else None
        wire.then(made)
    (here / "p.toml").write_text('[models]\n"by-*" = {input=2, cached=0.5, written=3, output=10}')
    done = study(wire, api=api, **{FILE: "p.toml"})
    assert done.exit_code == 0, done.output
    assert "by-hand costs $2 in, $0.5 cached, $10 out per million tokens (LASHLEY_PRICES)." in done.stderr
    # 10,000 anew, 60,000 again, 30,000 into the cache, 10,000 written: 0.02 + 0.03 + 0.09 + 0.1 dollars, twice.
    row = runs(here)[0]
    assert row.spent["cost"] == pytest.approx(0.48)
    spent = {name: row.spent[name] for name in ("tokens_in", "tokens_cached", "tokens_out", "unpriced", "steps")}
    assert spent == {"tokens_in": 200_000, "tokens_cached": 120_000, "tokens_out": 20_000, "unpriced": 0, "steps": 2}
    with Reader.open(here / "s.db") as reader:
        replies = [t for t in reader.turns(1) if t.role == "assistant"]
    assert [t.cost for t in replies] == pytest.approx([0.24, 0.24])
    assert {(t.tokens_cached, t.tokens_written) for t in replies} == {(60_000, 30_000)}
    listed = agent("runs", "--db", "s.db").stdout.splitlines()
    assert listed[0].split() == ["id", "started", "status", "exp.", "steps", "tokens", "cost", "time"]
    assert listed[1].split()[-5:-1] == ["1", "2", "220k", "$0.48"]
    words = "1 experiment, 2 turns, 200,000 tokens read (120,000 of them cached), 20,000 written, $0.48"
    shown = " ".join(agent("show", "R1", "--db", "s.db").stdout.split())
    assert f"spent {words}" in shown
    assert "$2 in, $0.5 cached, $10 out per million tokens" in shown
    assert json.loads(agent("show", "R1", "--db", "s.db", "--json").stdout)["spent"] == row.spent
    assert json.loads(agent("runs", "--db", "s.db", "--json").stdout)[0]["spent"] == row.spent
    for name in ("report.html", "report.md"):
        text = (here / "reports" / "R1" / name).read_text().replace("\\", "")
        assert f"Spent: {words}" in " ".join(text.split())
    sound(here / "s.db")


def test_money_that_is_spent_ends_in_the_models_report_and_is_not_overdrawn(wire: Wire, here: Path) -> None:
    wire.by(asks())
    done = study(wire, "--max-cost", "1", "--price", "2,0.5,10")
    assert done.exit_code == 3, done.output
    assert "The budget is spent: $1." in " ".join(done.stderr.split())
    # A reply costs 0.21 dollars: 40,000 anew, 60,000 again, 10,000 written. The report's is kept back.
    row = runs(here)[0]
    assert row.status == "budget"
    assert row.spent["cost"] == pytest.approx(0.21 * (row.spent["steps"]))
    assert row.spent["cost"] <= 1 < row.spent["cost"] + 2 * 0.21
    with Reader.open(here / "s.db") as reader:
        assert (reader.latest_report(1) or {}).call is not None


def test_a_model_that_is_deaf_to_it_costs_no_more(wire: Wire, here: Path) -> None:
    wire.by(asks(reports=False))
    assert study(wire, "--max-cost", "1", "--price", "2,0.5,10").exit_code == 3
    row = runs(here)[0]
    assert row.spent["cost"] <= 1
    with Reader.open(here / "s.db") as reader:
        assert (reader.latest_report(1) or {}).call is None, "the program wrote it"


def test_a_model_without_a_price_has_none_and_no_limit(wire: Wire, here: Path) -> None:
    wire.by(asks())
    refused = study(wire, "--max-cost", "1")
    assert refused.exit_code == 2
    error = refused.stderr.splitlines()[-1]
    assert error.startswith("Error: --max-cost needs a price, and the price of by-hand is not known. Give --price ")
    assert not (here / "s.db").exists()
    assert all(one.method == "GET" for one in wire.received)
    done = study(wire, "--experiments", "1")
    assert "The price of by-hand is not known, so the cost is not counted. Give --price" in done.stderr
    row = runs(here)[0]
    assert (row.spent["cost"], row.spent["unpriced"]) == (None, row.spent["steps"])
    assert agent("runs", "--db", "s.db").stdout.splitlines()[1].split()[-2] == "?"
    assert "at a price that is not known" in " ".join(agent("show", "R1", "--db", "s.db").stdout.split())


def test_a_server_that_does_not_count_cannot_be_held_to_a_limit_and_is_stopped_at_once(wire: Wire, here: Path) -> None:
    wire.by(asks(usage={}))
    done = study(wire, "--max-cost", "1", "--price", "2,0.5,10")
    assert done.exit_code == 3
    assert "The budget is spent: $1 (the cost of a reply is not known)." in " ".join(done.stderr.split())
    row = runs(here)[0]
    assert row.spent["steps"] == 2, "the one that was not counted, and the report"
    assert row.spent["cost"] is None


def test_a_protocol_costs_nothing(here: Path) -> None:
    done = agent("run", "--goal", GOAL, *ON, "--driver", "autopilot", "--max-cost", "0.01", "--experiments", "2")
    assert done.exit_code == 3, done.output
    row = runs(here)[0]
    assert (row.spent["cost"], row.spent["unpriced"], row.spent["tokens_in"]) == (0, 0, 0)
    assert agent("runs", "--db", "s.db").stdout.splitlines()[1].split()[-3:-1] == ["-", "-"]
    assert "tokens" not in agent("show", "R1", "--db", "s.db").stdout


def test_a_study_that_was_killed_counts_what_it_had_spent(wire: Wire, here: Path) -> None:
    def counted(body: dict[str, Any]) -> object:
        made: Any = scripted(body)
        return {**made, "usage": {**USAGE, **DETAILS}} if "choices" in made else made

    wire.by(counted)
    words = ["run", *WHO, "--driver", "chat", "--base-url", wire.url, "--price", "2,0.5,10", "--max-cost", "9"]
    assert ran(agent_process(*words, folder=here, commits=9)) == -signal.SIGKILL
    so_far = runs(here)[0].spent
    assert (so_far["cost"], so_far["tokens_cached"]) == (
        pytest.approx(0.21 * so_far["steps"]),
        60_000 * so_far["steps"],
    )
    assert ran(agent_process(*resume(wire), folder=here)) == 0
    spent = runs(here)[0].spent
    assert spent["steps"] > so_far["steps"]
    assert (spent["cost"], spent["tokens_cached"]) == (pytest.approx(0.21 * spent["steps"]), 60_000 * spent["steps"])
    sound(here / "s.db")


def test_a_second_opinion_may_spend_what_the_study_left(wire: Wire, here: Path) -> None:
    claim = {"sentence": "It can.", "conditions": ["E1.loss < 100"]}

    def script(body: dict[str, Any]) -> object:
        if "messages" not in body:
            return {"data": [{"id": "by-hand"}]}
        reviews = "write_review" in json.dumps(body["tools"])
        step = sum(m["role"] == "assistant" for m in body["messages"])
        if reviews:
            verdicts = [{"claim": 1, "verdict": "undecided", "why": "No test.", "hypotheses": []}]
            call = ("write_review", {"opinions": verdicts, "text": "Nothing."})
        else:
            call = ("baseline", ASK) if step == 0 else ("write_report", {**REPORT, "claims": [claim]})
        return {**chat(None, (f"c{step}", call[0], json.dumps(call[1]))), "usage": {**USAGE, **DETAILS}}

    wire.by(script)
    done = study(wire, "--review", "--max-cost", "1", "--price", "2,0.5,10")
    first, second = runs(here)
    assert first.spent["cost"] == pytest.approx(0.42), done.output
    assert second.budget["max_cost"] == pytest.approx(0.58)
    assert done.stderr.count("by-hand costs") == 1


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0, "$0"), (0.00001, "under $0.0001"), (0.0042, "$0.0042"), (0.4799, "$0.48"), (3, "$3"), (12.345, "$12.35"),
     (1234.5, "$1,234")],
)  # fmt: skip
def test_dollars_in_words(amount: float, said: str) -> None:
    assert dollars(amount) == said
    assert cost_text({"cost": amount, "unpriced": 1}) == f"≥{said}"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0"), (999, "999"), (1000, "1k"), (48_210, "48.2k"), (999_600, "1M"), (1_310_000, "1.31M")]
)
def test_tokens_in_five_characters(count: int, said: str) -> None:
    assert tokens_text(count) == said


@calmly
@given(st.lists(st.tuples(st.none() | TOKENS, st.none() | st.integers(0, 10**6)), max_size=9))
def test_what_is_spent_is_the_sum_of_what_is_known(replies: list[tuple[int | None, int | None]]) -> None:
    spent = Spent()
    for tokens, cost in replies:
        spent.add(Reply(tokens_in=tokens, tokens_out=tokens), None if cost is None else cost / 1e6)
    known = [cost for _, cost in replies if cost is not None]
    assert spent.cost == pytest.approx(sum(known) / 1e6)
    assert (spent.unpriced, spent.tokens_in) == (len(replies) - len(known), sum(t or 0 for t, _ in replies))
    over = Budget(max_cost=0.5)
    assert spent.over_cost(over) == (spent.unpriced > 0 or spent.cost > 0.5)
    assert not spent.over_cost(Budget())
