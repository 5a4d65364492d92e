"""Runs one experiment and stores everything about it.

The row is written before the experiment starts, so a crash leaves a truthful record. The same configuration
on the same subject, task and code does not run twice: the earlier experiment is the answer, not new evidence.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...db.errors import TrackerFails
from ...db.ids import show_id
from ...db.write.runs import INTERRUPTED
from ...experiments import errors
from ...experiments.errors import ExperimentError, NotANumber, OutOfMemory, Skipped, TooLong
from ...experiments.experiment import Experiment
from ..refusals import refused
from .approval import Gate
from .context import Context
from .deadline import within
from .environment import code_version

if TYPE_CHECKING:
    from ...experiments.result import Result


class Outcome:
    """The experiment's number, whether it is an earlier one, and what went wrong if something did."""

    def __init__(self, number: int, reused: bool = False, error: str | None = None) -> None:
        self.number, self.reused, self.error = number, reused, error
        self.id = show_id("experiment", number)


def run_experiment(context: Context, experiment: Experiment, reason: str | None = None, fresh: bool = False) -> Outcome:
    """Run it, or (unless `fresh`) find the earlier one. A failure is a row and an Outcome with an error.

    If the program stopped during this call before, what the call did then is the outcome, not an earlier experiment.

    A faulty request leaves no row. Raises ExperimentError if the subject or the task does not exist, or does not have
    what the experiment needs, and TrackerError.
    """
    from ...experiments.model.places import canonical
    from . import unfinished
    from .circuits import require_weights, with_edges

    experiment = with_edges(context, experiment.model_copy(update={"model": canonical(experiment.model)}))
    experiment = context.settled(experiment)
    context.check(experiment)
    for row in context.written("experiments"):
        if row.config_hash == experiment.config_hash() and row.error_type != INTERRUPTED:
            return Outcome(row.number, error=error_line(row.error_type, row.error))
    # Checked before the weights are loaded: if an earlier result answers, loading would take the most time.
    known = context.known(experiment)
    if known is not None and not fresh and (earlier := found_again(context, experiment, *known, reason)):
        return earlier
    lab = context.lab(experiment.model, experiment.task, experiment.chat, experiment.system)
    lab.own = context.tasks_to_fit_on(experiment)
    require_weights(context, experiment, lab.subject.fingerprint)
    fingerprint = lab.task.fingerprint()
    if not fresh:
        # The fingerprints may have changed while the model loaded; if they were not known before, they are now.
        if earlier := found_again(context, experiment, lab.subject.fingerprint, fingerprint, reason):
            return earlier
        same = experiment.config_hash(), lab.subject.fingerprint, fingerprint, code_version()
        if begun := context.store.find_unfinished(unfinished.NAME, *same):
            lab.begin(unfinished.unpacked(begun[1]))
            context.say(f"Resuming {show_id('experiment', begun[0])}, which was interrupted.")
    number = context.store.begin_experiment(
        run=context.run,
        kind=experiment.kind,
        model=experiment.model,
        task=experiment.task,
        split=experiment.split,
        n=experiment.n,
        config=experiment.config(),
        config_hash=experiment.config_hash(),
        subject=lab.subject.describe(),
        task_fingerprint=fingerprint,
        code_version=code_version(),
        environment=context.environment,
        reason=reason,
        turn=context.turn,
        call=context.call,
    )
    began, minutes = time.monotonic(), context.experiment_minutes
    limit = None if minutes is None else 60 * minutes
    gate = None if context.approval is None else Gate(context.approval, show_id("experiment", number), experiment)

    def before(expected: float | None) -> None:
        """The time that the user takes to answer does not count as the experiment's."""
        if gate is not None and gate.open(expected):
            lab.progress = within(limit, context.progress, context.skip)

    def seconds() -> float:
        return time.monotonic() - began - (gate.waited if gate else 0.0)

    context.skip()  # a request that came too late for the experiment before
    lab.progress, lab.before = within(limit, context.progress, context.skip), before if gate else None
    found: tuple[dict[str, Any], float, dict[str, tuple[str, bytes]]] | None = None
    try:
        before(None)
        result = (context.measure or measured)(experiment, lab)
        arrays = {k: array_bytes(v) for k, v in result.arrays.items()}
        found = result.model_dump(), seconds(), arrays
        context.store.finish_experiment(number, *found)
    except KeyboardInterrupt:
        # A result that waits for the tracker is kept in a file next to it.
        if found is None:
            done = unfinished.packed(lab.kept)
            context.store.fail_experiment(number, INTERRUPTED, "Stopped by the user.", seconds(), done, leave=True)
        raise
    except TrackerFails:
        # The experiment has no fault. Its row says that it is running: its result is kept next to the tracker, or
        # it is rerun when the study is resumed.
        raise
    except Exception as fault:  # noqa: BLE001 - any fault of a kind becomes a record and an answer; it never ends a run
        kind, text = type(fault).__name__, " ".join(str(fault).split()) or type(fault).__name__
        done = unfinished.packed(lab.kept) if isinstance(fault, (TooLong, Skipped)) else {}
        context.store.fail_experiment(number, kind, text[:2000], seconds(), done)
        return Outcome(number, error=error_line(kind, text))
    return Outcome(number)


