"""Reports: what slots become, what is refused, and what a page may never contain."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lashley.db.read import Reader
from lashley.db.store import Store
from lashley.experiments.result import Effect, Figure, Measurement, Result, Sample
from lashley.tools.report.check import all_faults, check
from lashley.tools.report.claims import Claim
from lashley.tools.report.numbers import NBSP, number, value_text
from lashley.tools.report.render import Report, render, write
from lashley.tools.report.slots import SlotError, fill, parse
from lashley.tools.report.study import read_study

from .recorded import EXPERIMENT, recorded

ENVIRONMENT = {"python": "3.11", "torch": "2.13.0", "threads": 2}
SUBJECT = {"name": "smollm2-135m", "fingerprint": "ab12" * 16, "architecture": "llama", "anatomy": {"layers": 30}}
SOURCE = """# How SmolLM2 adds

The intact model answers {{E1.accuracy}} of the questions. Without {{E2.top}} the loss rises by
{{E2.effect[L7.H3]}}; layer 7 matters most, and H1 is **{{H1.status}}**.

## What was seen

{{E2.figure}}

{{E2.table}}
"""


def sweep(say: str = " 7") -> Result:
    """What a small head sweep finds; `say` is the damaged model's answer."""
    effects = [
        ("L7.H3", 0.3125, 0.22, 0.4, 1e-4),
        ("L0.H1", -0.5, -0.6, -0.4, 0.001),
        ("L2.H0", 0.01, -0.02, 0.03, 0.7),
    ]
    return Result(
        measurements=(
            Measurement(name="accuracy_drop", value=0.31, low=0.22, high=0.4, n=32),
            Measurement(name="loss", value=1.5, unit="nats"),
        ),
        effects=tuple(
            Effect(
                site=site, metric=metric, value=value * scale, low=low * scale, high=high * scale, n=32, p=p, q=2 * p
            )
            for metric, scale in (("answer_loss", 1), ("logit_diff", -2))
            for site, value, low, high, p in effects
        ),
        samples=(
            Sample(
                prompt="2 + 3 =", expected=" 5", said=" 5", changed=say, condition="L7.H3 zero", failure="off_by_one"
            ),
        ),
        figures=(
            Figure(
                name="heads",
                kind="head_heatmap",
                title="Effect of each head",
                unit="nats",
                n=32,
                data={"values": [[0.1, None], [-0.3, 0.2]], "significant": [[True, False], [False, False]]},
            ),
            Figure(
                name="failures",
                kind="pie",
                title="How answers fail",
                unit="answers",
                n=32,
                data={"labels": ["off_by_one", "incomplete"], "counts": [3, 1]},
            ),
        ),
        found="L0.H1 is the strongest site.\nTwo of three sites have q < 0.05.",
        notes=("Zero ablation leaves the distribution that the model was trained on.",),
    )


def add(store: Store, run: int, kind: str, result: Result | None, *, error: str = "", **config: Any) -> int:
    config = {"kind": kind, "task": "arithmetic", "split": "explore", "n": 32, "seed": 2026, **config}
    experiment = store.begin_experiment(
        run=run,
        kind=kind,
        model="smollm2-135m",
        task=config["task"],
        split=config["split"],
        n=config["n"],
        config=config,
        config_hash=str(sorted(config.items())),
        subject=SUBJECT,
        task_fingerprint="t1",
        code_version="0.1.0",
        environment=ENVIRONMENT,
        reason="to see which heads matter",
    )
    if error:
        store.fail_experiment(experiment, "BadConfiguration", error, 0.1)
    elif result is not None:
        store.finish_experiment(experiment, result.model_dump(), 2.5)
    return experiment


