"""The texts that a language model reads: Markdown files, filled by `string.Template`.

A variable without a value is an error; it is never left empty.
"""

from __future__ import annotations

from importlib.resources import files
from string import Template


def fill(name: str, **values: object) -> str:
    """The text prompts/NAME.md with its $variables filled. Raises KeyError for one that is missing."""
    text = files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8")
    return Template(text).substitute({k: str(v) for k, v in values.items()}).strip()


def read(name: str) -> str:
    """The text prompts/NAME.md unchanged: it contains slots in braces, and its $ signs are not variables."""
    return files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8").strip()
