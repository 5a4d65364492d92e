"""A quantity: one number of a finished experiment, by a name that slots, predictions and conditions share.

    accuracy_drop                 a measurement
    effect[L7.H3]                 the effect at a site; effect[L7.H3, METRIC] where there are several metrics
    rank[L7.H3]                   its rank by size among the effects, 1 for the strongest
    percentile[L7.H3]             the share of matched random parts that changed less, in %; likewise p, q and p_max
    effect[L7.H3] - effect[L2.H1] the difference of two
    effect[L7.H3] / effect[L2.H1] their ratio
    effect[L7] - E6.effect[L7]    the second of another experiment, in conditions and slots
    max |effect except L7.H3|     over many effects: see `quantified`
    first layer where lead > 0    see `first_layer`

The value comes with its measured interval. A difference or a ratio of two effects on the same prompts is computed
prompt by prompt if the values of the prompts were kept. Two experiments that are known to share no question are
independent (`statistics.differences`). For any other two, the interval has everything that the two intervals allow,
which is never too narrow.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import SerializeAsAny

from ...db import records
from ...db.records import Effect, Json, Measurement
from ...experiments.result import Frozen, Result
from ...experiments.tasks.values import OF_SITE
from ..report.numbers import value_text
from .first_layer import EXAMPLE, START, FirstLayer, of_first_layer, parse_first_layer
from .pairing import Artifact as Artifact
from .pairing import independent, same_prompts
from .quantified import Many, of_many, parse_many
from .same_number import measured_as
from .term import NoQuantity as NoQuantity
from .term import Term as Term

if TYPE_CHECKING:
    from ...experiments.statistics.intervals import Array

OF_EFFECTS = ("effect", "rank", "percentile", "p", "q", "p_max")
_TERM = r"([A-Za-z_][\w.]*)(?:\[([^\[\]{}`|]+)\])?"
_QUANTITY = re.compile(rf"\s*{_TERM}(?:(\s+[-−]\s+|\s*/\s*)(?:(E\d{{1,18}})\.)?{_TERM})?\s*")
FORMS = (
    "accuracy_drop, effect[L7.H3], rank[L7.H3], effect[L7.H3] - effect[L2.H1] (or /), max |effect except L7.H3|, "
    "count(effect < -0.1), first layer where lead > 0"
)


class Numbers(NamedTuple):
    """A new result, in the form in which quantities are read from a logged experiment."""

    id: str
    n: int | None
    config: Json
    measurements: tuple[Measurement, ...]
    effects: tuple[Effect, ...]
    figures: tuple[records.Figure, ...]
    artifacts: tuple[records.Artifact, ...] = ()

    @classmethod
    def of(cls, result: Result, config: Json) -> Numbers:
        """The result of a configuration."""
        return cls(
            "The experiment", config.get("n"), config,
            tuple(Measurement(**one.model_dump()) for one in result.measurements),
            tuple(Effect(**one.model_dump()) for one in result.effects),
            tuple(records.Figure(**one.model_dump()) for one in result.figures),
        )  # fmt: skip


Experiment = records.Experiment | Numbers
# Finds another experiment of the study, and its artifacts, by its id. Raises NoQuantity.
Others = Callable[[str], tuple[records.Experiment, Artifact | None]]


class Quantity(Frozen):
    """A term, or two with - or / between them; `other` is the experiment of the second, None for the same one."""

    first: SerializeAsAny[Term]
    second: Term | None = None
    between: Literal["-", "/"] = "-"
    other: str | None = None

    @property
    def text(self) -> str:
        if self.second is None:
            return self.first.text
        return f"{self.first.text} {self.between} {f'{self.other}.' if self.other else ''}{self.second.text}"


class Measured(Frozen):
    """A quantity's value. `questions` is how many independent questions it rests on, if known."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    unit: str = ""
    questions: int | None = None
    q: float | None = None


