"""What the tracker holds, as frozen records: every reading method of `Reader` gives these.

Named tuples, since a list of 100,000 experiments is made and read in a third of the time that a frozen dataclass takes;
and only the standard library, so that browsing starts at once. Ids are those that people say ("E12"); JSON is read.

    Run            RunSummary         Turn, Words, Report, Request, SpentSoFar, Event
    Experiment     ExperimentSummary  Subject, Measurement, Effect, Sample, Figure, Artifact, Doubt
    Note           Hypothesis         HypothesisEvent, Prediction, Judgement
    TaskOrigin     Family             StrongEffect, Weights, Written

`as_json` gives one of them as the commands do with --json.
"""

# The types are not kept as texts, which would be compiled one by one: browsing begins ten milliseconds sooner.
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

Json = Mapping[str, Any]
"""What is as free as JSON: a configuration, a message, the data of a figure, what a budget or a machine was."""


class Subject(NamedTuple):
    """A model that was studied."""

    name: str
    fingerprint: str
    architecture: str
    anatomy: Json


class Weights(NamedTuple):
    """Which weights a subject had."""

    name: str
    fingerprint: str


class Measurement(NamedTuple):
    """One number of an experiment, with its 95% interval over prompts."""

    name: str
    value: float
    low: float | None
    high: float | None
    n: int | None
    unit: str


class Effect(NamedTuple):
    """The paired change of a metric that an edit at a site caused: edited minus intact.

    percentile  the share of matched random places that changed less, in %
    q           p, corrected over the effects of its experiment
    p_max       the p of the largest effect of that size among all
    """

    site: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    p: float | None
    q: float | None
    percentile: float | None
    p_max: float | None


class Sample(NamedTuple):
    """What the subject said to one prompt, intact and (where it was edited) changed."""

    prompt: str
    expected: str
    said: str
    changed: str | None
    condition: str
    correct: bool | None
    changed_correct: bool | None
    failure: str | None


class Figure(NamedTuple):
    """The data of a drawing."""

    name: str
    kind: str
    title: str
    unit: str
    n: int
    data: Json


class Artifact(NamedTuple):
    """Values that were kept as bytes; `Reader.artifact` gives them."""

    name: str
    media_type: str
    size: int
    sha256: str


class Doubt(NamedTuple):
    """Why what was found may mean nothing, by a code that a program acts on and in a sentence."""

    code: str
    text: str


# Interrupted is one that is marked as running and whose process is gone.
EXPERIMENT_STATUSES = ("running", "done", "failed", "interrupted")


class ExperimentSummary(NamedTuple):
    """An experiment in short; its status is one of EXPERIMENT_STATUSES."""

    id: str
    run: str | None
    kind: str
    model: str
    task: str | None
    split: str | None
    n: int | None
    config: Json
    status: str
    reason: str | None
    found: str | None
    error_type: str | None
    error: str | None
    started: str
    ended: str | None
    seconds: float | None


class Experiment(NamedTuple):
    """One experiment with everything that it found, and the ids of the notes and hypotheses that cite it."""

    id: str
    run: str | None
    turn: int | None
    kind: str
    model: str
    task: str | None
    split: str | None
    n: int | None
    config: Json
    config_hash: str
    subject: Subject
    task_fingerprint: str | None
    code_version: str
    environment: Json
    reason: str | None
    status: str
    error_type: str | None
    error: str | None
    found: str | None
    notes: Sequence[str]
    started: str
    ended: str | None
    seconds: float | None
    call: str | None
    doubts: Sequence[Doubt]
    note_codes: Sequence[str]
    measurements: Sequence[Measurement]
    effects: Sequence[Effect]
    samples: Sequence[Sample]
    figures: Sequence[Figure]
    artifacts: Sequence[Artifact]
    cited_by: Sequence[str]


class Family(NamedTuple):
    """How much was compared of one subject, task and kind; significant are those of q below 0.05."""

    model: str
    fingerprint: str
    task: str | None
    kind: str
    experiments: int
    comparisons: int
    significant: int


class StrongEffect(NamedTuple):
    """An effect as it was measured last at its place, and how often it was measured there; `id` is its experiment's."""

    id: str
    run: str | None
    site: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    q: float | None
    percentile: float | None
    kind: str
    method: str | None
    model: str
    task: str | None
    split: str | None
    times: int


class Note(NamedTuple):
    """An observation that outlives its study; `experiments` are the ids that it cites."""

    id: str
    run: str | None
    title: str
    text: str
    tags: Sequence[str]
    experiments: Sequence[str]
    created: str
    call: str | None


class HypothesisEvent(NamedTuple):
    """A verdict on a hypothesis, or a comment on it; `experiments` are the ids that it rests on."""

    status: str
    comment: str
    experiments: Sequence[str]
    created: str


class Judgement(NamedTuple):
    """What came of a prediction: the quantity with its interval, the p that it lies on the bound, and its side."""

    experiment: str
    value: float
    n: int | None
    p: float
    side: str
    low: float | None
    high: float | None


