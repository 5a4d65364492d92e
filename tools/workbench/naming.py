"""Which models a call may name."""

from __future__ import annotations

from ..errors import ToolError
from .context import Context


def allowed_model(context: Context, name: str | None) -> str:
    """The study's subject or a bundled one. A call may not load what it names: no path, no download."""
    from ...experiments.model.bundled import ALIASES
    from ...experiments.model.places import canonical

    if name is None or canonical(name) == canonical(context.model):
        return context.model
    if canonical(name) in ALIASES:
        return canonical(name)
    raise ToolError(
        f"An experiment runs on the subject of this study ({context.model}) or on a bundled one "
        f"({', '.join(ALIASES)}), not on '{name}'. Leave model null."
    )
