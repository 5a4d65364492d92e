"""Which models a call may name."""

from __future__ import annotations

from ..refusals import refused
from .context import Context


def allowed_model(context: Context, name: str | None) -> str:
    """The study's subject or a bundled model. A call may not name anything else: no path, no download."""
    from ...experiments.model.bundled import ALIASES
    from ...experiments.model.places import canonical

    if name is None or canonical(name) == canonical(context.model):
        return context.model
    if canonical(name) in ALIASES:
        return canonical(name)
    raise refused("other_model", model=context.model, bundled=", ".join(ALIASES), name=name)