def study(path: Path, *, goal: str = "Which heads add?", driver: str = "autopilot", say: str = " 7") -> Path:
    """A run R1 with E1 (baseline), E2 (sweep), E3 (failed), E4 (unfinished), E5 (E2 again), H1 and H2; E6 is of R2."""
    with Store.open(path) as store:
        about: dict[str, Any] = {"model": "smollm2-135m", "task": "arithmetic", "seed": 0, "budget": {}}
        llm = None if driver == "autopilot" else "gpt-9"
        run = store.begin_run(goal=goal, driver=driver, llm=llm, environment=ENVIRONMENT, **about)
        accuracy = Measurement(name="accuracy", value=0.9375, low=0.84, high=1.0, n=32)
        add(store, run, "baseline", Result(measurements=(accuracy,), found="The model can do it."))
        two = add(store, run, "head_ablation", sweep(say), method="zero", sites=["L7.H3"], options={"depth": 2})
        add(store, run, "head_ablation", None, error="There is no layer 99.", method="zero", sites=["L99.H3"])
        add(store, run, "layer_program", None)
        add(store, run, "head_ablation", sweep(), method="zero", sites=["L7.H3"], options={"depth": 2})
        supported = store.add_hypothesis(run, "One head <adds>.", "It copies | digits.", "Its effect is below 0.1.")
        store.set_hypothesis_status(supported, "supported", "It does.", [two])
        refuted = store.add_hypothesis(run, "Layers do not matter.", "", "")
        store.set_hypothesis_status(refuted, "refuted", "They do.", [two])
        other = store.begin_run(goal="Another", driver="chat", llm="gpt-9", environment=ENVIRONMENT, **about)
        add(store, other, "baseline", Result(found="Elsewhere."))
    return path


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with Reader.open(study(tmp_path_factory.mktemp("tracker") / "lashley.db")) as reader:
        yield reader


@pytest.fixture(scope="module")
def report(reader: Reader) -> Report:
    return render(SOURCE, reader, 1)


def filled(reader: Reader, slot: str) -> str:
    return fill(parse(slot)[0], read_study(reader, 1)).text


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        ("{{E2.accuracy_drop}}", "0.31 [0.22, 0.40], n = 32"),
        ("{{ E2.accuracy_drop }}", "0.31 [0.22, 0.40], n = 32"),
        ("{{E2.loss}}", "1.5 nats"),
        ("{{E2.effect[L7.H3]}}", "0.312 [0.220, 0.400], n = 32"),
        ("{{E2.effect[L7.H3, logit_diff]}}", "−0.625 [−0.440, −0.800], n = 32"),
        ("{{E2.rank[L7.H3]}}", "2"),
        ("{{E2.top}}", "L0.H1"),
        ("{{E2.top[3]}}", "L2.H0"),
        ("{{E2.config.n}}", "32"),
        ("{{E2.config.seed}}", "2026"),
        ("{{E2.config.sites}}", "L7.H3"),
        ("{{E2.config.options.depth}}", "2"),
        ("{{E2.n}}", "32"),
        ("{{E2.found}}", "L0.H1 is the strongest site. Two of three sites have q < 0.05."),
        ("{{H1.status}}", "supported"),
        ("{{H1.statement}}", "“One head <adds>.”"),
    ],
)
def test_a_slot_is_filled_from_the_tracker(reader: Reader, slot: str, text: str) -> None:
    assert filled(reader, slot).replace(NBSP, " ") == text


def test_no_line_breaks_inside_a_value(reader: Reader) -> None:
    assert filled(reader, "{{E2.accuracy_drop}}") == f"0.31 [0.22,{NBSP}0.40], n{NBSP}={NBSP}32"
    assert filled(reader, "{{E2.loss}}") == f"1.5{NBSP}nats"


def test_prose_of_the_tracker_gets_a_true_minus_and_keeps_its_ranges(tmp_path: Path) -> None:
    found = "Layers 0-10, GPT-2: changes by -0.50 [-0.9, -.1]."
    path = study(tmp_path / "t.db")
    with Store.open(path) as store:
        add(store, 1, "layer_program", Result(found=found))
        one = store.add_hypothesis(1, "It lies between -0.1 and 0.1.", "", "")
        store.set_hypothesis_status(one, "supported", "It is -0.02.", [1])
    with Reader.open(path) as reader:
        report = render("{{E7.found}}", reader, 1)
    for page in (report.html, report.markdown.replace("\\", "")):
        assert page.count("Layers 0-10, GPT-2: changes by −0.50 [−0.9, −.1].") == 3
        assert "between −0.1 and 0.1" in page
        assert "It is −0.02." in page


