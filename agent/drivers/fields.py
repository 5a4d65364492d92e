"""Read the fields of a server's answer, which may be missing or of any type."""

from __future__ import annotations

from typing import Any, cast


def a_dict(value: object) -> dict[str, Any]:
    """The value if it is a JSON object, otherwise an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def dicts(value: object) -> list[dict[str, Any]]:
    return (
        [cast(dict[str, Any], one) for one in cast(list[object], value) if isinstance(one, dict)]
        if isinstance(value, list)
        else []
    )


def tokens(usage: object, name: str) -> int | None:
    """A count from `usage`; None if the server leaves it out."""
    count = a_dict(usage).get(name)
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def cached(usage: object, name: str, which: str = "cached_tokens") -> int | None:
    """How many of the tokens in `name` came from the server's cache (or went into it); None if it does not say."""
    count = tokens(a_dict(usage).get(f"{name}_details"), which)
    total = tokens(usage, name)
    # A part cannot exceed the whole: this server counts something else.
    return None if count is None or total is None or count > total else count
