"""What a tool call can be refused for. The text goes back to whoever called, and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class ToolError(Exception):
    """The call was understood and cannot be done as asked. `code` says why to a program, the text to whoever called;
    ours stand in `refusals`."""

    code = "refused"

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.code = code or type(self).code


def wrong_fields(fault: ValidationError) -> ToolError:
    """What is wrong with the fields of something, on one line."""
    from ..experiments.explain import explain

    return ToolError(" ".join(explain(fault).splitlines()))


def require_types(**given: tuple[Any, ...]) -> None:
    """Each argument with the types that it may have; None is what was not given. Raises ToolError for the first that
    has another, where Python would find out too late, or not at all."""
    for name, (value, *types) in given.items():
        if value is not None and (value is True or value is False or not isinstance(value, tuple(types))):
            wanted = " or ".join(said(one.__name__) for one in types)
            raise ToolError(f"{name} must be {wanted}, and is {said(type(value).__name__)}.")


def said(type_name: str) -> str:
    """A type in words."""
    names = {"str": "a text", "int": "a whole number", "PathLike": "a path"}
    return names.get(type_name, f"{'an' if type_name[0] in 'aeiouAEIOU' else 'a'} {type_name}")


class CannotWrite(Exception):
    """Files that were asked for cannot be written. `way_out` is the rest of the line: what is kept, and what to do."""

    code = "cannot_write"

    def __init__(self, target: Path, error: OSError, way_out: str) -> None:
        super().__init__(f"{target} cannot be written ({error.strerror or error}){way_out}")
