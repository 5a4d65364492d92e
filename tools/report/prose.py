"""The writer's text: CommonMark with tables and slots, no raw HTML, no images.

A slot is part of the grammar here, not a replacement afterwards. So it is filled wherever it is allowed,
and no filled-in text can pass for markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from .escape import clipped, markdown_text, one_line
from .slots import Filled, Slot, parse, scan

Fill = Callable[[Slot], Filled]
Block = Callable[[Slot], str]


class _Renderer(RendererHTML):
    """markdown-it finds these methods by the names of the tokens; `env` holds `fill` and `block`."""

    def slot(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return value_html(env["fill"](tokens[idx].meta["slot"]), linked=not tokens[idx].meta["linked"])

    def slot_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return env["block"](tokens[idx].meta["slot"])

    def code_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<code>{_code_html(tokens[idx].content, env['fill'])}</code>"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<pre><code>{_code_html(tokens[idx].content, env['fill'])}</code></pre>\n"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return self.fence(tokens, idx, options, env)

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="wide"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"


@cache
def grammar() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer)
    markdown.enable(["table", "strikethrough"]).disable("image")
    markdown.block.ruler.before("table", "slot", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    markdown.inline.ruler.before("text", "slot", _inline)
    return markdown


def _slots(text: str) -> list[Slot]:
    return [slot for slot in scan(text) if isinstance(slot, Slot)]


def _inline(state: StateInline, silent: bool) -> bool:
    if not state.src.startswith("{{", state.pos):
        return False
    found = next(scan(state.src[state.pos :]), None)
    if not isinstance(found, Slot) or state.pos + found.end > state.posMax:
        return False
    if not silent:
        state.push("slot", "", 0).meta = {"slot": found, "linked": state.linkLevel > 0}
    state.pos += found.end
    return True


def _block(state: StateBlock, line: int, last: int, silent: bool) -> bool:
    """A line that holds only a slot of a table or a figure."""
    if state.is_code_block(line):
        return False
    text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()
    found = next(scan(text), None) if text.startswith("{{") else None
    if not isinstance(found, Slot) or not found.block or found.text != text:
        return False
    if not silent:
        state.line = line + 1
        token = state.push("slot_block", "", 0)
        token.map, token.meta = [line, line + 1], {"slot": found}
    return True


def leaves(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.children:
            yield from leaves(token.children)
        else:
            yield token


def _places(source: str) -> list[tuple[Slot, str]]:
    """Each slot that will be filled, and its place: block, text or code."""
    places: list[tuple[Slot, str]] = []
    for token in leaves(grammar().parse(source)):
        if token.type in ("slot", "slot_block"):
            places.append((token.meta["slot"], "block" if token.type == "slot_block" else "text"))
        elif token.type in ("code_inline", "fence", "code_block"):
            places += [(slot, "code") for slot in _slots(token.content)]
    return places


def misplaced(source: str) -> list[str]:
    """Slots in places where nothing can be filled in."""
    places, faults = _places(source), list[str]()
    reached = [slot.text for slot, _ in places]
    for slot in _slots(source):
        if slot.text not in reached:
            faults.append(f"{slot.text} cannot be filled in an address or after a backslash; move it.")
        else:
            reached.remove(slot.text)
    for slot, place in places:
        if slot.block and place != "block":
            faults.append(f"{slot.text} is a {slot.field}; put it alone on a line.")
    for token in leaves(grammar().parse(source)):
        shown = [token.content if token.type == "text" else "", *map(str, token.attrs.values())]
        if not faults and any("{{" in one for one in shown):
            faults.append("'{{' written with entities or backslashes looks like an unfilled slot; leave it out.")
    return faults


@cache
def _viewers() -> MarkdownIt:
    """How other programs read the same text: they accept HTML and images."""
    return MarkdownIt("commonmark", {"html": True}).enable("table")


def unwanted(source: str) -> list[str]:
    """What other programs would act on in report.md: HTML, images, and a code block without an end."""
    faults, tokens = list[str](), _viewers().parse(source.rstrip("\n") + "\n")
    parts = [part for token in tokens for part in token.children or ()]
    for token in (*tokens, *parts):
        if token.type in ("html_inline", "html_block"):
            shown = clipped(one_line(token.content), 40)
            faults.append(f"{shown} is HTML, which is not allowed; put it in backquotes, or leave it out.")
        elif token.type == "image":
            faults.append("Images are not allowed; write {{E5.figure}} to show a figure.")
    for token in tokens:
        if token.type != "fence" or token.map is None:
            continue
        # A closed block has two lines more than its content. An apparent end may be indented too far to count.
        if token.map[1] - token.map[0] < token.content.count("\n") + 2:
            faults.append(f"A code block that {token.markup} opens is not closed; close it.")
    return list(dict.fromkeys(faults))


def split_title(source: str) -> tuple[str, str]:
    """The text of a level-one heading at the very beginning, or "", and what follows it."""
    tokens = grammar().parse(source)
    if len(tokens) < 2 or tokens[0].type != "heading_open" or tokens[0].tag != "h1" or tokens[0].map is None:
        return "", source
    return tokens[1].content, "\n".join(source.split("\n")[tokens[0].map[1] :])


def plain(source: str, fill: Fill) -> str:
    """Inline Markdown as bare text, for a page's title."""
    parts: list[str] = []
    for token in leaves(grammar().parseInline(source)):
        if token.type == "slot":
            parts.append(fill(token.meta["slot"]).text)
        else:
            parts.append(_code_text(token.content, fill) or " ")
    return one_line("".join(parts))


