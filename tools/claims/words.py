"""How findings name parts, ways of removal and experiments: the words that the sentences of all types share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_REPLACED = {
    "zero": "Setting {it} to zero",
    "mean": "Replacing {it} by {its} mean over other prompts",
    "resample": "Replacing {it} by {its} value on another prompt",
    "skip": "Skipping {it}",
}


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def count_words(count: int) -> str:
    """Up to nine in words."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def in_order(parts: Iterable[str]) -> list[str]:
    """By layer, then by number: L2.H10 after L2.H9, and L10 after L2."""

    def key(part: str) -> list[tuple[int, int | str]]:
        return [(0, int(piece[1:])) if piece[1:].isdigit() else (1, piece) for piece in part.split(".")]

    return sorted(parts, key=key)


def named(parts: Iterable[str]) -> str:
    """ "head L20.H8", "heads L1.H2 and L1.H3", "layer 5", "MLP L5.mlp"."""
    ordered = in_order(parts)
    groups: dict[str, list[str]] = {}
    for part in ordered:
        groups.setdefault(what_is(part), []).append(part.removeprefix("L") if what_is(part) == "layer" else part)
    return listed([f"{what}{'s' * (len(those) > 1)} {listed(those)}" for what, those in groups.items()])


def what_is(part: str) -> str:
    """ "head", "layer", "MLP", "neuron" or "part"."""
    last = part.rsplit(".", maxsplit=1)[-1]
    if "." not in part:
        return "layer"
    if last.startswith("H"):
        return "head"
    return "neuron" if last.startswith("n") else "MLP" if last == "mlp" else "part"


def removing(method: str, count: int) -> str:
    """ "Replacing it by its mean over other prompts"."""
    it, its = ("it", "its") if count == 1 else ("them", "their")
    return _REPLACED[method].format(it=it, its=its)


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
