"""What installed packages add, for `agent`, which does not import `experiments` itself."""

from ..experiments.installed import loaded, origin

__all__ = ["loaded", "origin"]
