"""Which models a call may name."""

from __future__ import annotations

from .context import Context
from .refusals import refused


def allowed_model(context: Context, name: str | None) -> str:
    """The study's subject or a bundled one. A call may not load what it names: no path, no download."""
    from ..experiments.bundled import ALIASES
    from ..experiments.subject import canonical

    if name is None or canonical(name) == canonical(context.model):
        return context.model
    if canonical(name) in ALIASES:
        return canonical(name)
    raise refused("other_model", model=context.model, bundled=", ".join(ALIASES), name=name)
