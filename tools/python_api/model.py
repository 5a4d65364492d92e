"""A model in Python: what experiments run on, and raw tensors of it through the same engine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from ..errors import ToolError, require_types

if TYPE_CHECKING:
    from torch import Tensor

    from ...experiments.model.subject import Subject
    from ...experiments.tasks.prompt import Prompt
    from .raw import Activations, Edit

# The subjects that are loaded by their names, as long as somebody holds them.
loaded: WeakValueDictionary[str, Subject] = WeakValueDictionary()


class Model:
    """A model that is loaded and has passed its self-check; `lashley.load` makes it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @property
    def name(self) -> str:
        """By which results call it; of a model that was in memory already it begins with "memory:"."""
        return self.subject.name

    @property
    def fingerprint(self) -> str:
        """A hash over weights, configuration and vocabulary."""
        return self.subject.fingerprint

    @property
    def sizes(self) -> dict[str, int]:
        """n_layers, n_heads, n_kv_heads, d_head, d_model, d_mlp; "L3.n_heads" where layers differ."""
        return dict(self.subject.sizes)

    @property
    def tokenizer(self) -> Any:
        return self.subject.tokenizer

    def __repr__(self) -> str:
        return f"<{self.name}: {self.subject.anatomy.architecture}, {self.sizes['n_layers']} layers>"

    def activations(self, prompts: str | Prompt | Sequence[str | Prompt] | Tensor, sites: Sequence[str]) -> Activations:
        """The intact model on some prompts: what is at these sites, and the logits; shapes as `Activations` says.

        prompts  texts, or rows of token ids [prompt, position]

        Raises BadConfiguration for a site that is not there, BadTask for prompts that cannot be asked.
        """
        return self.intervene(prompts, (), sites)

    def intervene(
        self,
        prompts: str | Prompt | Sequence[str | Prompt] | Tensor,
        edits: Sequence[Edit | str],
        read: Sequence[str] = (),
    ) -> Activations:
        """One pass with all these edits made (a site alone is set to zero): the logits, and what is at the sites of
        `read`, after the edits there; shapes as `Activations` says.

        Raises BadConfiguration for a site that is not there or a value that does not fit, BadTask for prompts that
        cannot be asked.
        """
        from ...experiments.model.in_memory import require_unchanged
        from .raw import one_pass

        require_unchanged(self.subject)
        return one_pass(self.subject, prompts, edits, read)


def require_task(task: Any) -> None:
    """Raises ToolError for what a study could not take as its task."""
    from ...experiments.tasks.task import Task

    require_types(task=(task, str, Task))


def name_to_study(model: Any) -> str:
    """The name by which a model can be loaded again, as a replay of a study has to. Raises ToolError."""
    from ...experiments.model.in_memory import in_memory

    if not isinstance(model, Model):
        raise ToolError("model must be a name, or what lashley.load() gives.")
    if in_memory(model.subject):
        raise ToolError(
            f"A study is to be replayed, and {model.name} is in the memory of this process alone: save it with "
            "save_pretrained(), with its tokenizer, and name the folder."
        )
    return model.name


def load(model: Any, tokenizer: Any = None, *, name: str | None = None, device: str | None = None) -> Model:
    """A model to work with: one that the commands know by its name, or one that is in memory already.

    model      an alias ("smollm2-135m"), a Hub id, a folder or a .gguf file; or a causal language model of
               transformers, which is left as it was; half precision is measured in fp32, in a copy
    tokenizer  of a model in memory
    name       by which results call a model in memory, after "memory:"
    device     where a named model runs: "cpu", "cuda", "cuda:1", "mps" or "auto"; one in memory stays where it is

    Raises UnknownName, UnsupportedModel, BadConfiguration and ToolError.
    """
    if isinstance(model, Model):
        return model
    require_types(device=(device, str), name=(name, str))
    if isinstance(model, os.PathLike):
        # A path is never the id of a model on the Hub.
        path: Any = os.fspath(cast("os.PathLike[str]", model))
        model = path if os.path.isabs(path) else os.path.join(os.curdir, path)
    if isinstance(model, str):
        if tokenizer is not None or name is not None:
            raise ToolError("A model that is loaded by its name has its own tokenizer and name: give nothing else.")
        from ...experiments.model.loading import load as load_subject

        subject = load_subject(model, device)
        loaded[subject.name] = subject
        return Model(subject)
    if device is not None:
        raise ToolError("A model in memory is used where it is: move it with model.to(device) and leave device out.")
    from ...experiments.model.in_memory import subject_of

    return Model(subject_of(model, tokenizer, name))
