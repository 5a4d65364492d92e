"""Our own errors, in one tuple: the text of each is one line for a person."""

from __future__ import annotations

from ..db.errors import TrackerError
from ..experiments.errors import ExperimentError
from .errors import CannotWrite, ToolError

OURS = (TrackerError, ExperimentError, ToolError, CannotWrite)