def found_again(
    context: Context, experiment: Experiment, subject: str, task: str, reason: str | None
) -> Outcome | None:
    """The earlier experiment with this configuration, subject, task and code, which the study then reuses."""
    earlier = context.store.find_experiment(experiment.config_hash(), subject, task, code_version())
    if earlier is None:
        return None
    if context.run is not None:
        context.store.reuse_experiment(context.run, earlier, reason, context.turn, context.call)
    return Outcome(earlier, reused=True)


def error_line(error_type: str | None, error: str | None) -> str | None:
    """The logged error in one line; errors of other classes than ours begin with their class."""
    if error_type is None or error is None:
        return None
    ours = isinstance(known := getattr(errors, error_type, None), type) and issubclass(known, ExperimentError)
    return (error if ours else f"{error_type}: {error}")[:600]


def code_of(error_type: str | None) -> str:
    """The code of a failure, by its logged class: that of our own error, or the code of an internal fault."""
    return getattr(getattr(errors, error_type or "", None), "code", "tool_failed")


def measured(experiment: Experiment, lab: Any) -> Result:
    """The result of `run`. Lack of memory and NaN or infinite numbers become our own errors. With chat, `found` ends
    with how the prompts were asked."""
    from pydantic import ValidationError

    from ...experiments.model.kernels import is_refused_memory
    from ...experiments.statistics.carried import with_carried

    try:
        if experiment.chat != bool(lab.task.asked):
            raise refused("other_lab")
        result = with_carried(experiment.run(lab))
        found = f"{result.found} {experiment.asked}".strip()
        return result.model_copy(update={"found": found}) if experiment.chat else result
    except (RuntimeError, MemoryError) as fault:
        if not is_refused_memory(fault):
            raise
        raise OutOfMemory(
            f"{lab.subject.device} does not have enough memory for this; use a smaller n, fewer places, shorter "
            "prompts or a smaller model."
        ) from fault
    except ValidationError as fault:
        if any(e["type"] == "finite_number" for e in fault.errors()):
            raise NotANumber("A measurement is NaN or infinite, so no result was recorded.") from fault
        raise


def array_bytes(array: Any) -> tuple[str, bytes]:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return "application/x-npy", buffer.getvalue()


def logged_experiment(kind: str, config: Mapping[str, Any]) -> Experiment:
    """The experiment of a logged configuration, with the meaning that it had when it was logged. Raises what
    `experiment_from` raises."""
    from ...experiments.kinds import registry

    return experiment_from(kind, registry.kind(kind).as_logged(config))


def experiment_from(kind: str, config: dict[str, Any]) -> Experiment:
    """The experiment of a configuration. Raises UnknownName, or ToolError with the faults."""
    from pydantic import ValidationError

    from ...experiments.explain import explain
    from ...experiments.kinds import registry

    try:
        return registry.kind(kind).model_validate(config)
    except ValidationError as fault:
        raise refused("bad_configuration", faults=explain(fault)) from fault
