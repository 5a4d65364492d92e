"""What installed packages add to a registry: the entry points of a group, loaded and checked.

A broken package causes a one-line error that names it. Its additions cannot use existing names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Registered(Generic[T]):
    """A thing of a registry. `origin` is the installed package that added it, such as "colours 1.0"; empty for ours."""

    thing: T
    origin: str = ""


def registered(
    ours: Mapping[str, T],
    group: str,
    what: str,
    fits: Callable[[T], bool],
    must: str,
    name: Callable[[T], str],
    error: type[Exception],
) -> dict[str, Registered[T]]:
    """Ours by name, then those of installed packages.

    what   what each of them is, such as "metric"; `must`: what an entry point must name, such as "a Metric"
    fits   whether an object is one of them

    Raises `error` if an installed one cannot be loaded, is something else, or has the name of another one.
    """
    found = {key: Registered(thing) for key, thing in ours.items()}
    for entry in entry_points(group=group):
        added: T = loaded(entry, what, fits, must, error)
        if name(added) in found:
            raise error(f"The installed {what} '{name(added)}' ({entry.value}) has the name of another one. Rename it.")
        found[name(added)] = Registered(added, origin(entry))
    return found


def loaded(entry: EntryPoint, what: str, fits: Callable[[T], bool], must: str, error: type[Exception]) -> T:
    """The object that an entry point names. Raises `error` if it cannot be loaded, or is something else."""
    try:
        added = entry.load()
    except Exception as fault:
        why = " ".join(str(fault).split())
        raise error(f"The installed {what} {entry.value} cannot be loaded ({why}). Repair or uninstall it.") from fault
    if not fits(added):
        raise error(f"The entry point {entry.value} of {entry.group} must be {must}.")
    return added


def origin(entry: EntryPoint) -> str:
    """The package that an entry point is from, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value
