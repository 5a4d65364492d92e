"""The errors that refuse a tool call. The text goes back to the caller, and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class ToolError(Exception):
    """The call was understood, but cannot be done as asked. `code` tells a program why, and the text tells the caller;
    `refusals` holds ours."""

    code = "refused"

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.code = code or type(self).code


def wrong_fields(fault: ValidationError) -> ToolError:
    """An error that says in one line what is wrong with the fields."""
    from ..experiments.explain import explain

    return ToolError(" ".join(explain(fault).splitlines()))


def require_types(**given: tuple[Any, ...]) -> None:
    """Each argument with the types that it may have; None means not given. Raises ToolError for the first of another
    type, which Python would notice too late, or never."""
    for name, (value, *types) in given.items():
        if value is not None and (value is True or value is False or not isinstance(value, tuple(types))):
            wanted = " or ".join(said(one.__name__) for one in types)
            raise ToolError(f"{name} must be {wanted}, not {said(type(value).__name__)}.")


def said(type_name: str) -> str:
    """A type in words."""
    names = {"str": "a text", "int": "a whole number", "PathLike": "a path"}
    return names.get(type_name, f"{'an' if type_name[0] in 'aeiouAEIOU' else 'a'} {type_name}")


class CannotWrite(Exception):
    """The requested files cannot be written. `way_out` is the rest of the line: what is kept, and what to do."""

    code = "cannot_write"

    def __init__(self, target: Path, error: OSError, way_out: str) -> None:
        super().__init__(f"{target} cannot be written ({error.strerror or error}){way_out}")
