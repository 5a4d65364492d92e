"""A model in Python: the subject of experiments, and the source of raw tensors through the same engine."""

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

# The loaded subjects by name, as long as something refers to them.
loaded: WeakValueDictionary[str, Subject] = WeakValueDictionary()


class Model:
    """A loaded model that has passed its self-check; `lashley.load` makes it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @property
    def name(self) -> str:
        """The name in results. For a model that was already in memory it begins with "memory:"."""
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
        """Run the intact model on some prompts: the values at these sites, and the logits; for shapes see
        `Activations`.

        prompts  texts, or rows of token ids [prompt, position]

        Raises BadConfiguration for an unknown site, BadTask for prompts that cannot be asked.
        """
        return self.intervene(prompts, (), sites)

    def intervene(
        self,
        prompts: str | Prompt | Sequence[str | Prompt] | Tensor,
        edits: Sequence[Edit | str],
        read: Sequence[str] = (),
    ) -> Activations:
        """Run one pass with all these edits (a site alone means zero): the logits, and the values at the sites of
        `read`, after the edits there; for shapes see `Activations`.

        Raises BadConfiguration for an unknown site or a value that does not fit, BadTask for prompts that cannot be
        asked.
        """
        from ...experiments.model.in_memory import require_unchanged
        from .raw import one_pass

        require_unchanged(self.subject)
        return one_pass(self.subject, prompts, edits, read)


def require_task(task: Any) -> None:
    """Raises ToolError for anything that cannot be the task of a study."""
    from ...experiments.tasks.task import Task

    require_types(task=(task, str, Task))


def name_to_study(model: Any) -> str:
    """The name by which a replay of a study can load the model. Raises ToolError."""
    from ...experiments.model.in_memory import in_memory

    if not isinstance(model, Model):
        raise ToolError("model must be a name, or what lashley.load() returns.")
    if in_memory(model.subject):
        raise ToolError(
            f"A replay must be able to load the model, but {model.name} exists only in the memory of this process: "
            "save it and its tokenizer with save_pretrained(), and name the folder."
        )
    return model.name


def load(model: Any, tokenizer: Any = None, *, name: str | None = None, device: str | None = None) -> Model:
    """A model to work with: one that has a name in the commands, or one that is already in memory.

    model      an alias ("smollm2-135m"), a Hub id, a folder or a .gguf file; or a causal language model of
               transformers, which stays unchanged; a half-precision model is measured in fp32, as a copy
    tokenizer  that of a model in memory
    name       the name of a model in memory in results, after "memory:"
    device     where a named model runs: "cpu", "cuda", "cuda:1", "mps" or "auto"; a model in memory stays where it is

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
            raise ToolError(
                "A model that is loaded by name has its own tokenizer and name: leave out tokenizer and name."
            )
        from ...experiments.model.loading import load as load_subject

        subject = load_subject(model, device)
        loaded[subject.name] = subject
        return Model(subject)
    if device is not None:
        raise ToolError("A model in memory stays on its device: move it with model.to(device), and leave out device.")
    from ...experiments.model.in_memory import subject_of

    return Model(subject_of(model, tokenizer, name))
