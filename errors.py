"""Every error that Lashley raises on purpose. The text of each is one line that names what is wrong and what to do.

    try:
        found = lashley.run(lashley.HeadAblation(heads=["L99.H0"]))
    except lashley.errors.BadConfiguration as fault:
        print(fault)

`OURS` is all of them at once, for an `except`. The commands print the same lines. Anything else that comes out of
Lashley is a bug of ours.

    ExperimentError      the base of what a subject, a task or an experiment is refused for
      UnknownName        a model, task, kind, metric, figure or array that is not there; the nearest names
      UnsupportedModel   a model that cannot be loaded, or whose anatomy could not be verified
      BadTask            prompts, a task file, or a request for prompts that cannot be met
        BadLines         a BadTask with each fault of the prompts in its `faults`
      BadConfiguration   a field, a site or a value that the experiment, the subject or the task does not have
      OutOfMemory, TooLong, NotApproved, NotANumber   an experiment that could not be done
    ToolError            what was asked is understood, and cannot be done as asked
    CannotWrite          a report whose files cannot be written
    TrackerError         the base of what goes wrong with a tracker
      NotATracker, NewerSchema, NotAnId, NoSuchId, NotRecorded, QueryRefused, TrackerFails
    DriverError          the base of what goes wrong with a language model
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
    "TooLong",
    "ToolError",
    "TrackerError",
    "TrackerFails",
    "UnknownName",
    "Unreachable",
    "UnsupportedModel",
    "WrongKey",
]
