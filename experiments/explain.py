"""Explain faults in a configuration's fields or a call's arguments, and what to do."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection

from pydantic import ValidationError

# Pydantic's paths also name the variant of a union that it tried, which nobody wrote.
VARIANT = re.compile(
    r"(int|str|float|bool|none|bytes)$|(list|set|tuple|dict|literal|function|constrained|nullable)\b.*[\[-]"
)
MAX_COMPLAINTS = 8
# What Pydantic says before our own words.
VALUE_ERROR = "Value error, "


def explain(error: ValidationError, known: Collection[str] = ()) -> str:
    """The faults of a call's arguments, one line per field: where, what, what is allowed, what was sent. For an unknown
    field, the nearest of the `known` ones, or all of them."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for detail in error.errors(include_url=False, include_context=False):
        what, sent = _complaint(detail["type"], detail["msg"], detail["input"])
        if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
            near = difflib.get_close_matches(str(detail["loc"][0]), known, n=1)
            what += f", or use {', '.join(near or known)}" if known else ""
        wrong.setdefault((_place(detail["loc"]), sent), []).append(what)
    lines = [f"{place}: {', or '.join(dict.fromkeys(whats))}{sent}." for (place, sent), whats in wrong.items()]
    rest = [f"and {len(lines) - MAX_COMPLAINTS} more."] if len(lines) > MAX_COMPLAINTS else []
    return "\n".join([*lines[:MAX_COMPLAINTS], *rest])


def _place(loc: tuple[int | str, ...]) -> str:
    where = ""
    for part in loc:
        if isinstance(part, int):
            where += f"[{part}]"
        elif not VARIANT.match(part):
            where += f".{part}" if where else part
    return where or "arguments"


def _complaint(kind: str, message: str, value: object) -> tuple[str, str]:
    """What is wrong, and what was sent as far as that helps."""
    if kind == "missing":
        return "is required and missing", ""
    if kind == "extra_forbidden":
        return "there is no such field; leave it out", ""
    text = re.sub(rf"^({VALUE_ERROR}|Assertion failed, |Input )", "", message).rstrip(".")
    # Half of a surrogate pair, which JSON can escape, could not be sent back.
    shown = json.dumps(value, ensure_ascii=False, default=repr).encode("utf-8", "replace").decode()
    return text, f"; you sent {shown if len(shown) <= 80 else shown[:80] + '…'}"
