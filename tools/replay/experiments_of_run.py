"""The experiments of a repeated run: measured again and compared with the log, or taken from it.

If a result agrees within the tolerance, the repeated run records the numbers of the log. So everything that is later
said about it, chosen by it or judged from it must be the same to the byte, even on another machine.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...db import records
from ...db.ids import show_id
from ...db.read.reader import Reader
from ...db.records import as_json
from ...experiments.experiment import Experiment
from ...experiments.result import Result, notes_of
from ..workbench.circuits import as_found
from ..workbench.run_experiment import measured
from .experiment import TOLERANCE, compare, other_statistics
from .scratch import Scratch

if TYPE_CHECKING:
    from ...experiments.lab import Lab

_NUMERAL = re.compile(r"(?<![\w.])[+\-−]?\d+\.?\d*(?:e[+-]?\d+)?(?![\w])")


class Diverged(BaseException):
    """Where and how a repetition diverges from the log. It derives from BaseException, like KeyboardInterrupt, because
    a fault of a tool would become an answer.

    `kind` is request, tool answer, experiment, verdict, report or ending; `was` and `now` are the texts to compare.
    """

    code = "diverged"

    def __init__(self, kind: str, what: str, was: str = "", now: str = "") -> None:
        super().__init__(what)
        self.kind, self.what, self.was, self.now = kind, what, was, now


@dataclass
class Repeated:
    """`Context.measure` in a replay, which also counts what was compared so far."""

    reader: Reader
    scratch: Scratch
    fast: bool = False
    tolerance: float = TOLERANCE
    experiments: int = 0
    values: int = 0
    largest: float = 0.0

    def __call__(self, experiment: Experiment, lab: Lab) -> Result:
        """The logged result. Raises Diverged if the new result differs. If the logged experiment failed and this one
        fails in the same way, raises the same error."""
        name = show_id("experiment", self.scratch.begun)
        logged = self.reader.experiment(self.scratch.begun) if self._is_logged() else None
        if logged is None:
            raise Diverged("experiment", f"{name} is not in the log, where this call ran no experiment.")
        self._require_same_question(experiment, lab, logged)
        error: Exception | None = None
        # A lack of time or memory depends on the machine, and a refusal on the user.
        if not self.fast and logged.error_type not in ("TooLong", "OutOfMemory", "NotApproved", "Skipped"):
            try:
                now = measured(experiment, lab)
                if logged.status == "done":
                    self._compare(logged, now)
                else:
                    raise Diverged(
                        "experiment", f"{name} failed in the log, and succeeds now.", _failure(logged), now.found
                    )
            except Exception as fault:
                error = fault
                kind = type(fault).__name__
                again = f"{kind}: {' '.join(str(fault).split())[:2000] or kind}"
                if again != _failure(logged):
                    what = (
                        f"{name} failed differently" if logged.error else f"{name} succeeded in the log, and fails now"
                    )
                    raise Diverged("experiment", f"{what}.", _failure(logged), again) from fault
        if logged.status == "done":
            return self._result(logged)
        raise error or type(str(logged.error_type), (Exception,), {})(logged.error)

    def _is_logged(self) -> bool:
        return any(row.id == show_id("experiment", self.scratch.begun)
                   for row in self.reader.experiments(run=self.scratch.run))  # fmt: skip

    def _require_same_question(self, experiment: Experiment, lab: Lab, logged: records.Experiment) -> None:
        name = logged.id
        # A field that did not exist yet gets the value that its absence meant.
        was = {"kind": logged.kind, **experiment.as_logged(logged.config)}
        now = {"kind": experiment.kind, **experiment.config()}
        if was != now:
            told = ("\n".join(f"{k}: {v}" for k, v in sorted(one.items())) for one in (was, now))
            raise Diverged("experiment", f"{name} has a different configuration.", *told)
        if lab.subject.fingerprint != logged.subject.fingerprint:
            raise Diverged("experiment", f"{name} was measured on different weights.",
                           logged.subject.fingerprint, lab.subject.fingerprint)  # fmt: skip
        if lab.task.fingerprint() != logged.task_fingerprint:
            raise Diverged("experiment", f"{name} was measured on a different version of the task {experiment.task}.")

    def _compare(self, logged: records.Experiment, now: Result) -> None:
        found = compare(logged, now, self.tolerance, circuits=self.reader.circuits_of(self.scratch.begun))
        self.experiments += 1
        self.values += found["compared"]
        self.largest = max(self.largest, found["largest"])
        if not found["same"]:
            lines: list[str] = found["differences"]
            raise Diverged("experiment", f"{logged.id} measures different values:\n" + "\n".join(lines))
        if other_statistics(logged):
            # The text of `found` depends on the p-values.
            return
        was, says = (
            _result_text(logged.found or "", logged.notes),
            _result_text(now.found, [note.text for note in now.notes]),
        )
        if _NUMERAL.sub("#", was) != _NUMERAL.sub("#", says):
            raise Diverged("experiment", f"{logged.id} has different findings.", was, says)

    def _result(self, logged: records.Experiment) -> Result:
        import numpy as np

        parts = as_json({
            "measurements": logged.measurements, "effects": logged.effects, "samples": logged.samples,
            "figures": logged.figures, "found": logged.found, "doubts": logged.doubts,
        })  # fmt: skip
        parts["notes"] = notes_of(logged.notes, logged.note_codes)
        parts["circuits"] = [as_found(one) for one in self.reader.circuits_of(self.scratch.begun)]
        arrays = {
            one.name: np.load(io.BytesIO(self.reader.artifact(self.scratch.begun, one.name)), allow_pickle=False)
            for one in logged.artifacts
        }
        return Result.model_validate({**parts, "arrays": arrays})


def _failure(row: records.Experiment) -> str:
    return f"{row.error_type}: {row.error}"


def _result_text(found: str, notes: Sequence[str]) -> str:
    return "\n".join([found, *notes])
