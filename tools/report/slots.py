"""Slots: where a writer wants a number, and the tracker gives it.

A language model never types a measured number. It writes `{{E12.accuracy_drop}}`, and the number comes
from experiment E12 with its interval and n. If a slot cannot be filled, one line says so and names
what there is.

    {{E12.NAME}}             a measurement           {{E12.n}}  {{E12.found}}  {{E12.config.FIELD}}
    {{E12.effect[L7.H3]}}    the effect of a site    {{E12.effect[L7.H3, METRIC]}} where there are several metrics
    {{E12.rank[L7.H3]}}      its rank by size        {{E12.top}} {{E12.top[3]}}  the strongest, third strongest site
    {{E5.effect[L7] - E6.effect[L7]}} {{E5.effect[L7] / E5.effect[L2]}}  a difference, a ratio
    {{E4.first layer where lead > 0}} {{E4.count(effect < -0.1)}}  of many effects
    {{E12.subject.layers}}   its subject's anatomy: layers, heads (per layer), kv_heads, d_model, ... (ANATOMY)
    {{E12.table}} {{E12.figure}} {{E12.figure[NAME]}}  alone on a line
    {{H2.verdict}} {{H2.status}} {{H2.statement}}
    {{C1.faithfulness}} {{C1.edges}} {{C1.parts}}  of a circuit: how much it carries, and how many it has
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic import SerializeAsAny

from ...db.records import Effect, Experiment, Measurement
from ...experiments.result import Frozen
from ..evidence.conditions import of_experiment, of_this
from ..evidence.quantity import Artifact, NoQuantity, Quantity, Term, find_effect, listed, near, offer, ranked, read
from ..evidence.quantity import parse as parse_quantity
from ..evidence.same_number import measured_as
from ..evidence.verdict import spoken
from .escape import clipped, one_line
from .numbers import number, p_number, setting, true_minus, value_parts
from .study import Study

_BRACES = re.compile(r"\{\{(.*?)\}\}")
_SLOT = re.compile(r"\s*([EHC][0-9]{1,18})\.([^\s{}\[\]`|][^{}\[\]`|]*?)(?:\[([^{}\[\]`|]+)\])?\s*")
_FIELDS = ("n", "found", "top", "table", "figure")
_KEYED = ("effect", "rank", "top", "figure")
# The sizes of a subject that a slot can give, by the names that its record has.
ANATOMY = {
    "layers": "n_layers", "heads": "n_heads", "kv_heads": "n_kv_heads", "d_head": "d_head", "d_model": "d_model",
    "d_mlp": "d_mlp", "vocabulary": "vocabulary",
}  # fmt: skip
_PER_LAYER = ("heads", "kv_heads")


class SlotError(ValueError):
    """The faults that keep a source from becoming a report; each of `faults` is one line."""

    code = "bad_slot"

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Slot(Frozen):
    """One slot: `of` is the id of an experiment, a hypothesis or a circuit, `key` the text in the square brackets.
    `quantity` is a number that is computed from several.

    source[start:end] is the slot's text, braces included.
    """

    of: str
    field: str
    key: str | None = None
    quantity: SerializeAsAny[Quantity] | None = None
    text: str
    start: int
    end: int

    @property
    def block(self) -> bool:
        """Whether it is a table or a figure, which need a line of their own."""
        return self.of.startswith("E") and self.field in ("table", "figure")


class Filled(Frozen):
    """What a slot becomes: `main` is the number, `rest` its interval and n; `tip` says what it is."""

    main: str
    rest: str = ""
    tip: str
    of: str

    @property
    def text(self) -> str:
        return self.main + self.rest


def parse(source: str) -> list[Slot]:
    """All slots, in order. Raises SlotError at the first that is malformed."""
    slots: list[Slot] = []
    for found in scan(source):
        if isinstance(found, SlotError):
            raise found
        slots.append(found)
    return slots


def scan(source: str) -> Iterator[Slot | SlotError]:
    """Every slot, or its fault, in order."""
    end = 0
    while (start := source.find("{{", end)) >= 0:
        braces = _BRACES.match(source, start)
        if braces is None:
            yield SlotError(f"{line_of(source, start)}: '{{{{' is not closed by '}}}}' on its line.")
            end = start + 2
            continue
        end = braces.end()
        if (computed := _computed(braces[1])) is not None:
            of, quantity = computed
            yield Slot(of=of, field=quantity.text, quantity=quantity, text=braces[0], start=start, end=end)
            continue
        slot = _SLOT.fullmatch(braces[1])
        if slot is None:
            yield SlotError(
                f"{line_of(source, start)}: {clipped(one_line(braces[0]), 60)} is not a slot. "
                "Slots look like {{E12.NAME}}, {{E12.effect[L7.H3]}}, {{E12.config.FIELD}}, {{E12.subject.layers}}, "
                "{{H2.verdict}} or {{C1.edges}}."
            )
            continue
        yield Slot(of=slot[1], field=slot[2], key=slot[3] and slot[3].strip(), text=braces[0], start=start, end=end)


def _computed(text: str) -> tuple[str, Quantity] | None:
    """The experiment and the quantity of a slot such as E5.effect[L7] - E6.effect[L7]; None for one single number, and
    for one with |, which would end the cell of a table."""
    of = None if "|" in text else of_experiment(text)
    if of is None:
        return None
    try:
        quantity = of_this(of[0], parse_quantity(of[1]))
    except NoQuantity:
        return None
    plain = quantity.second is None and type(quantity.first) is Term
    return None if plain else (of[0], quantity)


def line_of(source: str, at: int) -> str:
    return f"line {source.count(chr(10), 0, at) + 1}"


def fill(slot: Slot, study: Study) -> Filled:
    """What the tracker has for the slot. For a table or a figure, only that it exists.

    Raises SlotError, with the nearest names.
    """
    if slot.of.startswith("H"):
        return _hypothesis(slot, study)
    if slot.of.startswith("C"):
        return _circuit(slot, study)
    row = _finished(slot, study, slot.of)
    return _experiment(slot, row) if slot.quantity is None else _number(slot, slot.quantity, row, study)


def _number(slot: Slot, quantity: Quantity, row: Experiment, study: Study) -> Filled:
    """A number computed from several."""

    def other(of: str) -> tuple[Experiment, Artifact]:
        return _finished(slot, study, of), partial(study.artifact, of)

    try:
        found = read(row, quantity, partial(study.artifact, row.id), other)
    except NoQuantity as fault:
        raise SlotError(f"{slot.text}: {fault}") from fault
    main, rest = value_parts(found.value, found.low, found.high, unit=found.unit, n=found.n)
    return Filled(main=main, rest=rest, tip=_tip_of(slot, one_line(quantity.text), found.low, found.high), of=slot.of)


def _hypothesis(slot: Slot, study: Study) -> Filled:
    row = study.hypotheses.get(slot.of)
    if row is None:
        there = listed(study.hypotheses) or "no hypotheses"
        raise SlotError(f"{slot.text}: {slot.of} is not a hypothesis of {study.run.id}, which has {there}.")
    if slot.field not in ("status", "verdict", "statement") or slot.key:
        of = slot.of
        raise SlotError(f"{slot.text}: a hypothesis has only {of}.verdict, {of}.status and {of}.statement.")
    if slot.field == "verdict":
        return Filled(main=spoken(row, study.verdicts), tip=f"{slot.of}, verdict", of=slot.of)
    # The writer wrote the statement, with the predicted bounds. Quotes show that these are not measurements.
    text = true_minus(one_line(row.status if slot.field == "status" else row.statement))
    return Filled(main=f"“{text}”" if slot.field == "statement" else text, tip=f"{slot.of}, {slot.field}", of=slot.of)


def _circuit(slot: Slot, study: Study) -> Filled:
    row = study.circuits.get(slot.of)
    if row is None:
        there = listed(study.circuits) or "no circuits"
        raise SlotError(f"{slot.text}: {slot.of} is not a circuit of {study.run.id}, which has {there}.")
    main, rest = {"edges": (number(row.size), ""), "parts": (number(len(row.members)), "")}.get(slot.field, ("", ""))
    if slot.field == "faithfulness" and row.faithfulness is not None:
        main, rest = value_parts(row.faithfulness, row.low, row.high, n=row.n)
    if not main or slot.key:
        of = slot.of
        raise SlotError(f"{slot.text}: a circuit has only {of}.faithfulness, {of}.edges and {of}.parts.")
    about = f"{slot.of} of {row.experiment}, {slot.field}"
    return Filled(main=main, rest=rest, tip=f"{about}; of {number(row.possible)} edges of the model", of=row.experiment)


def _finished(slot: Slot, study: Study, of: str) -> Experiment:
    row = study.experiments.get(of)
    finished = listed(study.finished) or "none yet"
    if row is None:
        raise SlotError(f"{slot.text}: {of} is not an experiment of {study.run.id}; you can cite: {finished}.")
    if row.status == "failed":
        why = clipped(one_line(row.error or ""), 80)
        raise SlotError(f"{slot.text}: {of} failed ({why}), so it has no numbers; you can cite: {finished}.")
    if row.status != "done":
        raise SlotError(f"{slot.text}: {of} has not finished, so it has no numbers; you can cite: {finished}.")
    return row


def _experiment(slot: Slot, row: Experiment) -> Filled:
    field, key = slot.field, slot.key
    if field in _KEYED and (key is not None or field in _FIELDS):
        return {"effect": _effect, "rank": _effect, "top": _top, "figure": _figure}[field](slot, row)
    name = field if key is None else f"{field}[{key}]"
    for measurement in row.measurements:
        if measurement.name == name:
            main, rest = value_parts(measurement.value, measurement.low, measurement.high, unit=measurement.unit,
                                     n=measurement.n)  # fmt: skip
            return Filled(main=main, rest=rest, tip=_tip(slot, name, measurement), of=slot.of)
    if key is None and field == "table":
        return Filled(main="", tip=f"{slot.of}, table", of=slot.of)
    if key is None and field == "n" and row.n is not None:
        return Filled(main=number(row.n), tip=f"{slot.of}, number of prompts", of=slot.of)
    if key is None and field == "found":
        return Filled(main=true_minus(one_line(row.found or "")), tip=f"{slot.of}, what it found", of=slot.of)
    if key is None and field.startswith("config."):
        return _config(slot, row)
    if key is None and field.startswith("subject."):
        return _anatomy(slot, row)
    raise SlotError(f"{slot.text}: {slot.of} has no '{name}'. {offer(name, row)}")


def _config(slot: Slot, row: Experiment) -> Filled:
    value: Any = row.config
    for part in slot.field.split(".")[1:]:
        if not isinstance(value, dict) or part not in value:
            close = near(slot.field, (f"config.{name}" for name in row.config))
            raise SlotError(f"{slot.text}: the configuration of {slot.of} has no '{part}'. {close}")
        value = value[part]  # pyright: ignore[reportUnknownVariableType]
    return Filled(main=one_line(setting(value)), tip=f"{slot.of}, {slot.field}", of=slot.of)


def _anatomy(slot: Slot, row: Experiment) -> Filled:
    name = slot.field.removeprefix("subject.")
    value = row.subject.anatomy.get(ANATOMY.get(name, ""))
    if not isinstance(value, int):
        there = [f"subject.{one}" for one, key in ANATOMY.items() if key in row.subject.anatomy]
        raise SlotError(f"{slot.text}: {slot.of} has no '{slot.field}'. Use {' or '.join(there) or 'no such slot'}.")
    each = " per layer" if name in _PER_LAYER else ""
    return Filled(main=number(value), tip=f"{slot.of}, {one_line(row.subject.name)}: {name}{each}", of=slot.of)


def _effect(slot: Slot, row: Experiment) -> Filled:
    site, _, metric = (part.strip() for part in (slot.key or "").partition(","))
    if slot.field == "effect" and (same := measured_as(row, site, metric or None)):
        main, rest = value_parts(same.value, same.low, same.high, unit=same.unit, n=same.n)
        return Filled(main=main, rest=rest, tip=_tip(slot, f"{same.name}, effect of {site}", same), of=slot.of)
    try:
        effect, place, count = find_effect(row, site, metric or None)
    except NoQuantity as fault:
        raise SlotError(f"{slot.text}: {fault}") from fault
    tip = _tip(slot, f"effect of {site} on {effect.metric}", effect)
    if slot.field == "rank":
        return Filled(main=str(place), tip=f"{tip}; place {place} of {count} by size", of=slot.of)
    main, rest = value_parts(effect.value, effect.low, effect.high, n=effect.n)
    return Filled(main=main, rest=rest, tip=tip, of=slot.of)


def _top(slot: Slot, row: Experiment) -> Filled:
    effects = ranked(row)
    if not effects:
        raise SlotError(f"{slot.text}: {slot.of} measured no effects. {offer(slot.field, row)}")
    place = int(slot.key) if slot.key and re.fullmatch("[0-9]{1,6}", slot.key) else 0 if slot.key else 1
    if not 1 <= place <= len(effects):
        raise SlotError(f"{slot.text}: {slot.of} has sites {slot.of}.top[1] to {slot.of}.top[{len(effects)}].")
    effect = effects[place - 1]
    main, rest = value_parts(effect.value, effect.low, effect.high, n=effect.n)
    tip = f"{slot.of}, place {place} of {len(effects)} by effect on {effect.metric}: {main}{rest}"
    return Filled(main=one_line(effect.site), tip=tip, of=slot.of)


def _figure(slot: Slot, row: Experiment) -> Filled:
    names = [figure.name for figure in row.figures]
    if not names:
        raise SlotError(f"{slot.text}: {slot.of} has no figures.")
    if slot.key is not None and slot.key not in names:
        raise SlotError(f"{slot.text}: {slot.of} has no figure '{slot.key}'. {near(slot.key, names)}")
    return Filled(main="", tip=f"{slot.of}, figure {slot.key or names[0]}", of=slot.of)


def _tip_of(slot: Slot, name: str, low: float | None, high: float | None) -> str:
    interval = "" if low is None or high is None else f"; 95% interval {number(low)} to {number(high)}"
    return f"{slot.of}, {one_line(name)}{interval}"


def _tip(slot: Slot, name: str, row: Measurement | Effect) -> str:
    parts = [_tip_of(slot, name, row.low, row.high)]
    said: dict[str, float | None] = {"n": row.n}
    if isinstance(row, Effect):
        said |= {"p": row.p, "q": row.q, "percentile": row.percentile, "p_max": row.p_max}
    parts += [
        f"{name} = {(p_number if name in ('p', 'q', 'p_max') else number)(value)}"
        for name, value in said.items() if value is not None
    ]  # fmt: skip
    return "; ".join(parts)
