"""The rank of an edited part or set by damage, among itself and its matched random parts or sets."""

from __future__ import annotations

from collections.abc import Sequence

from ...db import records


def control_rank(measurements: Sequence[records.Measurement]) -> tuple[float, int] | None:
    """The rank, 1 for the worst, and among how many; None without random controls."""
    named = {one.name: one for one in measurements}
    rank, share = named.get("control_rank"), named.get("percentile")
    if rank is not None and rank.n is not None:
        return rank.value, rank.n
    if share is None or share.n is None:
        return None
    # An earlier version stored the share of the sets that changed less.
    return 1 + round(share.n * (100 - share.value) / 100), share.n + 1
