"""The errors that are ours, in one tuple: each one's text is a line for a person."""

from __future__ import annotations

from ..db.errors import TrackerError
from ..experiments.errors import ExperimentError
from .errors import CannotWrite, ToolError

OURS = (TrackerError, ExperimentError, ToolError, CannotWrite)
