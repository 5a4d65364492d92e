"""What slots become, which are refused, and which numbers a writer may type."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lashley.db.read.reader import Reader
from lashley.tools.report.check import all_faults, check
from lashley.tools.report.claims import Claim
from lashley.tools.report.numbers import NBSP
from lashley.tools.report.render import render
from lashley.tools.report.slots import SlotError, fill, parse
from lashley.tools.report.study import read_study

from .reported import Page


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
        ("{{E6.found}}", ("E6 is not an experiment of R1", "E1, E2, E5")),
        ("{{E99.n}}", ("E99 is not an experiment of R1",)),
        ("{{H7.status}}", ("H7 is not a hypothesis of R1", "H1, H2")),
        ("{{H1.verdicts}}", ("H1.verdict, H1.status and H1.statement",)),
        ("{{E2}}", ("is not a slot", "Slots look like")),
        ("{{accuracy}}", ("is not a slot",)),
        ("{{}}", ("is not a slot",)),
        ("text {{E2.n", ("line 1", "not closed")),
        ("ok\n\n{{E2.n\n}}", ("line 3", "not closed")),
        ("See {{E2.table}} here.", ("alone on a line",)),
        ("`{{E2.figure}}`", ("alone on a line",)),
        ("[x](https://example.org/{{E2.n}})", ("cannot be filled in an address",)),
        ("\\{{E2.n}}", ("cannot be filled in an address",)),
        ("&#123;&#123;E2.n}}", ("with entities or backslashes",)),
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
        "Replace typed numbers with slots",
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
    assert "Write numbers as slots" in fault


def test_a_typed_number_is_found_by_its_line(reader: Reader) -> None:
    (fault,) = check("# Title\n\nfirst\nsecond 0.5\n\n- an item of 12\n", reader, 1)
    assert 'line 4: "0.5"' in fault
    assert 'line 6: "12"' in fault


def test_slots_are_filled_wherever_they_may_stand(reader: Reader) -> None:
    source = (
        "# {{E2.top}} *adds*\n\n## About {{E2.top}}\n\n- `{{E2.n}}` and **{{E2.n}}**\n- [see {{E2.n}}](https://example.org)"
        "\n\n> text:\n{{E2.table}}\n\n```\n{{E2.top}}\n```\n\n| a |\n|---|\n| {{E2.top}} |\n"
    )
    report = render(source, reader, 1)
    assert report.title == "Which heads add?"
    assert Page(report.html).open == []
    assert 'About <a class="value" href="#E2"' in report.html
    assert "<h3>About" in report.html
    assert "{{" not in report.html + report.markdown
    assert "**L0.H1 *adds***" in report.markdown
    assert "### About L0.H1" in report.markdown
    assert "| L0.H1 |" in report.markdown


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
@example(pieces=["    ", "<b>"])  # in code
@example(pieces=["{{E2.n}}", "```\n", "{{E2.n}}", "```\n", "- "])  # a slot in code in a heading
@example(pieces=["```\n", "    ", "```\n"])  # no end of a code block, but four blanks and more of it
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
        ("![x](http://a.b/c.png)", "Images are not"), ("![x][y]\n\n[y]: http://a.b", "Images are not"),
        ("```\nopen", "not closed"), ("~~~", "not closed"), ("````\n```", "not closed"),
        ("a\n```x\n```y", "not closed"),
    ],
)  # fmt: skip
def test_what_would_have_force_in_a_viewer_is_sent_back(reader: Reader, text: str, says: str) -> None:
    assert any(says in fault for fault in check(text, reader, 1))
    assert any(says in fault for fault in check("", reader, 1, [Claim(sentence=text, conditions=("E2.n > 1",))]))


def test_what_is_code_in_a_text_is_none_in_a_sentence(reader: Reader) -> None:
    """A claim is shown on a line of its own, without the blanks before it."""
    assert check("    <b>", reader, 1) == []
    assert any("is HTML" in one for one in check("", reader, 1, [Claim(sentence="    <b>", conditions=("E2.n > 1",))]))
