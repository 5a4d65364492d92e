"""Reports: what the program adds, and what a page may never contain."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lashley.db.read.reader import Reader
from lashley.db.write.store import Store
from lashley.experiments.result import Figure, Measurement, Result
from lashley.tools.report.numbers import NBSP
from lashley.tools.report.render import Report, render, write

from .recorded import EXPERIMENT, recorded
from .reported import SOURCE, Page, add, study


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
            "The study covers only",
            "but not what it does",
        ):
            assert words in page
    assert report.html.index('id="interpretation"') < report.html.index('id="words"') < report.html.index('id="method"')


def test_the_program_adds_what_the_writer_might_leave_out(report: Report) -> None:
    for page in (report.html, report.markdown):
        for words in (
            "No language model led this study",
            "E3",
            "There is no layer 99.",
            "agent replay E2",
            "agent replay R1",
        ):
            assert words in page
        assert "12 times" in page
        assert "q corrects for the comparisons within one experiment" in page
        assert "Its effect is below 0.1." in page
        assert "Nothing was tested on the confirm split" in page
        assert "that the model was trained on" in page
    assert "agent replay E3" not in report.html
    assert re.search(r"repeats <a href=\"#E2\">E2</a>", report.html)
    assert report.title == "Which heads add?"


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
    effects = reader.experiment(5).effects
    table = report.html[report.html.index('data-of="E5"', report.html.index('<section class="experiment" id="E5"')) :]
    sorted_by = re.findall(
        r'<tr data-site="([^"]+)"><td>[^<]*</td><td class="num" data-sort="([^"]+)"', table[: table.index("</table>")]
    )
    assert {(site, float(value)) for site, value in sorted_by} <= {(e.site, e.value) for e in effects}
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
        assert reader.hypothesis(2).revises == "H1"
        report = render("# Heads\n\nNothing.", reader, 2)
    page = Page(report.html)
    assert "<dd>H1 (of R1)</dd>" in report.html
    assert f"By hand. (E{by_hand} (by hand))" in report.html
    assert "- Revises: H1 (of R1)" in report.markdown
    assert f"By hand. (E{by_hand} (by hand))" in report.markdown
    assert {one for one in page.addresses if one.startswith("#")} <= {f"#{one}" for one in page.ids}
