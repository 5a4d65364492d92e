"""The result of an experiment.

A `Result` is data: measurements (one number each, with interval and n), effects (one number per site), samples (texts
before and after), figures (the data of a drawing, drawn later) and a short summary. Arrays go to the tracker as
artifacts, never as rows. NaN and infinity are refused here, so they can never be reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Number = Annotated[float, Field(allow_inf_nan=False)]


class Frozen(BaseModel):
    """The base of all data classes: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Measurement(Frozen):
    """One number. `low` and `high` bound its 95% interval; `n` counts the prompts behind it."""

    name: str
    value: Number
    low: Number | None = None
    high: Number | None = None
    n: int | None = None
    unit: str = ""

    @property
    def text(self) -> str:
        """The value with its interval: "0.250 [0.132, 0.421]"."""
        return f"{self.value:.3f}" if self.low is None else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Note(Frozen):
    """A note on the numbers: a code for programs, and a sentence for readers.

    `notes` has Lashley's codes and sentences; a kind of another package has its own codes.
    """

    code: str
    text: str

    def __str__(self) -> str:
        return self.text


# The code of a note that was given as a plain sentence.
PLAIN = "note"


class Doubt(Frozen):
    """A reason to doubt the result: a code for programs, and a sentence for readers.

    unable         the intact model is shown neither to say the answer nor to prefer it
    not_preferred  it says the answer, but the measured metric rests on preference
    not_said       it prefers the answer, but is not shown to say it
    one_question   more than half of a large effect is one question's
    """

    code: Literal["unable", "not_preferred", "not_said", "one_question"]
    text: str


def notes_of(texts: Sequence[str], codes: Sequence[str]) -> list[Note]:
    """Notes as a tracker keeps them, which has no codes of those from before there were any."""
    return [Note(code=code, text=text) for code, text in zip(codes or [PLAIN] * len(texts), texts, strict=True)]


class Effect(Frozen):
    """The paired change of `metric` (edited minus intact) that an edit at `site` caused, over n prompts; of a kind that
    edits nothing, the metric itself at the site.

    `p` is two-sided, `q` the same after Benjamini-Hochberg over the effects of its experiment, `p_max` after min-p:
    how often chance alone gives any of them such an extreme value. `percentile` is the share, in %, of matched random
    sites with a smaller absolute change.
    """

    site: str
    metric: str
    value: Number
    low: Number
    high: Number
    n: int
    p: Number | None = None
    q: Number | None = None
    percentile: Number | None = None
    p_max: Number | None = None

    @property
    def text(self) -> str:
        """The change with its interval: "-2.391 [-3.388, -1.517]"."""
        return f"{self.value:+.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __str__(self) -> str:
        return f"{self.site} {self.text}"


class Sample(Frozen):
    """What the subject said. `changed` is None for the intact model; `condition` names the intervention."""

    prompt: str
    expected: str
    said: str
    changed: str | None = None
    condition: str = ""
    correct: bool | None = None
    changed_correct: bool | None = None
    failure: str | None = None


# A circuit keeps so many edges; of a larger one, the strongest.
MOST_EDGES = 10_000


class CircuitEdge(Frozen):
    """What `sender` writes and `receiver` reads, by their names. `share` is the change without the edge, as a share of
    the whole difference: -0.3 if 30% is lost. Unless `measured`, it is an estimate."""

    sender: str
    receiver: str
    share: Number
    measured: bool


class Circuit(Frozen):
    """A set of edges that an experiment found, which the tracker stores under an id of its own (C1).

    `size` counts its edges, of which `edges` has the strongest MOST_EDGES; `possible` counts the edges of the model;
    `members` are the parts at the ends of its edges. `faithfulness` is the share of the difference that it carries on
    the prompts that it was found on, with its interval.
    """

    method: str
    ranking: str
    replacement: str
    metric: str
    size: int = Field(ge=1)
    possible: int
    members: tuple[str, ...]
    faithfulness: Number | None = None
    low: Number | None = None
    high: Number | None = None
    n: int | None = None
    edges: tuple[CircuitEdge, ...] = Field(min_length=1, max_length=MOST_EDGES)


FigureKind = Literal["head_heatmap", "layer_bars", "pie", "lines", "stacked_bars", "matrix", "scatter", "circuit"]


class Figure(Frozen):
    """The data of one drawing.

    head_heatmap  {"values": [layer][head] or null, "low": ..., "high": ..., "significant": [layer][head]}
    layer_bars    {"labels": [str], "values": [float], "low": [float], "high": [float]}
    pie           {"labels": [str], "counts": [int]}
    stacked_bars  {"bars": [str], "labels": [str], "counts": [bar][label]}
    scatter       {"x": [..], "y": [..], "labels": [str], "groups": [str], "x_label": str, "y_label": str,
                   "diagonal": false on a map, where x and y are no two measures of the same,
                   "rest": the group of all that is in no other, if there is one}
    lines         {"x": [..], "x_label": str, "series": [{"name": str, "y": [..], "low": [..], "high": [..]}]}
    matrix        {"values": [row][column] or null, "rows": [str], "columns": [str], "row_label": str,
                   "column_label": str, "texts": [row][column] (short, such as a token) or none,
                   "significant": [row][column] or none, "scale": "diverging" or "sequential",
                   "missing": "blank" where null is what cannot be, and not what was not measured}
    circuit       {"nodes": [{"name": str, "row": [layer, place in the layer], "reads": str, "writes": str}],
                   "edges": [[node, node, "q", "k", "v" or "", share, measured]], strongest first,
                   "shared": [[node of shared keys and values, node of a head that reads through it]],
                   "size": edges of the circuit, "parts": parts of the circuit}
    """

    name: str
    kind: FigureKind
    title: str
    unit: str
    n: int
    data: dict[str, Any]


class Result(Frozen):
    """Everything that an experiment found. `found` is the summary that a reader sees first, in a few lines.

    The notes include the doubts. A note that is given as a plain sentence has the code "note".
    """

    measurements: tuple[Measurement, ...] = ()
    effects: tuple[Effect, ...] = ()
    samples: tuple[Sample, ...] = ()
    figures: tuple[Figure, ...] = ()
    circuits: tuple[Circuit, ...] = ()
    found: str = ""
    notes: tuple[Note, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    arrays: dict[str, Any] = Field(default_factory=dict, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _doubts_are_notes(cls, data: dict[str, Any]) -> dict[str, Any]:
        doubts = [Doubt.model_validate(one) for one in data.get("doubts", ())]
        given = [{"code": PLAIN, "text": one} if isinstance(one, str) else one for one in data.get("notes", ())]
        notes = [Note.model_validate(one) for one in given]
        notes += [one for one in (Note(code=d.code, text=d.text) for d in doubts) if one not in notes]
        return {**data, "doubts": doubts, "notes": notes}

    def __getitem__(self, name: str) -> Measurement:
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        raise KeyError(name)
