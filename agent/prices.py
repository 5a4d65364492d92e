"""What a language model's tokens cost, in US dollars.

The program knows the prices of OpenAI's own server (`prices.toml`, which is dated). The user can give others: --price,
or a file of the same form that LASHLEY_PRICES names. It never guesses a price from a similar name. A run keeps the
price that it started with, so its cost does not change with a table.
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
HOW = "Give --price IN,CACHED,OUT in dollars per million tokens, such as --price 2,0.2,10"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Long(Frozen):
    """A request with more than `above` input tokens costs this many times as much, as a whole."""

    above: int = Field(ge=0)
    input: float = Field(gt=0)
    output: float = Field(gt=0)


class Rates(Frozen):
    """Dollars per million tokens: input, cached input, input written to the cache (None: as input), output."""

    input: float = Field(ge=0)
    cached: float = Field(ge=0)
    written: float | None = Field(default=None, ge=0)
    output: float = Field(ge=0)
    long: Long | None = None


class Price(Rates):
    """The rates of one language model, and their source."""

    llm: str
    source: str

    def of(self, reply: Reply) -> float | None:
        """The cost of a reply in dollars; None if the server does not count tokens. Input counts as uncached unless the
        server says that it was cached."""
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
    """The price of a language model, or None: from `given` (--price), the user's table, or, on OpenAI's own server, the
    built-in table. Raises ToolError if `given` or the table cannot be read."""
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
    """--price: input, cached input and output; or input and output, if caching is not cheaper. Raises ToolError."""
    try:
        numbers = [float(part) for part in text.split(",")]
        if len(numbers) not in (2, 3):
            raise ValueError
        return Rates(input=numbers[0], cached=numbers[-2], output=numbers[-1])
    except ValueError as fault:
        raise ToolError(f"--price {text!r} is not a price. {HOW}.") from fault


def among(llm: str, models: Mapping[str, Rates]) -> Rates | None:
    """The rates of the longest matching name: the model's own, its name before a date, or a prefix before a *."""
    fits = [
        name
        for name in models
        if llm == name
        or (llm.startswith(name) and DATED.fullmatch(llm[len(name) :]))
        or (name.endswith("*") and llm.startswith(name[:-1]))
    ]
    return models[max(fits, key=lambda name: (name == llm, len(name)))] if fits else None


def read_table(path: Path) -> Table:
    """A table of prices; the user's own may omit `date`. Raises ToolError."""
    try:
        held: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return Table.model_validate({"date": date.min, **held})
    except OSError as fault:
        raise ToolError(f"{FILE} names {path}, which cannot be read: {fault.strerror}.") from fault
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ToolError(f"{path} is not a table of prices: {where}: {first['msg']}.") from fault
    except ValueError as fault:
        raise ToolError(f"{path} is not a table of prices: {' '.join(str(fault).split())}.") from fault
