"""The named values of a prompt: what its spans say, its answer, and what the task names besides."""

from __future__ import annotations

from .prompt import Prompt


def values_of(prompt: Prompt) -> dict[str, str]:
    """Name -> the value's text."""
    spans = {name: prompt.text[first:last].strip() for name, (first, last) in prompt.spans.items()}
    return {**spans, "answer": prompt.answer.strip()}
