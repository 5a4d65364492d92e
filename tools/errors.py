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
    """A report's files cannot be written; those that were there are as they were."""

    code = "cannot_write"

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"{folder} cannot be written ({error.strerror or error}); nothing in it was changed. "
            f"The study is kept: make room or name another folder: agent report {folder.name} --to FOLDER"
        )
