"""What a run spent, and its limits, in words: the same in the terminal and in the report."""

from __future__ import annotations

from ...db.records import Json, Run


def dollars(amount: float) -> str:
    """An amount in US dollars: with cents from one dollar up, and with two significant digits below."""
    if amount >= 100:
        return f"${amount:,.0f}"
    if amount >= 1 or amount == 0:
        return f"${amount:.2f}".removesuffix(".00")
    return f"${amount:.2g}" if amount >= 1e-4 else "under $0.0001"


def cost_text(spent: Json) -> str:
    """The cost; ? if it is not known, and ≥ if the cost of some replies is not known."""
    if spent.get("cost") is None:
        return "?"
    return f"{'≥' if spent.get('unpriced') else ''}{dollars(spent['cost'])}"


def tokens_text(count: int) -> str:
    """A number of tokens in five characters: 812, 48.2k, 1.31M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g}{letter}" if count < 999.5 * size else f"{count / size:,.0f}{letter}"
    return str(count)


def spent_text(run: Run) -> str:
    """All that a run has spent, as far as the tracker knows."""
    spent = run.spent
    said: list[str] = []
    for name, word in (("experiments", "experiment"), ("steps", "turn")):
        if name in spent:
            said.append(f"{spent[name]} {word}{'s' * (spent[name] != 1)}")
    if run.llm is not None and "tokens_in" in spent:
        cached = f" ({spent['tokens_cached']:,} of them cached)" if spent.get("tokens_cached") else ""
        said.append(f"{spent['tokens_in']:,} tokens read{cached}, {spent['tokens_out']:,} written")
        if spent.get("uncounted"):
            said.append(
                f"not counted by the server: {spent['uncounted']} repl{'ies' if spent['uncounted'] > 1 else 'y'}"
            )
        said.append(cost_text(spent) if spent.get("cost") is not None else "at a price that is not known")
    if "minutes" in spent:
        said.append(f"{spent['minutes']:g} minutes")
    return ", ".join(said)


def budget_text(budget: Json) -> str:
    """The limits of a run, and the price by which its cost is computed."""
    words = {"experiment_minutes": "minutes per experiment", "context": "tokens of context"}
    limits = [
        f"{budget[name]:g} {words.get(name, name)}"
        for name in ("experiments", "minutes", "steps", "tokens", "experiment_minutes", "context")
        if budget.get(name) is not None
    ]
    if budget.get("approve") is not None:
        limits.append(f"asks before an experiment of more than {budget['approve']:g} seconds")
    if budget.get("max_cost") is not None:
        limits.append(dollars(budget["max_cost"]))
    if budget.get("price"):
        limits.append(price_text(budget["price"]))
    return ", ".join(limits)


def price_text(price: Json) -> str:
    """The price of a million tokens, and its source."""
    each = f"${price['input']:g} in, ${price['cached']:g} cached, ${price['output']:g} out"
    return f"{each} per million tokens ({price['source']})"
