"""Lashley: an autonomous research agent for the interpretability of language models.

In Python, for a notebook (docs/python.md shows all of it):

    model = lashley.load("smollm2-135m")               or lashley.load(hf_model, tokenizer)
    task = lashley.Task([lashley.Prompt("Grass is", " green", distractor=" blue"), ...])
    found = lashley.run(lashley.HeadAblation(n=8), model=model, task=task)
    study = lashley.study("Which heads does the model use to add?", task="arithmetic")
    tracker = lashley.open("lashley.db")

The kinds of experiments are here by the names of their classes. Importing this package loads none of it: what a name
stands for is imported when it is first asked for. `__init__.pyi`, which is made from the same table, tells editors and
type checkers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# What is public besides the kinds: each name, and the module that has it.
PUBLIC = {
    "Activations": "tools.python_api.raw",
    "Edit": "tools.python_api.raw",
    "Experiment": "experiments.experiment",
    "Found": "tools.python_api.found",
    "Hypothesis": "tools.python_api.study",
    "Logged": "tools.python_api.found",
    "Model": "tools.python_api.model",
    "Prompt": "experiments.tasks.own",
    "Result": "experiments.result",
    "Study": "tools.python_api.study",
    "Task": "experiments.tasks.own",
    "Tracker": "tools.python_api.notebook",
    "errors": "errors",
    "load": "tools.python_api.model",
    "open": "tools.python_api.notebook:Tracker",
    "run": "tools.python_api.notebook",
    "study": "agent.study.from_python",
}


def __getattr__(name: str) -> Any:
    """What a public name stands for, imported now; a kind by the name of its class; `__all__`."""
    if name == "__all__":
        # A star import must not put `open` in the place of Python's own.
        return [one for one in __dir__() if one != "open"]
    if name in PUBLIC:
        module, _, inside = PUBLIC[name].partition(":")
        found: Any = import_module(f"{__name__}.{module}")
        found = found if name == module else getattr(found, inside or name)
    elif (found := _kinds().get(name) if name[:1].isupper() else None) is None:
        raise AttributeError(f"module 'lashley' has no attribute '{name}'")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*PUBLIC, *_kinds(), "__version__"})


def _kinds() -> dict[str, Any]:
    """Every kind of experiment, ours and those of installed packages, by the name of its class."""
    from .experiments.kinds.registry import kinds

    return {kind.__name__: kind for kind in kinds().values()}
