"""Texts as tokens: what a tokenizer adds to a text, which characters each token covers, and what it does not know.

A prompt starts as the tokenizer starts every text (for example with a BOS), once, even if the text itself starts with
it; and it has no end, so that it can be continued: an EOS that a tokenizer adds after every text is removed. What a
tokenizer does not know cannot be an answer: its unknown token can mean anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import BadTask

Offsets = list[tuple[int, int]]
# A tokenizer knows at least one of these texts; they show what it adds around a text.
PROBES = ("a", "1", " the", "A", "w3")
SHOWN = 40


@dataclass(frozen=True)
class Around:
    """The tokens that a tokenizer puts before and after every text."""

    front: tuple[int, ...]
    back: tuple[int, ...]


_around: WeakKeyDictionary[Any, Around] = WeakKeyDictionary()


def around(tokenizer: Any) -> Around:
    """Found out once for each tokenizer."""
    if tokenizer not in _around:
        _around[tokenizer] = _seen_around(tokenizer)
    return _around[tokenizer]


def _seen_around(tokenizer: Any) -> Around:
    whole: list[int] = []
    for probe in (*PROBES, *tokenizer.get_vocab()):
        bare = list(tokenizer(probe, add_special_tokens=False)["input_ids"])
        whole = list(tokenizer(probe)["input_ids"])
        at = next((i for i in range(len(whole)) if bare and whole[i : i + len(bare)] == bare), None)
        if at is not None:
            return Around(tuple(whole[:at]), tuple(whole[at + len(bare) :]))
    return Around((), ())


def encode(tokenizer: Any, text: str) -> tuple[list[int], Offsets]:
    """Token ids, and the characters [first, last) that each covers; none for tokens added in front."""
    out = tokenizer(text, add_special_tokens=False, return_offsets_mapping=has_offsets(tokenizer))
    ids = list(out["input_ids"])
    places = [(a, b) for a, b in out["offset_mapping"]] if "offset_mapping" in out else found_offsets(tokenizer, ids)
    front = list(around(tokenizer).front)
    if ids[: len(front)] == front:
        return ids, places
    return [*front, *ids], [(0, 0)] * len(front) + places


def has_offsets(tokenizer: Any) -> bool:
    return bool(tokenizer.is_fast)


def found_offsets(tokenizer: Any, ids: list[int]) -> Offsets:
    """The characters that each token covers, found by decoding token by token.

    For a tokenizer without offsets. A token that is a piece of a character, such as a byte, covers all of it.
    """
    places: Offsets = []
    first = known = begins = read = 0
    for i in range(len(ids)):
        # Decoding from the last whole piece costs the same at each token, and keeps the blanks between two.
        before = tokenizer.decode(ids[begins:read], clean_up_tokenization_spaces=False)
        now = tokenizer.decode(ids[begins : i + 1], clean_up_tokenization_spaces=False)
        whole = now.rstrip("\ufffd")
        last = known + max(0, len(whole) - len(before))
        # A piece at the end is of the character that comes next.
        places.append((first, last + 1 if whole != now else max(last, first + 1)))
        first = last
        if whole == now and last > known:
            known, begins, read = last, read, i + 1
    return places


def encode_answer(tokenizer: Any, text: str, answer: str) -> tuple[list[int], list[int], Offsets]:
    """Tokens of the prompt, of the answer after it (none for an empty answer, which asks nothing), and the prompt's
    offsets.

    Raises BadTask if the two cannot be separated, and if the tokenizer does not know the answer.
    """
    prompt, offsets = encode(tokenizer, text)
    if not answer:
        return prompt, [], offsets
    both, places = encode(tokenizer, text + answer)
    given, seen = both[len(prompt) :], places[len(prompt) :]
    if both[: len(prompt)] == prompt and (missing := not_known(tokenizer, text + answer, len(text), given, seen)):
        raise BadTask(
            f"This tokenizer does not know {missing!r} in the answer {answer!r} (after {ending(text)}). Use another "
            "answer, or a model that knows it."
        )
    if both[: len(prompt)] != prompt or not given:
        raise BadTask(
            f"The tokenizer joins the end of the prompt and the answer {answer!r} into one token "
            f"(prompt ends {ending(text)}). Move the space to the other side, or use another task."
        )
    return prompt, given, offsets


def ending(text: str) -> str:
    return repr(text[-12:])


def beginning(text: str) -> str:
    """The text by which a message names a prompt."""
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")


def not_known(tokenizer: Any, text: str, begins: int, ids: list[int], places: Offsets) -> str:
    """What of the text from `begins` on became an unknown token, or no token at all; empty for nothing."""
    for token, (first, last) in zip(ids, places, strict=True):
        written = text[max(first, begins) : last]
        # If a tokenizer has no separate token for it (GPT-2 uses its end of text), the text may mean that one.
        if last > first and token in unknown_tokens(tokenizer) and written.strip() not in tokenizer.all_special_tokens:
            return written.strip() or text[begins:].strip()
    if not has_offsets(tokenizer):
        return ""
    covered = {i for first, last in places for i in range(first, last)}
    # It is unknown which character was dropped: the offsets after it are those of its neighbours.
    whole = all(i in covered or c.isspace() for i, c in enumerate(text) if i >= begins)
    return "" if whole else text[begins:].strip()


def holds_unknown(tokenizer: Any, text: str) -> bool:
    """Does the tokenizer drop something of the text, or replace it with its unknown token?"""
    return bool(not_known(tokenizer, text, 0, *encode(tokenizer, text)))


def unknown_tokens(tokenizer: Any) -> set[int]:
    """The token for everything that the tokenizer does not know, by either of its names."""
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    name = getattr(model, "unk_token", None)
    found = {tokenizer.unk_token_id, tokenizer.get_vocab().get(name) if name is not None else None}
    return {token for token in found if token is not None}


def habits(tokenizer: Any) -> tuple[str, ...]:
    """What a tokenizer does to every text and a reader of numbers should know, each with what is done about it."""
    found, ends = list[str](), around(tokenizer)
    if ends.front:
        found.append(
            f"Its tokenizer starts every text with {named(tokenizer, ends.front)}, so every prompt starts with it, "
            "once."
        )
    if ends.back:
        found.append(
            f"Its tokenizer adds {named(tokenizer, ends.back)} after every text. Prompts leave it out, so they can "
            "be continued."
        )
    if not has_offsets(tokenizer):
        found.append("Its tokenizer does not map tokens to characters, so spans are found by decoding its tokens.")
    return tuple(found)


def named(tokenizer: Any, ids: tuple[int, ...]) -> str:
    return " ".join(f"{tokenizer.convert_ids_to_tokens(token)} ({token})" for token in ids)
