"""What a language model's tokens cost, in US dollars.

Prices are known of OpenAI's own server (`prices.toml`, which is dated), or from the user: --price, or a file of the
same form that LASHLEY_PRICES names. A model without a price has none: nothing is guessed from a similar name. The price
that a run was begun with stays with it, so what it spent never changes with a table.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..tools.errors import ToolError
from ..tools.report.spent import price_text
from .drivers.conversation import Reply

TABLE = Path(__file__).with_name("prices.toml")
FILE = "LASHLEY_PRICES"
DATED = re.compile(r"-\d{4}-\d{2}-\d{2}")
HOW = "--price IN,CACHED,OUT says it, in dollars per million tokens (as in --price 2,0.2,10)"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Long(Frozen):
    """From more than `above` tokens read on, the whole request costs so many times as much."""

    above: int = Field(ge=0)
    input: float = Field(gt=0)
    output: float = Field(gt=0)


class Rates(Frozen):
    """Dollars per million tokens: read, read again from the server's cache, put into it (None: as input), written."""

    input: float = Field(ge=0)
    cached: float = Field(ge=0)
    written: float | None = Field(default=None, ge=0)
    output: float = Field(ge=0)
    long: Long | None = None


class Price(Rates):
    """The rates of one language model, and where they are from."""

    llm: str
    source: str

    def of(self, reply: Reply) -> float | None:
        """What a reply cost in dollars; None where the server does not count its tokens. Tokens of which it does not
        say that they were cached count as read anew."""
        if reply.tokens_in is None or reply.tokens_out is None:
            return None
        cached, written = reply.tokens_cached or 0, reply.tokens_written or 0
        read = max(0, reply.tokens_in - cached - written) * self.input + cached * self.cached
        read += written * (self.input if self.written is None else self.written)
        wrote = reply.tokens_out * self.output
        if self.long is not None and reply.tokens_in > self.long.above:
            read, wrote = read * self.long.input, wrote * self.long.output
        return (read + wrote) / 1e6

    def __str__(self) -> str:
        return price_text(self.model_dump())


class Table(Frozen):
    models: dict[str, Rates]
    date: date


def price_of(llm: str, openai: bool, given: str | None = None, environ: Mapping[str, str] = os.environ) -> Price | None:
    """The price of a language model, if it is known: as `given` (--price), by the user's table, and, on OpenAI's own
    server, by ours. Raises ToolError where what was given cannot be read."""
    if given is not None:
        return Price(llm=llm, source="--price", **by_hand(given).model_dump())
    ours, own = read_table(TABLE), environ.get(FILE, "").strip()
    tables = [(FILE, read_table(Path(own)))] if own else []
    tables += [(f"prices of {ours.date}", ours)] if openai else []
    for source, table in tables:
        if (found := among(llm, table.models)) is not None:
            return Price(llm=llm, source=source, **found.model_dump())
    return None


def by_hand(text: str) -> Rates:
    """--price: in, cached and out, or in and out where nothing is cheaper that was cached. Raises ToolError."""
    try:
        numbers = [float(part) for part in text.split(",")]
        if len(numbers) not in (2, 3):
            raise ValueError
        return Rates(input=numbers[0], cached=numbers[-2], output=numbers[-1])
    except ValueError as fault:
        raise ToolError(f"--price {text!r} is no price; {HOW}.") from fault


def among(llm: str, models: Mapping[str, Rates]) -> Rates | None:
    """The rates of the longest name that is this model's, its name before a date, or its beginning before a *."""
    fits = [
        name
        for name in models
        if llm == name
        or (llm.startswith(name) and DATED.fullmatch(llm[len(name) :]))
        or (name.endswith("*") and llm.startswith(name[:-1]))
    ]
    return models[max(fits, key=lambda name: (name == llm, len(name)))] if fits else None


def read_table(path: Path) -> Table:
    """A table of prices; in the user's own `date` may be left out. Raises ToolError in one line."""
    try:
        held: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return Table.model_validate({"date": date.min, **held})
    except OSError as fault:
        raise ToolError(f"{FILE} names {path}, which cannot be read: {fault.strerror}.") from fault
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ToolError(f"{path} is no table of prices: {where}: {first['msg']}.") from fault
    except ValueError as fault:
        raise ToolError(f"{path} is no table of prices: {' '.join(str(fault).split())}.") from fault
