"""The records of the tracker, which the methods of `Reader` return.

They are named tuples: a list of 100,000 experiments takes a third of the time that it would with frozen dataclasses.
Only the standard library is imported, so browsing starts at once. Ids are short ("E12"); JSON is parsed.

    Run            RunSummary         Turn, Words, Report, Request, SpentSoFar, Event
    Experiment     ExperimentSummary  Subject, Measurement, Effect, Sample, Figure, Artifact, Doubt
    Circuit        CircuitSummary     CircuitEdge
    Note           Hypothesis         HypothesisEvent, Prediction, Judgement
    TaskOrigin     Family             StrongEffect, Weights, Written

`as_json` converts a record to what the commands print with --json.
"""

# Annotations are not strings, which would be compiled one by one: browsing starts ten milliseconds sooner.
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

Json = Mapping[str, Any]
"""Any JSON object: a configuration, a message, the data of a figure, a budget, an environment."""


class Subject(NamedTuple):
    """A model that was studied."""

    name: str
    fingerprint: str
    architecture: str
    anatomy: Json


class Weights(NamedTuple):
    """The weights of a subject, by fingerprint."""

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

    percentile  the share of matched random sites that changed less, in %
    q           p corrected over the effects of the experiment
    p_max       p that the largest of all effects is this large
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
    """The subject's answer to one prompt: intact, and edited if it was edited."""

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
    """Data kept as bytes; `Reader.artifact` returns them."""

    name: str
    media_type: str
    size: int
    sha256: str


class CircuitEdge(NamedTuple):
    """An edge of a circuit: `receiver` reads what `sender` writes. `share` is the change without it, as a share of the
    whole difference; it is an estimate unless `measured`."""

    sender: str
    receiver: str
    share: float
    measured: bool

    @property
    def text(self) -> str:
        return f"{self.sender} -> {self.receiver}"


class CircuitSummary(NamedTuple):
    """A circuit in short: the experiment that found it, and how.

    size          how many edges it has
    possible      how many edges its subject has
    members       the parts at the ends of its edges
    faithfulness  the share of the difference that it carries on the prompts it was found on, with its interval and n
    """

    id: str
    experiment: str
    model: str
    fingerprint: str
    task: str | None
    method: str
    ranking: str
    replacement: str
    metric: str
    size: int
    possible: int
    members: Sequence[str]
    faithfulness: float | None
    low: float | None
    high: float | None
    n: int | None
    created: str


class Circuit(NamedTuple):
    """A circuit with its edges, the strongest first; of a very large one, only the strongest (see `size`)."""

    id: str
    experiment: str
    model: str
    fingerprint: str
    task: str | None
    method: str
    ranking: str
    replacement: str
    metric: str
    size: int
    possible: int
    members: Sequence[str]
    faithfulness: float | None
    low: float | None
    high: float | None
    n: int | None
    created: str
    edges: Sequence[CircuitEdge]

    @property
    def whole(self) -> bool:
        """Whether all its edges are kept."""
        return len(self.edges) == self.size


class Doubt(NamedTuple):
    """A reason to doubt a result: a code for programs, and a sentence."""

    code: str
    text: str


# An interrupted experiment is marked as running in the file, but its process has ended.
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
    """One experiment with all results, and the ids of the notes and hypotheses that cite it."""

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
    circuits: Sequence[CircuitSummary]
    cited_by: Sequence[str]


class Family(NamedTuple):
    """The number of comparisons for one subject, task and kind; significant: q below 0.05."""

    model: str
    fingerprint: str
    task: str | None
    kind: str
    experiments: int
    comparisons: int
    significant: int


class StrongEffect(NamedTuple):
    """The latest effect measured at a site, and how often the site was measured; `id` is its experiment's."""

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
    """An observation that later studies can find; `experiments` are the ids that it cites."""

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
    """The result of a prediction: the quantity with its interval, p for the bound, and the side it supports."""

    experiment: str
    value: float
    n: int | None
    p: float
    side: str
    low: float | None
    high: float | None


class Prediction(NamedTuple):
    """What a hypothesis predicts for an experiment, and the result: None before its test."""

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
    """A hypothesis with its history and its predictions."""

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
    """One message of a study's conversation; for a reply, also its tokens and its cost in US dollars."""

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
    """A message from the user to a study that no turn contains yet."""

    id: int
    text: str
    created: str


class Question(NamedTuple):
    """A question of a run: a claim without a verdict as JSON, its wording by the program, and who registered it
    ("driver", or "goal" if the program read it from the goal)."""

    claim: Json
    text: str
    origin: str
    call: str | None
    created: str


class Report(NamedTuple):
    """The source of a report with its claims (for a review: its verdicts), and the call that wrote it; None if the
    program wrote it."""

    source: str
    claims: Sequence[Json]
    call: str | None
    created: str


class Request(NamedTuple):
    """The instructions and tools that a language model receives besides the conversation; tools by name."""

    instructions: str
    tools: Mapping[str, Json]


class RelativeTests(NamedTuple):
    """How many predictions a run tested that shares the beginning of another."""

    run: str
    tests: int


class Event(NamedTuple):
    """An event in a study: `what` is run, turn, experiment, note, hypothesis or report."""

    at: str
    what: str
    id: str
    text: str | None


class SpentSoFar(NamedTuple):
    """What a run has spent, by its log; `highest` is the cost of its most expensive reply. `uncounted` replies have no
    token count, and `unpriced` ones no price."""

    experiments: int
    steps: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    uncounted: int
    unpriced: int
    cost: float
    highest: float
    seconds: float


class RunSummary(NamedTuple):
    """A study in short. Its status is running, finished, failed, interrupted, budget, or stopped (its process has ended
    early). `reviews` is the run that it reviews, `parent` the one that it was forked from."""

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
    """A study with everything in it.

    request      the hash of its instructions and tools
    seal         the seal that a report of it contains now
    report       the source of its latest report
    questions    its registered questions
    waiting      the user's messages that no turn contains yet
    reviewed_by  the runs that review it
    resumed      when it was resumed
    turns        its conversation, if requested
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
    """The lines of a task that is not built in, and its origin, if known."""

    name: str
    fingerprint: str
    content: str
    created: str
    card: Json | None
    maker: str | None
    run: str | None
    spec: Json | None


class Written(NamedTuple):
    """A row that a call of a conversation wrote: its number, and what identifies it.

    For an experiment, the hash of its configuration and its error; for a task, its name and fingerprint.
    """

    number: int
    config_hash: str | None = None
    error_type: str | None = None
    error: str | None = None
    name: str | None = None
    fingerprint: str | None = None


def as_json(value: Any) -> Any:
    """A record, or a structure of records, as plain dictionaries and lists."""
    if isinstance(value, tuple):
        row = cast("tuple[Any, ...]", value)
        names: tuple[str, ...] | None = getattr(row, "_fields", None)
        if names is None:
            return [as_json(one) for one in row]
        # A field with the name of a Python keyword, such as in, is called in_.
        return {name.rstrip("_"): as_json(one) for name, one in zip(names, row, strict=True)}
    if isinstance(value, list):
        return [as_json(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: as_json(one) for name, one in cast("dict[str, Any]", value).items()}
    return value