def test_few_questions_are_said_wherever_n_is(tmp_path: Path) -> None:
    path = study(tmp_path / "t.db")
    with Store.open(path) as store:
        add(store, 1, "baseline", Result(measurements=(Measurement(name="questions", value=10),)))
    with Reader.open(path) as reader:
        report = render("", reader, 1)
    for page in (report.html, report.markdown):
        assert f"n{NBSP}={NBSP}32 prompts, 10 different questions" in page
        assert "no p can be below 0.00195" in page


def test_the_question_is_said_once(reader: Reader) -> None:
    for source in ("", "# Which heads add?\n\nThese."):
        html = render(source, reader, 1).html
        assert (
            html[html.index("<main>") :].count("Which heads add?") == 2
        )  # the heading, and the command that asks anew
    assert "Which heads add?" in render("# These heads add\n\nThese.", reader, 1).markdown.split("|")[0]


def test_a_report_explains_its_words_and_says_what_it_cannot_show(report: Report) -> None:
    for page in (report.html, report.markdown):
        for words in (
            "How to read this",
            "head 3 of layer 7",
            "Only this was studied",
            "does not show what the part does",
        ):
            assert words in page
    assert report.html.index('id="interpretation"') < report.html.index('id="words"') < report.html.index('id="method"')


def test_slots_know_where_they_stand() -> None:
    source = "Before {{E2.n}} and\n{{H1.status}}."
    assert [source[slot.start : slot.end] for slot in parse(source)] == ["{{E2.n}}", "{{H1.status}}"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{E2.acuracy_drop}}", ("E2 has no 'acuracy_drop'", "Did you mean accuracy_drop?")),
        ("{{E2.zebra}}", ("It measured: accuracy_drop, loss", "config.method", "figure[heads]")),
        ("{{E2.effect[L7.H4]}}", ("no effect at 'L7.H4'", "L7.H3")),
        ("{{E2.effect[L7.H3, speed]}}", ("no effects on 'speed'", "answer_loss, logit_diff")),
        ("{{E1.effect[L7.H3]}}", ("E1 measured no effects",)),
        ("{{E2.effect}}", ("E2 has no 'effect'", "effect[SITE]")),
        ("{{E2.top[4]}}", ("E2.top[1] to E2.top[3]",)),
        ("{{E2.top[0]}}", ("E2.top[1] to E2.top[3]",)),
        ("{{E2.top[first]}}", ("E2.top[1] to E2.top[3]",)),
        ("{{E1.top}}", ("E1 measured no effects",)),
        ("{{E2.config.methd}}", ("no 'methd'", "config.method")),
        ("{{E2.figure[haeds]}}", ("no figure 'haeds'", "Did you mean heads?")),
        ("{{E1.figure}}", ("E1 has no figures",)),
        ("{{E3.accuracy}}", ("E3 failed (There is no layer 99.)", "E1, E2, E5")),
        ("{{E4.accuracy}}", ("E4 has not finished",)),
        ("{{E6.found}}", ("E6 is no experiment of R1", "E1, E2, E5")),
        ("{{E99.n}}", ("E99 is no experiment of R1",)),
        ("{{H7.status}}", ("H7 is no hypothesis of R1", "H1, H2")),
        ("{{H1.verdicts}}", ("H1.verdict, H1.status and H1.statement",)),
        ("{{E2}}", ("is no slot", "Slots look like")),
        ("{{accuracy}}", ("is no slot",)),
        ("{{}}", ("is no slot",)),
        ("text {{E2.n", ("line 1", "not closed")),
        ("ok\n\n{{E2.n\n}}", ("line 3", "not closed")),
        ("See {{E2.table}} here.", ("alone on a line",)),
        ("`{{E2.figure}}`", ("alone on a line",)),
        ("[x](https://example.org/{{E2.n}})", ("cannot be filled where it stands",)),
        ("\\{{E2.n}}", ("cannot be filled where it stands",)),
        ("&#123;&#123;E2.n}}", ("in disguise",)),
    ],
)
def test_a_fault_is_one_line_that_says_what_there_is(reader: Reader, source: str, says: tuple[str, ...]) -> None:
    faults = check(source, reader, 1)
    assert len(faults) == 1
    assert "\n" not in faults[0]
    for words in says:
        assert words in faults[0]
    with pytest.raises(SlotError) as caught:
        render(source, reader, 1)
    assert caught.value.faults == tuple(faults)