def parse(text: str) -> Quantity:
    """Raises NoQuantity."""
    if many := parse_many(text) or parse_first_layer(text):
        return Quantity(first=many)
    found = _QUANTITY.fullmatch(text)
    if found is None and START.match(text):
        raise NoQuantity(
            f"'{' '.join(text.split())[:80]}' is not a quantity. Write {EXAMPLE}; a condition adds a bound on the "
            f"layer: {EXAMPLE} < 10."
        )
    if found is None:
        raise NoQuantity(f"'{' '.join(text.split())[:80]}' is not a quantity; quantities look like {FORMS}.")
    if not found[5]:
        return Quantity(first=_term(found[1], found[2]))
    between = "/" if found[3].strip() == "/" else "-"
    return Quantity(first=_term(found[1], found[2]), second=_term(found[5], found[6]), between=between, other=found[4])


def worked_out(text: str) -> bool:
    """Whether its interval is computed on reading, from the logged values of each prompt."""
    quantity = parse(text)
    return quantity.second is not None or quantity.first.name == "rank"


def _term(name: str, key: str | None) -> Term:
    if name not in OF_EFFECTS or key is None:
        return Term(name=name if key is None else f"{name}[{key}]")
    site, _, metric = key.rpartition(", ")
    # A layer program's site has commas of its own; a metric is one word.
    if not site or not re.fullmatch(r"[a-z]\w*", metric.strip()):
        site, metric = key, ""
    return Term(name=name, site=site.strip(), metric=metric.strip() or None)


def read(
    row: Experiment, quantity: Quantity | str, artifact: Artifact | None = None, others: Others | None = None
) -> Measured:
    """The quantity in an experiment as `Reader.experiment` gives it. Raises NoQuantity with the nearest names.

    Without `artifact` a rank has no interval, and nothing is computed prompt by prompt. `others` finds the experiment
    of a second term.
    """
    if isinstance(quantity, str):
        quantity = parse(quantity)
    first = _single(row, quantity.first, artifact)
    if quantity.second is None:
        return first
    if quantity.other is None:
        its, its_artifact = row, artifact
    elif others is None:
        raise NoQuantity(f"{quantity.text}: {quantity.other} is another experiment; name numbers of one experiment.")
    else:
        its, its_artifact = others(quantity.other)
    second = _single(its, quantity.second, its_artifact)
    ratio_of = quantity.between == "/"
    if ratio_of and (second.value == 0 or (second.low is not None and second.low <= 0 <= (second.high or 0.0))):
        raise NoQuantity(
            f"{quantity.text}: the denominator is {value_text(second.value, second.low, second.high)}, not shown to "
            "differ from 0, so any ratio is possible. Use the difference."
        )
    asked = [one.questions for one in (first, second) if one.questions is not None]
    both = Measured(
        name=quantity.text, value=first.value / second.value if ratio_of else first.value - second.value,
        n=first.n if quantity.other is None or first.n == second.n else None,
        unit=first.unit if first.unit == second.unit and not ratio_of else "",
        questions=first.questions if quantity.other is None else min(asked, default=None),
    )  # fmt: skip
    paired = _paired((row, artifact), (its, its_artifact), quantity)
    if paired is not None:
        return both.model_copy(update=paired)
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return both
    from ...experiments.statistics.differences import Estimate, difference, ratio

    apart = False
    if quantity.other is not None and isinstance(row, records.Experiment) and isinstance(its, records.Experiment):
        apart = independent(row, its, artifact, its_artifact)
    found = (ratio if ratio_of else difference)(
        Estimate(first.value, first.low, first.high), Estimate(second.value, second.low, second.high), apart
    )
    return both.model_copy(update={"low": found.low, "high": found.high})


