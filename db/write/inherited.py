"""What a fork takes from its parent.

A fork copies the conversation of its parent up to a step. It reuses the experiments of that part, and records the
predictions again, so that they count in the fork's correction and are tested on other prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..records import Hypothesis, Json, Question, Turn


@dataclass(frozen=True)
class Inherited:
    """What a fork starts with.

    parent       the number of its parent; the fork starts after `step`
    turns        the conversation up to there
    experiments  the experiments up to there
    hypotheses   as `Reader.hypotheses` returns them, in order
    questions    the questions registered up to there
    message      makes the fork's first own message from the new id of each hypothesis by its old one
    """

    parent: int
    step: int
    turns: Sequence[Turn]
    experiments: Sequence[int]
    hypotheses: Sequence[Hypothesis]
    questions: Sequence[Question]
    message: Callable[[Mapping[str, str]], Json]