def test_all_faults_are_told_at_once(reader: Reader) -> None:
    faults = check("{{E2.nothing}} and {{E3.loss}}\n\n{{E99.n}}, which is 0.5.", reader, 1)
    assert [fault.split(":")[0] for fault in faults] == [
        "line 1",
        "line 1",
        "line 3",
        "Numbers are typed where slots belong",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "Head L7.H3 matters, and so do L7.mlp and L7.mlp.n512.",
        "Layer 7 and head 3; layers 0-5, layers 0–5, heads 3, 4 and 7; layers 0-1, 11, 20 and 23-24.",
        "GPT-2, SmolLM2-135M-Instruct, Qwen/Qwen3-0.6B, Llama-3.2-1B, gpt2 in fp32.",
        "E12 in R3 tests H2, see N3.",
        "1. first\n2. second",
        'The prompt `2 + 3 =`, or "2 + 3 = 5", and the answer “ 7”.',
        "    2 + 3 = 5\n",
        "```\n2 + 3 =\n```",
        "## 1.2 Results\n\nSums of two-digit numbers.",
        "As was found in 2024, and in the 1990s.",
        "All 95% intervals; see Figure 2 and Table 1.",
        "See [the paper](https://arxiv.org/abs/2310.14491), arXiv:2310.14491.",
        "It falls by {{E2.accuracy_drop}} over {{E2.n}} prompts.",
        "| layer | drop |\n|---|---|\n| layer 7 | {{E2.accuracy_drop}} |",
    ],
)
def test_names_lists_years_and_quotes_may_hold_numerals(reader: Reader, sentence: str) -> None:
    assert check(sentence, reader, 1) == []


@pytest.mark.parametrize(
    ("sentence", "numeral"),
    [
        ("Accuracy fell by 0.31.", "0.31"),
        ("It fell by 31%.", "31%"),
        ("It fell by 31 %.", "31 %"),
        ("n=32", "32"),
        ("over 1,319 prompts", "1,319"),
        ("p<.05", ".05"),
        ("a drop-0.31", "-0.31"),
        ("0.**31**", "0.31"),
        ("&#48;.31", "0.31"),
        ("0\\.31", "0.31"),
        ("in layer 7 by 0.4", "0.4"),
        ("layers 0.5", "0.5"),
        ("head 3 loses 12 answers", "12"),
        ("about ½ of them", "½"),
        ("٣٢ prompts", "٣٢"),
        ("[0.31](https://example.org)", "0.31"),
        ("## 0.31 lost", "0.31"),
        ("| a |\n|---|\n| 1.5 |", "1.5"),
        ("It is {{E2.n}}0", "0"),
        ("> quoted 7 times", "7"),
        ("`0.31`", "0.31"),
        ('as "0.31" says', "0.31"),
        ("```\n0.31\n```", "0.31"),
        ("    0.31", "0.31"),
        ("`2 + 3 = 9`", "2"),
    ],
)
def test_a_typed_number_is_refused_with_the_rule(reader: Reader, sentence: str, numeral: str) -> None:
    (fault,) = check(sentence, reader, 1)
    assert f'"{numeral}"' in fault
    assert "come from slots" in fault


def test_a_typed_number_is_found_by_its_line(reader: Reader) -> None:
    (fault,) = check("# Title\n\nfirst\nsecond 0.5\n\n- an item of 12\n", reader, 1)
    assert 'line 4: "0.5"' in fault
    assert 'line 6: "12"' in fault


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.3125, "0.312"), (0.31, "0.31"), (-0.0, "0"), (-0.5, "−0.5"), (1e-4, "1e-4"), (-2.5e-7, "−2.5e-7"),
        (0.9999, "1"), (12345.6, "12,346"), (1319, "1,319"), (3e6, "3e6"), (45.25, "45.2"),
    ],
)  # fmt: skip
def test_numbers_have_three_significant_digits(x: float, text: str) -> None:
    assert number(x) == text


