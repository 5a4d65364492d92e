"""Raw tensors of one pass through the engine: what is at named sites, intact or with edits, and the logits.

Prompts are batched as in experiments: each begins as its tokenizer begins every text, and shorter ones are padded on
the left, so that the last column is the last token of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ...experiments.errors import BadConfiguration, BadTask
from ...experiments.tasks.prompt import Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from ...experiments.interventions import Edit as PlainEdit
    from ...experiments.model.subject import Subject
    from ...experiments.sites import Part, Site
    from ...experiments.tasks.batch import Batch

Change = Literal["zero", "replace", "add", "scale", "project_out"]
NEED_VALUE = ("replace", "add", "project_out")


@dataclass(frozen=True, eq=False)
class Edit:
    """A change at one site: `Edit("L5.H2")` removes head 2 of layer 5.

    site       such as "L5.H2" (a head's z), "L5.attn", "L5.mlp", "L5.resid_pre", "L5.mlp.n7", "L5.K0", "L5.H2.pattern"
    op         zero; replace by `value`; add `factor` times `value`; scale by `factor`; project_out the direction of
               `value`
    value      [width], the same at every prompt and position, or [prompt, position, width]; either of the first two
               may be 1
    factor     for add and scale
    positions  "all" (except pads), "first" or "last" (each prompt's first or last token), the name of a span of the
               prompts, or "all-X": all tokens except those of X, such as "all-first"
    """

    site: str
    op: Change = "zero"
    value: Tensor | None = None
    factor: float = 1.0
    positions: str = "all"


@dataclass(frozen=True, eq=False)
class Activations(Mapping[str, "Tensor"]):
    """The values read in one pass over the prompts: a mapping from the names of sites, as requested.

    tokens  [prompt, position], padded on the left
    mask    [prompt, position], False for pads; values at pads mean nothing
    logits  [prompt, position, vocabulary]

    Shapes by site: resid_pre, resid_post, attn and mlp are [prompt, position, d_model]; a head's z ("L5.H2") is
    [prompt, position, d_head], that of all heads ("L5.z") [prompt, position, head, d_head]; keys and values ("L5.K0",
    "L5.V0") are [prompt, position, d_head]; a neuron ("L5.mlp.n7") is [prompt, position]; a head's pattern
    ("L5.H2.pattern") is [prompt, query, key], that of all heads ("L5.pattern") [prompt, head, query, key].
    """

    tokens: Tensor
    mask: Tensor
    logits: Tensor
    sites: dict[str, Tensor]

    def __getitem__(self, site: str) -> Tensor:
        if site not in self.sites:
            raise BadConfiguration(f"{site} was not read: add it to the sites to read.")
        return self.sites[site]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def __repr__(self) -> str:
        shapes = {name: tuple(value.shape) for name, value in {**self.sites, "logits": self.logits}.items()}
        return f"<activations {', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())}>"


def one_pass(subject: Subject, prompts: Any, edits: Any, read: Any) -> Activations:
    """Run the prompts once through the model with all these edits; return the values at the sites of `read`.

    Raises BadConfiguration for an unknown site or a value that does not fit, BadTask for prompts that cannot be asked,
    and OutOfMemory.
    """
    import torch

    from ...experiments import engine
    from ...experiments.engine.forward import unembed
    from ...experiments.engine.memory import refused_memory
    from ...experiments.sites import check_site, parse_site

    names: list[str] = listed(read, "sites")
    sites = {name: check_site(parse_site(name), subject.sizes) for name in names}
    batch = batch_of(subject, prompts)
    made, sources = placed(subject, batch, listed(edits, "edits"))
    parts: set[Part] = {site.part for site in sites.values()}
    layers = {site.layer for site in sites.values()}
    run = engine.read(subject, batch, parts, layers, edits=made, sources=sources)
    with torch.inference_mode(), refused_memory(subject, batch):
        logits = unembed(subject.model, subject.anatomy, run.at(subject.anatomy.n_layers, "resid_pre"))
    # Copies, because a probe cannot be trained on tensors made in inference mode.
    found = {name: of_site(subject, run, site).clone() for name, site in sites.items()}
    return Activations(batch.ids, batch.mask.bool(), logits.clone(), found)


def listed(given: Any, what: str) -> list[Any]:
    """One or many, as a list. Raises BadConfiguration for anything else."""
    if isinstance(given, (str, Edit)):
        return [given]
    if isinstance(given, Sequence) and all(isinstance(one, (str, Edit) if what == "edits" else str) for one in given):  # pyright: ignore[reportUnknownVariableType]
        return list(cast("Sequence[Any]", given))
    raise BadConfiguration(
        f"{what} must be a list of names such as 'L5.H2'" + (" or of lashley.Edit." if what == "edits" else ".")
    )


def batch_of(subject: Subject, prompts: Any) -> Batch:
    """The prompts as one batch. Raises BadTask if there is none, or one without tokens or with unknown ids."""
    import torch

    from ...experiments.model.encoding import encode
    from ...experiments.tasks.batch import make_batch, token_batch

    if type(prompts).__module__ == "numpy":
        prompts = torch.as_tensor(prompts)
    if isinstance(prompts, torch.Tensor):
        ids = prompts[None] if prompts.dim() == 1 else prompts
        whole = ids.dim() == 2 and ids.numel() and not (ids.is_floating_point() or ids.dtype == torch.bool)
        if not whole or int(ids.min()) < 0 or int(ids.max()) >= subject.anatomy.vocabulary:
            raise BadTask(
                f"Token ids must be whole numbers from 0 to {subject.anatomy.vocabulary - 1}, [prompt, position]."
            )
        return token_batch(ids.to(subject.device, torch.long))
    given: list[Any] = [prompts] if isinstance(prompts, (str, Prompt)) else []
    if isinstance(prompts, Iterable) and not given and not isinstance(prompts, Mapping):
        given = list(cast("Iterable[Any]", prompts))
    if not given or not all(isinstance(one, (str, Prompt)) for one in given):
        raise BadTask("Prompts must be a text, a list of texts or of lashley.Prompt, or token ids [prompt, position].")
    asked: list[Prompt] = []
    for place, one in enumerate(given):
        text: str = one if isinstance(one, str) else one.text
        if not encode(subject.tokenizer, text)[0]:
            raise BadTask(f"Prompt {place} ({text!r}) has no tokens.")
        # Unlike a prompt of a task, it may end with a space: no answer follows it.
        spans: dict[str, tuple[int, int]] = {} if isinstance(one, str) else one.spans
        asked.append(Prompt.model_construct(text=text, answer="", key=text, open=True, spans=spans))
    return make_batch(subject.tokenizer, asked, subject.device)


def placed(subject: Subject, batch: Batch, edits: Sequence[Edit | str]) -> tuple[list[PlainEdit], dict[str, Any]]:
    """The edits in the engine's form, and the values that they name."""
    from ...experiments.engine import Activations as Kept
    from ...experiments.interventions import Edit as PlainEdit
    from ...experiments.sites import check_site, parse_site

    made: list[PlainEdit] = []
    sources: dict[str, Any] = {}
    for number, given in enumerate(edits):
        edit = Edit(given) if isinstance(given, str) else given
        site, source = check_site(parse_site(str(edit.site)), subject.sizes), None
        if edit.op not in ("zero", "scale", *NEED_VALUE):
            raise BadConfiguration(f"There is no edit '{edit.op}': use zero, replace, add, scale or project_out.")
        if (edit.value is not None) != (edit.op in NEED_VALUE):
            says = "needs a value" if edit.value is None else "takes no value"
            raise BadConfiguration(f"The edit {edit.op} at {edit.site} {says}.")
        if not isinstance(edit.factor, (int, float)) or not math.isfinite(edit.factor):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadConfiguration(f"The factor at {edit.site} must be a finite number.")
        if not isinstance(edit.positions, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise BadConfiguration(
                f"The positions at {edit.site} must be 'all', 'last' or the name of a span of the prompts."
            )
        if edit.value is not None:
            source = f"value {number}"
            sources[source] = Kept({(site.layer, site.part): whole_part(subject, batch, site, edit.value)})
        made.append(PlainEdit(site=site, op=edit.op, source=source, factor=edit.factor, positions=edit.positions))
    return made, sources


def whole_part(subject: Subject, batch: Batch, site: Site, given: Any) -> Tensor:
    """The value of an edit, placed among all heads or neurons of its part: [1 or prompt, 1 or position, all].

    Raises BadConfiguration if it has another shape, or contains a number that is not finite.
    """
    import torch

    from ...experiments.sites import COUNTED, count

    size = subject.sizes["d_model"]
    width, first = size, 0
    if site.part in COUNTED:
        size = batch.length if site.part == "pattern" else subject.anatomy.blocks[site.layer].width(site.part)
        width = size * count(site.part, site.layer, subject.sizes)
        first, size = (0, width) if site.index is None else (site.index * size, size)
    try:
        value = torch.as_tensor(given).detach().to(subject.device, subject.dtype)
    except (TypeError, ValueError, RuntimeError) as fault:
        raise BadConfiguration(f"The value at {site} must be a tensor of numbers: {fault}.") from fault
    shape, value = list(value.shape), value[None, None] if value.dim() == 1 else value
    fits = value.dim() == 3 and value.shape[0] in (1, len(batch)) and value.shape[1] in (1, batch.length)
    if not fits or value.shape[2] != size:
        raise BadConfiguration(
            f"The value at {site} has the shape {shape}; it must be [{size}], or [{len(batch)}, {batch.length}, {size}]"
            " with 1 for either of the first two."
        )
    if not bool(value.isfinite().all()):
        raise BadConfiguration(f"The value at {site} contains numbers that are not finite.")
    whole = value.new_zeros(*value.shape[:2], width)
    whole[..., first : first + size] = value
    return whole


def of_site(subject: Subject, run: Any, site: Site) -> Tensor:
    """The value at a site, in the shape that `Activations` gives."""
    if site.part == "pattern":
        patterns = run.pattern(site.layer)
        return patterns if site.index is None else patterns[:, site.index]
    value = run.at(site.layer, site.part)
    if site.part not in ("z", "k", "v", "neurons"):
        return value
    width = subject.anatomy.blocks[site.layer].width(site.part)
    apart = value.unflatten(-1, (-1, width))
    if site.index is None:
        return apart
    one = apart[:, :, site.index]
    return one[..., 0] if site.part == "neurons" else one
