"""The types of claims by name: ours, one file each, then those of installed packages.

A package adds one by an entry point of the group `lashley.claims` that names the class.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TypeGuard

from ...experiments.installed import registered
from .claim import CannotClaim, Claim

GROUP = "lashley.claims"
# In the order of the offer: types that can be asked before any experiment, and types about an experiment or a
# hypothesis.
ASKED = (
    "does", "needed", "each_needed", "spare", "needed_within", "stands_in", "enough", "carries", "path", "attends",
    "writes", "decodable", "first_decodable", "scores", "role", "differs",
)  # fmt: skip
OURS = (*ASKED, "faithful", "contrast", "ratio", "predicted", "behaves")


def names() -> tuple[str, ...]:
    """Ours and those of installed packages, without loading any."""
    return (*OURS, *sorted(entry.name for entry in entry_points(group=GROUP)))


@cache
def claim_types() -> dict[str, type[Claim]]:
    """All types by name. Raises CannotClaim when an installed one cannot be used."""
    ours = {name: _in_module(name) for name in OURS}
    found = registered(ours, GROUP, "type of claim", _is_claim, "a type of claim", lambda one: one.type, CannotClaim)
    return {name: one.thing for name, one in found.items()}


def _in_module(name: str) -> type[Claim]:
    module = import_module(f"{__package__}.types.{name}")
    return next(
        one for one in vars(module).values()
        if _is_claim(one) and one.type == name and one.__module__ == module.__name__
    )  # fmt: skip


def _is_claim(thing: object) -> TypeGuard[type[Claim]]:
    return isinstance(thing, type) and issubclass(thing, Claim) and thing is not Claim and isinstance(
        getattr(thing, "type", None), str
    )  # fmt: skip
