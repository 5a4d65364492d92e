"""Whether a model has the parts that a claim, a question or a text names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...experiments.errors import BadConfiguration
from ...experiments.sites import Site, check_site, parse_site
from .counted import counted

if TYPE_CHECKING:
    from ..report.study import Study


def lacks(part: str, sizes: Mapping[str, Any]) -> str:
    """Why a model of these sizes has no such part, in one sentence; "" if it has the part, or its sizes are not known.

    Raises BadConfiguration for a text that names no part.
    """
    place = part.split("@")[0].removesuffix(".q").removesuffix(".k").removesuffix(".v")
    if place == "logits" or "n_layers" not in sizes:
        return ""
    layer = place.removeprefix("L")
    site = Site(layer=int(layer), part="resid_post") if place != layer and layer.isdecimal() else parse_site(place)
    try:
        check_site(site, sizes)
    except BadConfiguration as fault:
        return str(fault)
    return ""


def sizes_of(study: Study) -> Mapping[str, Any]:
    """The sizes of the study's model, from its first experiment; empty before that."""
    return next((row.subject.anatomy for row in counted(study)), dict[str, Any]())
