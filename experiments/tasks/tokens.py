"""How to write a single token: as a label of a drawing, or as the name of an effect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SEEN = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"})
# How vocabularies mark the space before a word; decoding a single token may drop it.
BEFORE = ("Ġ", "▁")


def token_text(tokenizer: Any, token: int) -> str:
    """The token as text, with its leading space; a token that is not text by itself (a piece of a letter, a special
    token) as in the vocabulary.

    A model's vocabulary is often rounded up: ids without a token in the tokenizer are labelled as such."""
    if token >= len(tokenizer) or (raw := tokenizer.convert_ids_to_tokens(token)) is None:
        return f"<no token {token}>"
    text = tokenizer.decode([token], clean_up_tokenization_spaces=False)
    if not text or "\ufffd" in text:
        return raw
    return f" {text}" if raw.startswith(BEFORE) and not text.startswith(" ") else text


def labels(tokenizer: Any, tokens: Iterable[int]) -> list[str]:
    """Each token with visible white space: "␣the", "↵"."""
    return [token_text(tokenizer, int(token)).translate(SEEN) for token in tokens]