@given(st.floats(-1e300, 1e300))
def test_a_shown_number_is_close_to_the_number(x: float) -> None:
    shown = float(number(x).replace("−", "-").replace(",", ""))
    assert math.isclose(shown, x, rel_tol=0.0051, abs_tol=0) or shown == x


@given(st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3))
def test_an_interval_never_shows_a_negative_zero(values: list[float]) -> None:
    low, value, high = sorted(values)
    assert not re.search(r"−0(\.0*)?(?![\d.e])", value_text({"value": value, "low": low, "high": high}))


def test_the_program_adds_what_the_writer_might_leave_out(report: Report) -> None:
    for page in (report.html, report.markdown):
        for words in (
            "No language model was used",
            "E3",
            "There is no layer 99.",
            "agent replay E2",
            "agent replay R1",
        ):
            assert words in page
        assert "12 times" in page
        assert "q allows for the comparisons within one experiment" in page
        assert "Its effect is below 0.1." in page
        assert "Nothing was tested on the confirm split" in page
        assert "that the model was trained on" in page
    assert "agent replay E3" not in report.html
    assert re.search(r"repeats <a href=\"#E2\">E2</a>", report.html)
    assert report.title == "How SmolLM2 adds"


def test_what_was_refuted_stands_first(report: Report) -> None:
    assert report.html.index('id="H2"') < report.html.index('id="H1"')
    assert report.markdown.index("**H2, refuted.**") < report.markdown.index("**H1, supported.**")


def test_without_text_there_is_still_a_report(reader: Reader) -> None:
    report = render("", reader, 1)
    assert report.title == "Which heads add?"
    assert "E2-heads" in report.figures
    assert 'id="E5"' in report.html


def test_a_language_model_is_named(tmp_path: Path) -> None:
    with Reader.open(study(tmp_path / "t.db", driver="chat")) as reader:
        html = render("", reader, 1).html
    assert "gpt-9, through the chat driver" in html
    assert "No language model" not in html


