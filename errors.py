"""Every error that Lashley raises on purpose. The text of each is one line that names what is wrong and what to do.

    try:
        found = lashley.run(lashley.HeadAblation(heads=["L99.H0"]))
    except lashley.errors.BadConfiguration as fault:
        print(fault)

`OURS` contains all of them, for `except`. The commands print the same lines. Any other exception is a bug in Lashley.

    ExperimentError      the base of errors about a subject, a task or an experiment
      UnknownName        an unknown model, task, kind, metric, figure or array; names the nearest ones
      UnsupportedModel   a model that cannot be loaded, or whose anatomy cannot be verified
      BadTask            bad prompts or task file, or a request for more prompts than there are
        BadLines         a BadTask with a list of all faults of the prompts, `faults`
      BadConfiguration   a field, site or value that the experiment, the subject or the task does not have
      OutOfMemory, TooLong, Skipped, NotApproved, NotANumber   an experiment that did not finish
    ToolError            a valid request that cannot be carried out
    CannotWrite          the files of a report cannot be written
    TrackerError         the base of errors about the tracker
      NotATracker, NewerSchema, NotAnId, NoSuchId, NotRecorded, QueryRefused, TrackerFails
    DriverError          the base of errors about the language model that drives a study
      NoKey, WrongKey, Unreachable, QuotaSpent, ContextOverflow, BadReply, BadRequest
"""

from .agent.drivers.conversation import (
    BadReply,
    BadRequest,
    ContextOverflow,
    DriverError,
    NoKey,
    QuotaSpent,
    Unreachable,
    WrongKey,
)
from .db.errors import (
    NewerSchema,
    NoSuchId,
    NotAnId,
    NotATracker,
    NotRecorded,
    QueryRefused,
    TrackerError,
    TrackerFails,
)
from .experiments.errors import (
    BadConfiguration,
    BadTask,
    ExperimentError,
    NotANumber,
    NotApproved,
    OutOfMemory,
    Skipped,
    TooLong,
    UnknownName,
    UnsupportedModel,
)
from .experiments.tasks.from_file import BadLines
from .tools.errors import CannotWrite, ToolError

OURS = (ExperimentError, ToolError, TrackerError, CannotWrite, DriverError)

__all__ = [
    "OURS",
    "BadConfiguration",
    "BadLines",
    "BadReply",
    "BadRequest",
    "BadTask",
    "CannotWrite",
    "ContextOverflow",
    "DriverError",
    "ExperimentError",
    "NewerSchema",
    "NoKey",
    "NoSuchId",
    "NotANumber",
    "NotATracker",
    "NotAnId",
    "NotApproved",
    "NotRecorded",
    "OutOfMemory",
    "QueryRefused",
    "QuotaSpent",
    "Skipped",
    "TooLong",
    "ToolError",
    "TrackerError",
    "TrackerFails",
    "UnknownName",
    "Unreachable",
    "UnsupportedModel",
    "WrongKey",
]
