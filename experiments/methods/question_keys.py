"""Which questions an experiment asked, kept with its values, so that two experiments can be compared.

A question is known by the key of its prompts. Its hash is kept, which is short and the same in every experiment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# The name of the array.
KEYS = "question_keys"


def hashed(questions: Sequence[str]) -> np.ndarray:
    """The first 8 bytes of the SHA-256 of each question's key, [n]. A chance collision only widens an interval."""
    import numpy as np

    digests = [hashlib.sha256(one.encode()).digest()[:8] for one in questions]
    return np.array([int.from_bytes(one, "big", signed=True) for one in digests], dtype=np.int64)
