"""The JSON that a language model sends, as values that can always be stored and sent on."""

from __future__ import annotations

import json
from typing import Any, NoReturn, cast

from .refusals import refused


def json_object(text: str, what: str) -> dict[str, Any]:
    """The JSON object in the text. Raises ToolError, which names `what` the text is, when it is not one object, when it
    is nested too deeply, or when it contains NaN or a number of thousands of digits."""
    try:
        given: object = json.loads(text, parse_constant=_refuse)
        # JSON within JSON: some models write the object as a string.
        if isinstance(given, str) and given.lstrip().startswith("{"):
            given = json.loads(given, parse_constant=_refuse)
    except (ValueError, RecursionError) as fault:
        raise refused("not_json", what=what, fault=fault) from fault
    if not isinstance(given, dict):
        raise refused("not_an_object", what=what)
    # Half of a surrogate pair, which JSON can escape, cannot be stored or sent again.
    whole = json.dumps(given, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return cast(dict[str, Any], json.loads(whole))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is Python's, not JSON")
