"""What a fork has of the run that it leaves.

A fork has the conversation of its parent up to a step as its own. The experiments of that part are reused; its
predictions are recorded again, so that they count in the fork's correction and are tested on prompts of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..records import Hypothesis, Json, Question, Turn


@dataclass(frozen=True)
class Inherited:
    """What a fork begins with.

    parent       the number of the run that it leaves, after `step`
    turns        the conversation until then
    experiments  what was found until then
    hypotheses   as `Reader.hypotheses` has them, in order
    questions    what was registered until then
    message      the message that the fork goes on with, given the new id of each hypothesis by its old one
    """

    parent: int
    step: int
    turns: Sequence[Turn]
    experiments: Sequence[int]
    hypotheses: Sequence[Hypothesis]
    questions: Sequence[Question]
    message: Callable[[Mapping[str, str]], Json]