def _single(row: Experiment, term: Term, artifact: Artifact | None) -> Measured:
    asked = asked_questions(row)
    if isinstance(term, Many):
        effects = ranked(row, term.metric)
        if not effects:
            raise NoQuantity(f"{row.id} measured no effects{f' on {term.metric}' if term.metric else ''}.")
        value, low, high = of_many(term, effects)
        n = len(effects) - len(term.without) if term.how == "count" else effects[0].n
        return Measured(name=term.text, value=value, low=low, high=high, n=n, questions=asked)
    if isinstance(term, FirstLayer):
        effects = ranked(row, term.metric)
        if not effects:
            raise NoQuantity(f"{row.id} measured no effects{f' on {term.metric}' if term.metric else ''}.")
        value, low, high = of_first_layer(term, effects, asked)
        return Measured(name=term.text, value=value, low=low, high=high, n=effects[0].n, questions=asked)
    if term.site is None:
        for one in row.measurements:
            if one.name == term.name:
                # A percentile counts random draws, not prompts.
                rests = questions_of_group(row, one.name) or (one.n if one.n != row.n else asked)
                return Measured(**one._asdict(), questions=rests)
        if term.name == "n" and row.n is not None:
            return Measured(name="n", value=row.n)
        raise NoQuantity(f"{row.id} has no '{term.name}'. {offer(term.name, row)}")
    if term.name == "effect" and (same := measured_as(row, term.site, term.metric)):
        return Measured(**same._replace(name=term.text)._asdict(), questions=asked)
    effect, place, count = find_effect(row, term.site, term.metric)
    if term.name == "effect":
        return Measured(name=term.text, questions=asked, value=effect.value, low=effect.low, high=effect.high,
                        n=effect.n, q=effect.q)  # fmt: skip
    if term.name == "rank":
        low, high = _rank_interval(row, effect, artifact) or (None, None)
        return Measured(name=term.text, value=place, low=low, high=high, n=count, questions=asked)
    value = {"percentile": effect.percentile, "p": effect.p, "q": effect.q, "p_max": effect.p_max}[term.name]
    if value is None:
        raise NoQuantity(f"{row.id} gives no {term.name} for {term.site}.")
    return Measured(name=term.text, value=value, unit="%" if term.name == "percentile" else "")


def find_effect(row: Experiment, site: str, metric: str | None = None) -> tuple[Effect, int, int]:
    """The effect at a site, its rank by size, and the number of effects. Raises NoQuantity."""
    metrics = list(dict.fromkeys(effect.metric for effect in row.effects))
    if not metrics:
        raise NoQuantity(f"{row.id} measured no effects. {offer('effect', row)}")
    if metric and metric not in metrics:
        raise NoQuantity(f"{row.id} has no effects on '{metric}'. {near(metric, metrics)}")
    effects = ranked(row, metric or None)
    for place, effect in enumerate(effects, start=1):
        if effect.site == site:
            return effect, place, len(effects)
    raise NoQuantity(f"{row.id} has no effect at '{site}'. {near(site, (e.site for e in effects))}")


def ranked(experiment: Experiment, metric: str | None = None) -> list[Effect]:
    """The effects on one metric (None: the first), strongest first, by size whatever the sign."""
    effects = experiment.effects
    if not effects:
        return []
    metric = metric or effects[0].metric
    return sorted((row for row in effects if row.metric == metric), key=lambda row: -abs(row.value))


def asked_questions(row: Experiment) -> int | None:
    """How many different questions the prompts ask."""
    return next((int(m.value) for m in row.measurements if m.name == "questions"), row.n)


def questions_of_group(row: Experiment, name: str) -> int | None:
    """How many different questions the prompts of a group ask, for a number such as accuracy[a=3], or
    change[a=3; L7.H3]; None for others."""
    _, bracket, key = name.partition("[")
    counted = f"questions[{key.removesuffix(']').partition(OF_SITE)[0]}]"
    return next((int(m.value) for m in row.measurements if bracket and m.name == counted), None)