class Prediction(NamedTuple):
    """What a hypothesis says must come out of an experiment, and what came of it: None before its test."""

    id: int
    kind: str
    config: Json
    quantity: str
    comparison: Literal["above", "below", "between", "beyond_control"]
    low: float | None
    high: float | None
    created: str
    judged: Judgement | None


class Hypothesis(NamedTuple):
    """What was expected, with its history and its predictions."""

    id: str
    run: str | None
    statement: str
    rationale: str
    refuted_if: str
    status: str
    created: str
    updated: str
    revises: str | None
    call: str | None
    events: Sequence[HypothesisEvent]
    predictions: Sequence[Prediction]


class Turn(NamedTuple):
    """One message of a study's conversation; of a reply what its tokens and its cost (in US dollars) were."""

    id: int
    step: int
    role: str
    content: Json
    tokens_in: int | None
    tokens_cached: int | None
    tokens_written: int | None
    tokens_out: int | None
    cost: float | None
    seconds: float | None
    created: str


class Words(NamedTuple):
    """What the user told a study, and no turn of it carries yet."""

    id: int
    text: str
    created: str


class Question(NamedTuple):
    """What a run asks: a claim of open verdict as JSON, the program's words for it, and who registered it ("driver", or
    "goal" where the program read it from the goal)."""

    claim: Json
    text: str
    origin: str
    call: str | None
    created: str


class Report(NamedTuple):
    """The source of a report with its claims (of a review: its verdicts), and the call that handed it in; None where
    the program wrote it."""

    source: str
    claims: Sequence[Json]
    call: str | None
    created: str


class Request(NamedTuple):
    """What a language model was asked with besides the conversation; tools by name."""

    instructions: str
    tools: Mapping[str, Json]


class Event(NamedTuple):
    """Something that happened in a study: `what` is run, turn, experiment, note, hypothesis or report."""

    at: str
    what: str
    id: str
    text: str | None


class SpentSoFar(NamedTuple):
    """What the log says that a run has spent, with its dearest reply. `uncounted` replies have no number of tokens, and
    `unpriced` ones no price."""

    experiments: int
    steps: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    uncounted: int
    unpriced: int
    cost: float
    dearest: float
    seconds: float


class RunSummary(NamedTuple):
    """A study in short. Its status is running, finished, failed, interrupted, budget, or stopped where its process is
    gone. `reviews` is the run that it is a second opinion on, `parent` the one that it was forked from."""

    id: str
    goal: str
    driver: str
    llm: str | None
    model: str | None
    task: str | None
    seed: int | None
    reviews: str | None
    parent: str | None
    forked_at: int | None
    status: str
    budget: Json
    spent: Json
    started: str
    ended: str | None
    error: str | None
    error_code: str | None
    experiment_count: int
    note_count: int
    report: bool


class Run(NamedTuple):
    """A study with all that happened in it.

    request      the hash of what its language model was asked with
    seal         what a report of it carries now
    report       the source of its latest report
    questions    what it asks, as registered
    waiting      the user's words that no turn carries yet
    reviewed_by  the runs that are a second opinion on it
    resumed      when it was taken up again
    turns        its conversation, where it was asked for
    """

    id: str
    goal: str
    driver: str
    llm: str | None
    model: str | None
    task: str | None
    seed: int | None
    status: str
    budget: Json
    spent: Json
    environment: Json
    started: str
    ended: str | None
    error: str | None
    error_code: str | None
    reviews: str | None
    request: str | None
    parent: str | None
    forked_at: int | None
    seal: str | None
    questions: Sequence[Question]
    timeline: Sequence[Event]
    hypotheses: Sequence[Hypothesis]
    notes: Sequence[Note]
    experiments: Sequence[ExperimentSummary]
    report: str | None
    waiting: Sequence[str]
    reviewed_by: Sequence[str]
    forks: Sequence[str]
    resumed: Sequence[str]
    turns: Sequence[Turn] = ()


class TaskOrigin(NamedTuple):
    """The lines of a task that is not built in, and where it came from, as far as that is known."""

    name: str
    fingerprint: str
    content: str
    created: str
    card: Json | None
    maker: str | None
    run: str | None
    spec: Json | None


class Written(NamedTuple):
    """A row that a call of a conversation wrote: its number, and what tells it from others.

    Of an experiment its configuration's hash and how it failed; of a task its name and fingerprint.
    """

    number: int
    config_hash: str | None = None
    error_type: str | None = None
    error: str | None = None
    name: str | None = None
    fingerprint: str | None = None


def as_json(value: Any) -> Any:
    """A record, or anything that holds records, as plain dictionaries and lists."""
    if isinstance(value, tuple):
        row = cast("tuple[Any, ...]", value)
        names: tuple[str, ...] | None = getattr(row, "_fields", None)
        if names is None:
            return [as_json(one) for one in row]
        # A name that Python keeps for itself, such as in, is written in_.
        return {name.rstrip("_"): as_json(one) for name, one in zip(names, row, strict=True)}
    if isinstance(value, list):
        return [as_json(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in cast("dict[str, Any]", value).items()}
    return value
