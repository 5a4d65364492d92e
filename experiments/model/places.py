"""What the name of a model means: what transformers loads, from where, and with which adapter.

A name is one of our aliases (`smollm2-135m`), a Hub id, with a revision if needed (`EleutherAI/pythia-160m@step1000`),
a local folder, or a `.gguf` file. A folder (or a Hub id) with an adapter leads to its base model by the name that the
adapter's author gave it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ExperimentError, UnknownName, UnsupportedModel
from .adapter import CONFIG, WEIGHTS, base_of
from .bundled import ALIASES, bundled_folder, gguf_folder
from .hub import adapter_folder, only_cached

# Names of models that exist only in the memory of one Python process; see `in_memory`.
PREFIX = "memory:"


@dataclass(frozen=True)
class Place:
    """A model that `from_pretrained` finds.

    where     a folder, or a Hub id
    local     whether that is on this machine
    revision  of a Hub id: a branch, a tag or a commit
    adapter   the folder of an adapter that is merged into the model
    base      the name of the model that an adapter belongs to
    """

    where: str
    local: bool
    revision: str | None = None
    adapter: Path | None = None
    base: str = ""


def canonical(name: str) -> str:
    """The alias that a name means ('SmolLM2' -> 'smollm2-135m'), or the name itself."""
    squeezed = re.sub(r"[^a-z0-9]", "", name.lower())
    for alias, also in ALIASES.items():
        if squeezed in {re.sub(r"[^a-z0-9]", "", other.lower()) for other in (alias, *also)}:
            return alias
    return name


def locate(name: str, progress: Callable[[str], None] | None = None) -> Place:
    """Where a model is. Raises UnknownName or UnsupportedModel."""
    alias = canonical(name)
    if alias in ALIASES:
        return Place(str(bundled_folder(alias, progress)), True)
    check_name(name)
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        return Place(str(gguf_folder(path, progress)), True)
    if path.is_dir():
        return in_folder(name, path, progress)
    asked, _, revision = name.partition("@")
    if progress is not None:
        progress(f"Asking the Hub for {asked}; without a network this takes some seconds")
    place = Place(asked, only_cached(asked, revision or None), revision or None)
    folder = adapter_folder(asked, place.revision, place.local)
    return place if folder is None else in_folder(name, folder, progress)


def check_name(name: str) -> None:
    """Refuse at once, before torch is imported, what is neither here nor a Hub id. Raises UnknownName or
    UnsupportedModel."""
    if canonical(name) in ALIASES:
        return
    if name.startswith(PREFIX):
        raise UnsupportedModel(
            f"'{name}' was only in the memory of a Python process, and its weights were not saved. Load it there with "
            "lashley.load(model, tokenizer), or save it with save_pretrained() and name the folder."
        )
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if path.is_file():
            return
        raise UnsupportedModel(f"There is no file {name}.")
    if path.is_dir():
        check_folder(name, path)
        return
    asked, _, revision = name.partition("@")
    if asked and revision and (canonical(asked) in ALIASES or Path(asked).expanduser().exists()):
        raise UnsupportedModel(
            f"Only models on the Hub have revisions, and '{asked}' is local: leave out '@{revision}'"
        )
    if not re.fullmatch(r"[\w.\-]+(/[\w.\-]+)?(@[\w.\-/]+)?", name) or name.startswith((".", "/")):
        raise UnknownName("model", name, ALIASES, "You can also name a Hub id, a local folder or a .gguf file.")
    if "/" not in asked and difflib.get_close_matches(asked.lower(), known := names(), cutoff=0.8):
        # No Hub id of that look is meant; asking the Hub would only take a minute to say so.
        raise UnknownName("model", name, known)


def names() -> set[str]:
    """All names of all that is bundled."""
    return {*ALIASES, *sum(ALIASES.values(), ())}


def check_folder(name: str, folder: Path) -> None:
    """Raises UnsupportedModel for a folder that lacks files which a model or an adapter must have."""
    full, adapter = (folder / "config.json").is_file(), (folder / CONFIG).is_file()
    if not full and not adapter:
        raise UnsupportedModel(
            f"The folder {name} is not a model: it has neither a config.json nor an {CONFIG} (of a LoRA adapter)."
        )
    if full and all(file.name == WEIGHTS for file in folder.glob("*.safetensors")):
        raise UnsupportedModel(
            f"The folder {name} has no .safetensors weights. Pickled weights are refused. Save it again with "
            "save_pretrained()."
        )
    if adapter and not (folder / WEIGHTS).is_file():
        raise UnsupportedModel(f"The adapter in {name} has no {WEIGHTS}. Pickled weights are refused. Save it again.")


def in_folder(name: str, folder: Path, progress: Callable[[str], None] | None) -> Place:
    """The model in a folder, or the base model of the adapter in it."""
    check_folder(name, folder)
    full, adapter = (folder / "config.json").is_file(), (folder / CONFIG).is_file()
    if full:
        # The model in the folder of an adapter is its base, as in transformers.
        return Place(str(folder), True, adapter=folder if adapter else None, base=name if adapter else "")
    base = base_of(name, folder)
    if Path(base).expanduser().resolve() == folder.resolve():
        raise UnsupportedModel(f"The adapter in {name} names its own folder as its base model, which has no model.")
    try:
        place = locate(base, progress)
    except ExperimentError as fault:
        raise UnsupportedModel(f"The base model of the adapter in {name} is not available. {fault}") from fault
    if place.adapter is not None:
        raise UnsupportedModel(
            f"The base model of the adapter in {name} is itself an adapter ({base}). Merge that one first: "
            "merge_and_unload() in peft, then save_pretrained()."
        )
    return replace(place, adapter=folder, base=base)