def changes_by_prompt(
    row: Experiment, metric: str, artifact: Artifact | None
) -> tuple[list[str], Array, list[str]] | None:
    """The sites of a metric's effects in the order of measurement, their changes [site, n], and the question of each
    prompt; None if the values of the prompts were not kept."""
    names = {one.name for one in row.artifacts}
    sites = [effect.site for effect in row.effects if effect.metric == metric]
    if artifact is None or not {metric, "questions"} <= names:
        return None
    import numpy as np

    values = np.load(io.BytesIO(artifact(metric)), allow_pickle=False).astype(float)
    asked = np.load(io.BytesIO(artifact("questions")), allow_pickle=False)
    if len(values) != 1 + len(sites):
        return None
    return sites, values[1:] - values[0], [str(one) for one in asked]


def _whole(row: Experiment, metric: str, artifact: Artifact | None) -> Array | None:
    """The whole of which the effects of a metric are shares, prompt by prompt [n]; None if they are not shares."""
    name = f"{metric}_whole"
    if artifact is None or name not in {one.name for one in row.artifacts}:
        return None
    import numpy as np

    return np.load(io.BytesIO(artifact(name)), allow_pickle=False).astype(float)


def _rank_interval(row: Experiment, effect: Effect, artifact: Artifact | None) -> tuple[float, float] | None:
    kept = changes_by_prompt(row, effect.metric, artifact)
    if kept is None:
        return None
    from ...experiments.statistics.intervals import rank_interval

    sites, changes, asked = kept
    return rank_interval(changes, sites.index(effect.site), asked)


def _paired(
    one: tuple[Experiment, Artifact | None], other: tuple[Experiment, Artifact | None], quantity: Quantity
) -> dict[str, float] | None:
    """The value and the interval of a difference or a ratio of two effects on the same prompts, prompt by prompt; None
    if the values of the prompts were not kept, or the effects are of other prompts or other metrics."""
    import numpy as np

    first, second = quantity.first, quantity.second
    if second is None or first.name != "effect" or second.name != "effect" or not (first.site and second.site):
        return None
    (row, artifact), (its, its_artifact) = one, other
    if row is not its:
        if not isinstance(row, records.Experiment) or not isinstance(its, records.Experiment):
            return None
        if not same_prompts(row, its, artifact, its_artifact):
            return None
    effect, its_effect = find_effect(row, first.site, first.metric)[0], find_effect(its, second.site, second.metric)[0]
    kept = changes_by_prompt(row, effect.metric, artifact)
    its_kept = changes_by_prompt(its, its_effect.metric, its_artifact)
    if kept is None or its_kept is None or effect.metric != its_effect.metric or kept[2] != its_kept[2]:
        return None
    whole, its_whole = _whole(row, effect.metric, artifact), _whole(its, its_effect.metric, its_artifact)
    if (whole is None) != (its_whole is None):
        return None
    if whole is not None and its_whole is not None and not np.array_equal(whole, its_whole):
        return None
    from ...experiments.statistics.ratios import ratio_interval
    from ...experiments.statistics.skewed import mean_interval

    a, b, asked = kept[1][kept[0].index(effect.site)], its_kept[1][its_kept[0].index(its_effect.site)], kept[2]
    if quantity.between == "/":
        # The whole of two shares cancels.
        value, low, high = ratio_interval(a, b, asked)
    elif whole is None:
        value, low, high = mean_interval(a - b, asked)
    else:
        value, low, high = ratio_interval(a - b, whole, asked)
    return {"value": float(value), "low": float(low), "high": float(high)}


def offer(name: str, row: Experiment) -> str:
    """What the experiment has, nearest names first."""
    measured = [one.name for one in row.measurements]
    more = ["n", "found", "table", *(f"figure[{figure.name}]" for figure in row.figures)]
    more += ["top", "effect[SITE]", "rank[SITE]"] if row.effects else []
    more += [f"config.{field}" for field in row.config]
    close = difflib.get_close_matches(name, [*measured, *more], n=3, cutoff=0.6)
    first = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"{first}It measured: {listed(measured) or 'nothing'}; it also has: {listed(more)}."


def near(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known: {listed(known)}."


def listed(names: Iterable[str], most: int = 14) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
