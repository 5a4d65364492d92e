"""What a tool call can be refused for. The text goes back to whoever called, and says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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


class CannotWrite(Exception):
    """Files that were asked for cannot be written. `way_out` is the rest of the line: what is kept, and what to do."""

    code = "cannot_write"

    def __init__(self, target: Path, error: OSError, way_out: str) -> None:
        super().__init__(f"{target} cannot be written ({error.strerror or error}){way_out}")
