"""Fill the templates: every text is escaped, control characters are made visible, and ids become links."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from ...db.errors import NoSuchId
from ...db.ids import parse_id
from ...db.read.reader import Reader
from ...db.records import Judgement
from ...tools.report.numbers import p_number, true_minus
from ...tools.report.plain_text import minute, printable, since
from ...tools.report.shown import Shown, measured

_HERE = Path(__file__).parent
_REPORT = _HERE.parent.parent / "tools" / "report"
# An id in a sentence; the H3 of L7.H3 is a head.
_ID = re.compile(r"(?<![\w.#/-])([RENHC][0-9]{1,18})(?!\w)")
_KINDS = {"style.css": "text/css; charset=utf-8", "script.js": "text/javascript; charset=utf-8"}


def fill(template: str, rows: Shown, reader: Reader | None) -> str:
    """The page. With a reader, ids that exist in its tracker become links."""
    there = _known(reader) if reader else _nothing
    return environment().get_template(template).render({"db": reader.path.name if reader else "", **rows}, there=there)


def asset(name: str) -> tuple[str, str]:
    """The text of style.css or script.js, starting with the report's own, and its media type."""
    report = _REPORT / {"style.css": "report.css", "script.js": "page.js"}[name]
    return report.read_text(encoding="utf-8") + (_HERE / name).read_text(encoding="utf-8"), _KINDS[name]


@cache
def environment() -> Environment:
    loader = FileSystemLoader(_HERE / "templates")
    made = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown
    )
    filters: dict[str, Callable[..., Any]] = {
        "linked": linked, "minute": minute, "minus": true_minus, "link": link, "since": since,
        "measured": judged_number, "p": p_number,
    }  # fmt: skip
    made.filters.update(filters)  # pyright: ignore[reportUnknownMemberType]
    return made


def shown(value: Any) -> Any:
    """Text with control characters made visible; markup as it is; None as nothing."""
    if value is None:
        return ""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@pass_context
def linked(context: Context, text: str | None) -> Markup:
    """The text with a link for every id that the tracker has."""
    there = context["there"]
    said = str(escape(printable(text or "")))
    return Markup(_ID.sub(lambda m: str(link(m[1])) if there(m[1]) else m[0], said))


def judged_number(row: Judgement) -> dict[str, str]:
    """The measured number of a prediction's test, as it is shown."""
    return measured(row, "")


def link(id: str) -> Markup:
    return Markup('<a href="/{0}">{0}</a>').format(id)


def _nothing(id: str) -> bool:
    return False


def _known(reader: Reader) -> Callable[[str], bool]:
    @cache
    def there(id: str) -> bool:
        try:
            reader.require(*parse_id(id))
        except NoSuchId:
            return False
        return True

    return there
