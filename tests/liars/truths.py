"""Whether a claim is so, by what was planted."""

from __future__ import annotations

from collections.abc import Iterable

from lashley.experiments.planted.truth import N_HEADS, Truth
from lashley.tools.claims.claim import Claim


def all_heads(truth: Truth) -> list[str]:
    return [f"L{layer}.H{head}" for layer in range(truth.n_layers) for head in range(N_HEADS)]


def breaks(parts: Iterable[str], truth: Truth, zero: bool = False) -> bool:
    """Whether the task is lost where all of these heads and layers are removed."""
    gone = set(parts)
    gone |= {head for head in all_heads(truth) if head.split(".")[0] in gone}
    pairs = bool(truth.redundant) and set(truth.redundant) <= gone
    skipped = {head for head in truth.constant_heads if head.split(".")[0] in gone}
    return bool(gone & set(truth.needed)) or pairs or bool(skipped) or (zero and bool(gone & set(truth.constant_heads)))


def holds(claim: Claim, truth: Truth) -> bool | None:
    """None where nothing was planted that decides it."""
    given = claim.model_dump()
    parts, at = tuple(given.get("parts", ())), given.get("at", "")
    if claim.type in ("predicted", "behaves", "differs", "contrast", "ratio"):
        return None
    if truth.random:
        # Nothing is there: no part can be needed, enough or spared for what is not done.
        return False
    match claim.type:
        case "does":
            return True
        case "needed":
            return breaks(parts, truth)
        case "each_needed":
            return all(breaks((one,), truth) for one in parts)
        case "first_decodable":
            return int(parts[0][1:]) == min(int(head[1]) for head in truth.induction_heads)
        case "spare":
            return not breaks(parts, truth, zero=True)
        case "needed_within":
            rest = tuple(given["besides"])
            return breaks((*parts, *rest), truth) and not breaks(rest, truth)
        case "stands_in":
            return breaks(parts, truth) and not any(breaks((one,), truth) for one in parts)
        case "enough":
            kept = {head for head in all_heads(truth) if head.split(".")[0] in parts or head in parts}
            return not breaks(set(all_heads(truth)) - kept, truth, zero=True)
        case "path":
            sender, receiver = parts
            key = receiver.removesuffix(".k") in truth.induction_heads and receiver.endswith(".k")
            said = sender in truth.induction_heads and receiver == "logits"
            return (sender in truth.previous_token_heads and key) or said
        case "attends":
            circuit = {*truth.previous_token_heads, *truth.induction_heads}
            return (parts[0] in truth.induction_heads and at == "answer") or (parts[0] not in circuit and at == "first")
        case "writes":
            return parts[0] in truth.induction_heads
        case "carries":
            return parts[0] in (*truth.previous_token_heads, *truth.induction_heads)
        case "decodable":
            return int(parts[0][1:]) >= min(int(head[1]) for head in truth.induction_heads)
        case "role" if at == "name mover":
            # By its definition: it attends to the answer, writes it, and is needed.
            return parts[0] in truth.induction_heads and parts[0] in truth.needed
        case "role" | "scores":
            there = truth.induction_heads if "induction" in at else truth.previous_token_heads
            return parts[0] in there
        case other:
            raise AssertionError(other)