class Page(HTMLParser):
    """The tags, addresses and ids of a page; it fails on a tag that is closed out of turn."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.ids += [value for value in [values.get("id")] if value]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        if tag == "a":
            assert self.open.count("a") == 1, "a link inside a link"
            self.links.append(values)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(report: Report) -> None:
    page = Page(report.html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert report.html.count("<script") == 1
    (script,) = re.findall(r"<script>(.*?)</script>", report.html, re.DOTALL)
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{hashed}&#39;;" in report.html, "nothing else may run"
    for address in page.addresses:
        assert address.startswith(("#", "data:image/png"))
        assert not address.startswith("#") or address[1:] in page.ids
    assert not re.search(r"@import|url\((?!#)", report.html)


def test_tables_sort_by_what_was_measured_and_cells_say_their_number(report: Report, reader: Reader) -> None:
    effects = reader.experiment(5)["effects"]
    table = report.html[report.html.index('data-of="E5"', report.html.index('<section class="experiment" id="E5"')) :]
    sorted_by = re.findall(
        r'<tr data-site="([^"]+)"><td>[^<]*</td><td class="num" data-sort="([^"]+)"', table[: table.index("</table>")]
    )
    assert {(site, float(value)) for site, value in sorted_by} <= {(e["site"], e["value"]) for e in effects}
    assert len(sorted_by) > 1
    told = json.loads(html.unescape(re.findall(r'data-tips="([^"]+)"', report.html)[0]).replace(NBSP, " "))
    said = ["0.1 nats, n = 32", "not measured", "−0.3 nats, n = 32", "0.2 nats, n = 32"]
    assert [tuple(mark[:2]) for mark in told] == list(zip(["L0.H0", "L0.H1", "L1.H0", "L1.H1"], said, strict=True))


def test_each_number_links_to_its_experiment_and_tells_its_interval(report: Report) -> None:
    values = [link for link in Page(report.html).links if link.get("class") == "value"]
    assert [link["href"] for link in values] == ["#E1", "#E2", "#E2", "#H1"]
    assert values[2]["title"] == (
        "E2, effect of L7.H3 on answer_loss; 95% interval 0.22 to 0.4; n = 32; p = 1e-4; q = 2e-4"
    )


def test_a_figure_is_shown_once_and_pointed_to_after(reader: Reader) -> None:
    report = render("{{E2.figure}}\n\n{{E2.figure[heads]}}\n\n{{E2.figure[failures]}}", reader, 1)
    assert report.html.count("<figure ") == 4  # two of E2 in the text, two of E5 after it
    assert report.html.count('See <a href="#figure-1">') == 2
    assert report.markdown.count("](figures/E2-heads.svg)") == 1


def test_slots_are_filled_wherever_they_may_stand(reader: Reader) -> None:
    source = (
        "# {{E2.top}} *adds*\n\n## About {{E2.top}}\n\n- `{{E2.n}}` and **{{E2.n}}**\n- [see {{E2.n}}](https://example.org)"
        "\n\n> text:\n{{E2.table}}\n\n```\n{{E2.top}}\n```\n\n| a |\n|---|\n| {{E2.top}} |\n"
    )
    report = render(source, reader, 1)
    assert report.title == "L0.H1 adds"
    assert Page(report.html).open == []
    assert 'About <a class="value" href="#E2"' in report.html
    assert "<h3>About" in report.html
    assert "{{" not in report.html + report.markdown
    assert "# L0.H1 *adds*" in report.markdown
    assert "### About L0.H1" in report.markdown
    assert "| L0.H1 |" in report.markdown


def test_what_is_in_the_tracker_has_no_force(tmp_path: Path) -> None:
    bad = "</code><script>alert(1)</script>\n| x | `y` **z** ![i](http://x) \x1b[2J \u202e {{E1.n}} & <b>"
    with Reader.open(study(tmp_path / "t.db", goal=bad, say=bad)) as reader:
        report = render("", reader, 1)
    assert report.html.count("<script") == 1
    assert "http://x" not in Page(report.html).addresses
    for page in (report.html, report.markdown):
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "␛[2J" in page.replace("\\", "")
    (row,) = [line for line in report.markdown.split("\n") if line.startswith("| `2 + 3 =`") and "alert" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 6


TEXT = st.text(
    st.one_of(st.sampled_from("<>&\"'`|*_[]()!#-\\{}\n\t\r\x00\x1b\u2028\u202e\ud800$~"), st.characters()), max_size=60
)


@settings(max_examples=15, deadline=None)
@given(goal=TEXT, say=TEXT)
def test_no_text_of_a_subject_becomes_markup(tmp_path_factory: pytest.TempPathFactory, goal: str, say: str) -> None:
    say = f"<script>{say}"
    with Reader.open(study(tmp_path_factory.mktemp("subject") / "t.db", goal=goal, say=say)) as reader:
        report = render("", reader, 1)
    assert report.html.lower().count("<script") == 1
    assert Page(report.html).open == []
    assert all(address.startswith(("#", "data:image/png")) for address in Page(report.html).addresses)


SLOTS = ["{{E2.n}}", "{{E2.top}}", "{{E2.table}}", "{{E2.figure}}", "{{H1.status}}", "{{E3.n}}", "{{", "}}"]
MARKUP = [
    "`",
    "```\n",
    "\n",
    "\n\n",
    "> ",
    "- ",
    "| a |\n|---|\n| ",
    "[",
    "](",
    ")",
    "*",
    "# ",
    "\\",
    "&#123;",
    "<b>",
    ">",
    '"',
    "<!--",
    "![",
    "~~~\n",
]
PIECES = st.lists(st.sampled_from([*SLOTS, *MARKUP, " ", "word", "    ", ":"]), max_size=12)


@settings(max_examples=150, deadline=None)
@given(pieces=PIECES)
@example(pieces=["{{E2.n}}", "```\n", "{{E2.n}}", "```\n", "- "])  # a slot in code in a heading
def test_a_page_never_holds_an_unfilled_slot(reader: Reader, pieces: list[str]) -> None:
    source = "".join(pieces)
    if check(source, reader, 1):
        if not all_faults(source, read_study(reader, 1)):
            return
        with pytest.raises(SlotError):
            render(source, reader, 1)
    else:
        report = render(source, reader, 1)
        assert "{{" not in report.html + report.markdown
        assert Page(report.html).open == []
        assert sections(report.markdown) == sections(render("", reader, 1).markdown)


def sections(markdown: str) -> list[str]:
    """The headings that a viewer of Markdown shows, which takes HTML; there must be none, and no picture from afar."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    inline = [part for token in tokens for part in token.children or ()]
    assert not [one.content for one in (*tokens, *inline) if one.type in ("html_block", "html_inline")]
    assert all(str(one.attrs["src"]).startswith("figures/") for one in inline if one.type == "image")
    return [tokens[i + 1].content for i, one in enumerate(tokens) if one.type == "heading_open" and one.tag == "h2"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("So.\n\n<!-- hidden", "is HTML"), ("a <b>word</b>", "is HTML"), ("<details>\n\nhidden", "is HTML"),
        ("![x](http://a.b/c.png)", "Pictures are not"), ("![x][y]\n\n[y]: http://a.b", "Pictures are not"),
        ("```\nopen", "not closed"), ("~~~", "not closed"), ("````\n```", "not closed"),
        ("a\n```x\n```y", "not closed"),
    ],
)  # fmt: skip
def test_what_would_have_force_in_a_viewer_is_sent_back(reader: Reader, text: str, says: str) -> None:
    assert any(says in fault for fault in check(text, reader, 1))
    assert any(says in fault for fault in check("", reader, 1, [Claim(sentence=text, conditions=("E2.n > 1",))]))


