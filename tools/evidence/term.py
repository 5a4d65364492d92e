"""What a quantity consists of: the name of a measurement, or of a number of the effect at a site."""

from __future__ import annotations

from ...experiments.result import Frozen


class NoQuantity(ValueError):
    """The text names no quantity, or none that the experiment has; one line."""

    code = "no_quantity"


class Term(Frozen):
    """A measurement by its name, or a number of the effect at a site."""

    name: str
    site: str | None = None
    metric: str | None = None

    @property
    def text(self) -> str:
        if self.site is None:
            return self.name
        return f"{self.name}[{self.site}{', ' + self.metric if self.metric else ''}]"
