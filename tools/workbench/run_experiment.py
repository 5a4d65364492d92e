"""Run one experiment and keep everything of it.

The row is written before the experiment starts, so a crash leaves a truthful record. The same configuration
on the same subject, task and code is not run again: the earlier experiment is the answer, and no new evidence.
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
from ...experiments.errors import ExperimentError, NotANumber, OutOfMemory, TooLong
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

    What this very call did before the program was stopped is its outcome, and no earlier one.

    What was asked for wrongly leaves no row. Raises ExperimentError when the subject or the task is not there at all,
    or does not hold what is asked of it, and TrackerError.
    """
    from ...experiments.model.places import canonical
    from . import unfinished

    experiment = experiment.model_copy(update={"model": canonical(experiment.model)})
    context.check(experiment)
    for row in context.written("experiments"):
        if row.config_hash == experiment.config_hash() and row.error_type != INTERRUPTED:
            return Outcome(row.number, error=error_line(row.error_type, row.error))
    # Asked before the weights are loaded, which takes longer than all the rest where an earlier result answers.
    known = context.known(experiment)
    if known is not None and not fresh and (earlier := found_again(context, experiment, *known, reason)):
        return earlier
    lab = context.lab(experiment.model, experiment.task, experiment.chat, experiment.system)
    fingerprint = lab.task.fingerprint()
    if not fresh:
        # What was known may have changed while the model was loaded; what was not known is so now.
        if earlier := found_again(context, experiment, lab.subject.fingerprint, fingerprint, reason):
            return earlier
        same = experiment.config_hash(), lab.subject.fingerprint, fingerprint, code_version()
        if begun := context.store.find_unfinished(unfinished.NAME, *same):
            lab.kept = unfinished.unpacked(begun[1])
            context.say(f"Taking up {show_id('experiment', begun[0])}, which was interrupted.")
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
        """The time in which the user thinks is not the experiment's."""
        if gate is not None and gate.open(expected):
            lab.progress = within(limit, context.progress)

    def seconds() -> float:
        return time.monotonic() - began - (gate.waited if gate else 0.0)

    lab.progress, lab.before = within(limit, context.progress), before if gate else None
    found: tuple[dict[str, Any], float, dict[str, tuple[str, bytes]]] | None = None
    try:
        before(None)
        result = (context.measure or measured)(experiment, lab)
        arrays = {k: array_bytes(v) for k, v in result.arrays.items()}
        found = result.model_dump(), seconds(), arrays
        context.store.finish_experiment(number, *found)
    except KeyboardInterrupt:
        # What was found, and waits for the tracker, is kept beside it.
        if found is None:
            done = unfinished.packed(lab.kept)
            context.store.fail_experiment(number, INTERRUPTED, "Stopped by the user.", seconds(), done, leave=True)
        raise
    except TrackerFails:
        # Nothing is wrong with the experiment. Its row says that it is running: what was found is kept beside the
        # tracker, or it is done again when the study is.
        raise
    except Exception as fault:  # noqa: BLE001 - whatever a kind does wrong is a record and an answer, never the end of a run
        kind, text = type(fault).__name__, " ".join(str(fault).split()) or type(fault).__name__
        done = unfinished.packed(lab.kept) if isinstance(fault, TooLong) else {}
        context.store.fail_experiment(number, kind, text[:2000], seconds(), done)
        return Outcome(number, error=error_line(kind, text))
    return Outcome(number)


def found_again(
    context: Context, experiment: Experiment, subject: str, task: str, reason: str | None
) -> Outcome | None:
    """The earlier experiment with this configuration on this subject and task by this code, which a study reuses."""
    earlier = context.store.find_experiment(experiment.config_hash(), subject, task, code_version())
    if earlier is None:
        return None
    if context.run is not None:
        context.store.reuse_experiment(context.run, earlier, reason, context.turn, context.call)
    return Outcome(earlier, reused=True)


def error_line(error_type: str | None, error: str | None) -> str | None:
    """What went wrong, from what is logged of it: errors of ours speak for themselves."""
    if error_type is None or error is None:
        return None
    ours = isinstance(known := getattr(errors, error_type, None), type) and issubclass(known, ExperimentError)
    return (error if ours else f"{error_type}: {error}")[:600]


def code_of(error_type: str | None) -> str:
    """The code of a failure by the class that is logged: that of an error of ours, or of a fault inside."""
    return getattr(getattr(errors, error_type or "", None), "code", "tool_failed")


def measured(experiment: Experiment, lab: Any) -> Result:
    """`run`, with memory that ended and numbers that are no numbers turned into errors of ours. What it found ends with
    how the prompts were asked, where that is not as plain text."""
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
            f"The memory of {lab.subject.device} does not suffice for this; take a smaller n, fewer places, shorter "
            "prompts or a smaller model."
        ) from fault
    except ValidationError as fault:
        if any(e["type"] == "finite_number" for e in fault.errors()):
            raise NotANumber(
                "A measurement came out as NaN or infinite, so nothing was recorded as a result."
            ) from fault
        raise


def array_bytes(array: Any) -> tuple[str, bytes]:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return "application/x-npy", buffer.getvalue()


def logged_experiment(kind: str, config: Mapping[str, Any]) -> Experiment:
    """A configuration of the tracker back to its object, as it was meant when it was logged. Raises as
    `experiment_from`."""
    from ...experiments.kinds import registry

    return experiment_from(kind, registry.kind(kind).as_logged(config))


def experiment_from(kind: str, config: dict[str, Any]) -> Experiment:
    """A configuration back to its object. Raises UnknownName, or ToolError with what is wrong in it."""
    from pydantic import ValidationError

    from ...experiments.explain import explain
    from ...experiments.kinds import registry

    try:
        return registry.kind(kind).model_validate(config)
    except ValidationError as fault:
        raise refused("bad_configuration", faults=explain(fault)) from fault