def test_the_same_study_gives_the_same_files(reader: Reader, report: Report, tmp_path: Path) -> None:
    paths = write(report, tmp_path / "a")
    again = write(render(SOURCE, reader, 1), tmp_path / "b")
    assert [p.relative_to(tmp_path / "a").as_posix() for p in paths] == [
        "figures/E2-heads.svg", "figures/E2-failures.svg", "figures/E5-heads.svg", "figures/E5-failures.svg",
        "report.md", "report.html",
    ]  # fmt: skip
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    for stem in re.findall(r"\]\((figures/[^)]+)\)", report.markdown):
        assert (tmp_path / "a" / stem).is_file()


def test_a_figure_that_cannot_be_drawn_is_said_not_hidden(tmp_path: Path) -> None:
    path = study(tmp_path / "t.db")
    broken = Figure(name="../x y", kind="layer_bars", title="t", unit="", n=1, data={"labels": ["a"], "values": [1, 2]})
    with Store.open(path) as store:
        add(store, 1, "layer_program", Result(figures=(broken,)))
    with Reader.open(path) as reader:
        report = render("{{E7.figure}}", reader, 1)
    assert "cannot be drawn" in report.html
    assert "cannot be drawn" in report.markdown
    assert not any(stem.startswith("E7") for stem in report.figures)


def test_what_another_run_has_is_named_with_its_run_and_is_no_link(tmp_path: Path) -> None:
    """H2 of R2 revises H1, which is R1's, and its test is another run's, too."""
    with Store.open(recorded(tmp_path / "lashley.db")) as store:
        by_hand = store.begin_experiment(run=None, **EXPERIMENT)
        store.set_hypothesis_status(2, "inconclusive", "By hand.", [by_hand])
    with Reader.open(tmp_path / "lashley.db") as reader:
        assert reader.hypothesis(2)["revises"] == "H1"
        report = render("# Heads\n\nNothing.", reader, 2)
    page = Page(report.html)
    assert "<dd>H1 (of R1)</dd>" in report.html
    assert f"By hand. (E{by_hand} (by hand))" in report.html
    assert "- Revises: H1 (of R1)" in report.markdown
    assert f"By hand. (E{by_hand} (by hand))" in report.markdown
    assert {one for one in page.addresses if one.startswith("#")} <= {f"#{one}" for one in page.ids}
