"""How many positions a model has, and refusing what would go beyond them.

Past the last position that a model was made for, a table of positions ends in an index error, and rotary angles give
numbers that mean nothing, without a word. Some models change all their angles when one prompt of the batch is long
(rope_type `longrope`; `dynamic` past its end): up to there a prompt's numbers depend on itself alone, and only so far
is anything measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import BadTask
from .encoding import beginning

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SWITCHING = "longrope"


def room(model: PreTrainedModel) -> tuple[int | None, str]:
    """The number of positions of a model, and the setting with it; None if its configuration has no limit."""
    config = model.config.get_text_config()
    found: list[tuple[int, str]] = []
    if isinstance(size := getattr(config, "max_position_embeddings", None), int) and size > 0:
        found.append((size, "max_position_embeddings"))
    for rope in ropes(getattr(config, "rope_parameters", None)):
        size = rope.get("original_max_position_embeddings")
        if rope.get("rope_type") == SWITCHING and size:
            found.append(
                (int(size), "original_max_position_embeddings; a longer prompt changes the others of its batch")
            )
    return min(found, default=(None, ""))


def ropes(parameters: Any) -> Iterator[dict[str, Any]]:
    """The settings of the rotary angles: one for all layers, or one for each type of layer."""
    if isinstance(parameters, dict):
        if "rope_type" in parameters:
            yield parameters
        else:
            yield from (one for inner in parameters.values() for one in ropes(inner))


def too_long(model: PreTrainedModel, prompt: int, more: int, text: str | None = None) -> str:
    """What is wrong with a prompt of this many tokens and this many more after it, in a sentence; empty for nothing."""
    most, by = room(model)
    if most is None or prompt + more <= most:
        return ""
    whose = "A prompt" if text is None else f"The prompt {beginning(text)}"
    needed = f" and up to {more} more follow, {prompt + more} in all" if more else ""
    return f"{whose} has {prompt} tokens{needed}, but the model has {most} positions ({by}). Shorten it."


def require_room(model: PreTrainedModel, prompt: int, more: int, text: str | None = None) -> None:
    """Raises BadTask with both sizes if there are too few positions."""
    if fault := too_long(model, prompt, more, text):
        raise BadTask(fault)
