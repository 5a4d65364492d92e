"""What installed packages add, for `agent`, which imports nothing of `experiments` itself."""

from ..experiments.installed import loaded, origin

__all__ = ["loaded", "origin"]
