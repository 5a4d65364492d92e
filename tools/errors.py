"""What a tool call can be refused for. The text goes back to whoever called, and says what to do."""

from __future__ import annotations


class ToolError(Exception):
    """The call was understood and cannot be done as asked."""