def to_html(source: str, fill: Fill, block: Block) -> Markup:
    """The text as HTML. `block` gives the HTML of a table or a figure."""
    tokens = grammar().parse(source)
    for token in tokens:
        if token.type in ("heading_open", "heading_close") and token.tag in ("h1", "h2"):
            # The page has one title and the program's sections; the writer's sections are below one of these.
            token.tag = "h3"
    return Markup(grammar().renderer.render(tokens, grammar().options, {"fill": fill, "block": block}))


def inline_html(source: str, fill: Fill) -> Markup:
    """One line of the text as HTML."""
    return Markup(grammar().renderInline(source, {"fill": fill}))


def _code_text(code: str, fill: Fill) -> str:
    """The text with its slots filled; text that is not code has no slots left."""
    parts, at = list[str](), 0
    for slot in _slots(code):
        parts += [code[at : slot.start], fill(slot).text]
        at = slot.end
    return "".join((*parts, code[at:]))


def _code_html(code: str, fill: Fill) -> str:
    parts, at = list[str](), 0
    for slot in _slots(code):
        parts += [escape(code[at : slot.start]), value_html(fill(slot))]
        at = slot.end
    return "".join((*parts, escape(code[at:])))


def value_html(value: Filled, *, linked: bool = True) -> str:
    """A filled slot as a link to its experiment; the tip gives the interval and n."""
    main, rest = escape(value.main), escape(value.rest)
    body = f'{main}<span class="rest">{rest}</span>' if value.rest else str(main)
    about = f'title="{escape(value.tip)}"'
    return f'<a class="value" href="#{value.of}" {about}>{body}</a>' if linked else f"<span {about}>{body}</span>"


def to_markdown(source: str, fill: Fill, block: Block) -> str:
    """The text as Markdown with its slots filled; the filled-in text is escaped."""
    parts, at = list[str](), 0
    for slot, (_, place) in zip(parse(source), _places(source), strict=True):
        parts.append(source[at : slot.start])
        at = slot.end
        if place == "block":
            parts.append(f"\n\n{block(slot).strip()}\n\n")
        elif place == "code":
            parts.append(one_line(fill(slot).text).replace("`", "ˋ"))
        else:
            parts.append(markdown_text(fill(slot).main) + fill(slot).rest)
    # Indented text at the beginning is code; without its indent it could be HTML.
    return re.sub(r"\A(?:[^\S\n]*\n)+", "", "".join((*parts, source[at:]))).rstrip()


def demoted(source: str) -> str:
    """The text with its headings of level one and two on level three, as `to_html` has them."""
    lines = source.split("\n")
    for token in grammar().parse(source):
        if token.type == "heading_open" and token.tag in ("h1", "h2") and token.map is not None:
            first, last = token.map
            if token.markup.startswith("#"):
                lines[first] = lines[first].replace(token.markup, "###", 1)
            else:  # underlined
                lines[first : last - 1] = [f"### {' '.join(line.strip() for line in lines[first : last - 1])}"]
                lines[first + 1 : last] = [""] * (last - first - 1)
    return "\n".join(lines)


def spaced(page: str) -> str:
    """Markdown with at most one empty line between blocks; fenced code stays unchanged."""
    lines, kept, fence = page.split("\n"), list[str](), ""
    for line in lines:
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if mark and not fence:
            fence = mark[1]
        elif fence and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        if line.strip() or fence or (kept and kept[-1].strip()):
            kept.append(line if fence or line.endswith("  ") else line.rstrip())
    return "\n".join(kept).strip() + "\n"
