"""The checks that a subject must pass before it is used: the engine and the model's own code agree on it.

An architecture that fails is refused by name; a number measured on a misread anatomy would look like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..engine import CleanRun, read, run
from ..engine.forward import KVSlot, Window, attention, through
from ..engine.generate import Writer
from ..engine.pattern import Change
from ..errors import UnsupportedModel
from ..interventions import Edit, Intervention
from ..result import Frozen
from ..sites import Site
from ..tasks.batch import Batch
from .block import Block, matrix
from .subject import Subject
from .tracing import refusing

TOLERANCE = 2e-4
ALONE = "a prompt alone has the same logits as in a batch with a longer one"


class Check(Frozen):
    """One law, the largest deviation from it (relative to the scale of what is compared), and the limit."""

    name: str
    deviation: float
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        return self.deviation <= self.tolerance


@dataclass(frozen=True)
class Logits:
    """A readout that keeps the logits: of every column, or of those that the batch reads."""

    every_column: bool = True
    at: torch.Tensor | None = None
    tokens: torch.Tensor | None = None

    def measure(self, logits: torch.Tensor, prompts: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": logits}


def probe(subject: Subject) -> Batch:
    """Two rows of ordinary tokens, the second one padded on the left."""
    vocabulary, device = subject.anatomy.vocabulary, subject.device
    ids = torch.arange(12, device=device).view(2, 6) * 11 % (vocabulary - 5) + 5
    mask = torch.ones_like(ids)
    mask[1, :2] = 0
    return Batch(
        ids=ids, mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0), reads=1,
        targets=ids[:, :1], answer_at=torch.zeros(2, dtype=torch.long, device=device), pair=ids[:, :2],
        prompt_len=mask.sum(-1), spans=({"last": (5, 6)}, {"last": (5, 6)}), groups=(("probe", 6), ("probe", 4)),
        questions=("0", "1"),
    )  # fmt: skip


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float() - b.float()).abs().max() / b.float().abs().max().clamp(min=1e-6))


@torch.inference_mode()
def self_check(subject: Subject) -> list[Check]:
    """The laws, each measured on a small padded batch."""
    anatomy, batch = subject.anatomy, probe(subject)
    own = own_logits(subject, batch.ids, batch.mask)
    clean = read(subject, batch, ["resid_pre", "z", "attn_out", "neurons", "mlp_out", "k", "v"])
    middle = anatomy.n_layers // 2
    identity = Intervention(name="identity")
    scaled = Intervention(name="x", edits=(Edit(site=Site(layer=middle, part="resid_pre"), op="scale"),))
    with_heads = [layer for layer, block in enumerate(anatomy.blocks) if block.n_heads]
    place = Site(layer=with_heads[0], part="z", index=0) if with_heads else Site(layer=0, part="resid_pre")
    late = Intervention(name="late", edits=(Edit(site=place, op="scale", factor=1.0, positions="last"),))
    logits = run(subject, batch, [identity, scaled, late], Logits(), clean=clean)["logits"]
    seen = batch.mask.bool().cpu()
    checks = [
        alone(subject, batch, own),
        Check(name="the engine's logits equal the model's own", deviation=gap(logits[0][seen], own.cpu()[seen])),
        Check(name="an identity edit in the middle changes nothing", deviation=gap(logits[1][seen], logits[0][seen])),
    ]
    checks += sums_of_heads(subject, clean)
    checks += values_of_heads(subject, clean)
    checks += sums_of_neurons(subject, clean, seen)
    checks += [late_columns(subject, batch, own), generated_token(subject, batch)]
    return checks


def worst(name: str, deviations: list[float]) -> list[Check]:
    return [Check(name=name, deviation=max(deviations))] if deviations else []


def sums_of_heads(subject: Subject, clean: CleanRun) -> list[Check]:
    """In every layer that has heads, each head's z times its part of W_O, and the bias, are the attention's output."""
    found: list[float] = []
    for layer, block in enumerate(subject.anatomy.blocks):
        # Weights that come only while their module runs are never used by themselves.
        if not block.n_heads or not block.heads_write or block.W_O.is_meta:
            continue
        bias = getattr(block.o_proj, "bias", None)
        heads = clean.at(layer, "z").unflatten(-1, (block.n_heads, block.d_head))
        written = torch.einsum("bphd,hdm->bpm", heads, block.W_O.unflatten(0, (block.n_heads, block.d_head)))
        if not block.heads_alone:  # the other mixers, and the bias
            written = written + run_block(clean, layer, block, change_z=torch.zeros_like)
        elif bias is not None:
            written = written + bias
        found.append(gap(written, clean.at(layer, "attn_raw")))
    return worst("the heads' outputs and the bias sum to the attention", found)


def values_of_heads(subject: Subject, clean: CleanRun) -> list[Check]:
    """In every layer whose heads are inside or next to other modules: twice the values of one KV head are twice the z
    of the heads that share it, and no other z changes. So the heads found are not, say, the neurons of an MLP."""
    found: list[float] = []
    for layer, block in enumerate(subject.anatomy.blocks):
        if block.heads_alone or not block.units("v"):
            continue
        for which in range(block.n_kv_heads):
            factor = torch.ones(block.n_kv_heads, device=subject.device)
            factor[which] = 2
            slot = KVSlot(keep=True)
            slot.edit = lambda k, v, by=factor: (k, v * by[:, None, None].to(v))
            z = heads_outputs(clean, layer, block, slot)
            wanted = clean.at(layer, "z").unflatten(-1, (block.n_kv_heads, -1)) * factor[:, None].to(subject.dtype)
            found.append(gap(z, wanted.flatten(-2)))
    return worst("twice a KV head's values are twice the outputs of its heads", found)


def heads_outputs(clean: CleanRun, layer: int, block: Block, slot: KVSlot) -> torch.Tensor:
    """z [row, position, n_heads * d_head] of a layer that runs again."""
    seen: list[torch.Tensor] = []

    def keep(z: torch.Tensor) -> torch.Tensor:
        seen.append(z)
        return z

    run_block(clean, layer, block, slot, keep)
    return seen[0]


def run_block(
    clean: CleanRun, layer: int, block: Block, slot: KVSlot | None = None, change_z: Change | None = None
) -> torch.Tensor:
    """A layer's attention run again, from the clean stream before it; [row, position, d_model]."""
    x = clean.at(layer, "resid_pre")
    assert clean.recording is not None
    window = Window(clean.recording, torch.arange(len(x), device=x.device), 0, x.shape[1])
    return attention(block, x, window.kwargs(layer), slot, change_z)


def sums_of_neurons(subject: Subject, clean: CleanRun, seen: torch.Tensor) -> list[Check]:
    """In every layer with neurons, these times the output projection, and the bias, are the MLP's output: the inputs of
    a gate or a router are not."""
    found: list[float] = []
    for layer, block in enumerate(subject.anatomy.blocks):
        if block.down_proj is None or matrix(block.down_proj).is_meta:
            continue
        bias = getattr(block.down_proj, "bias", None)
        written = clean.at(layer, "neurons") @ matrix(block.down_proj)
        written = (written if bias is None else written + bias) * block.down_scale
        mlp_out = clean.at(layer, "mlp_out")
        found.append(gap(through(block.after_down(), written)[seen], mlp_out[seen]))
    return worst("the neurons times the output projection are the MLP's output", found)


def late_columns(subject: Subject, batch: Batch, own: torch.Tensor) -> Check:
    """A run that recomputes the last column alone, from cached keys and values, gives the model's logits."""

    edit = Edit(site=Site(layer=0, part="resid_pre"), op="scale", factor=1.0, positions="last")
    logits = run(subject, batch, [Intervention(name="late", edits=(edit,))], Logits(every_column=False))["logits"]
    return Check(
        name="a run of only the last column gives the same logits", deviation=gap(logits[0][:, -1], own[:, -1].cpu())
    )


def generated_token(subject: Subject, batch: Batch) -> Check:
    """After a token that the engine generated it has the logits that the model has of the longer text."""
    rows = [(0, prompt) for prompt in range(len(batch))]
    writer = Writer(subject, batch, None, [Intervention(name="intact")], rows, {}, room=1)
    token = writer.begin().argmax(-1)
    logits = writer.add(token)
    ids, mask = (
        torch.cat([old, new[:, None]], 1) for old, new in ((batch.ids, token), (batch.mask, batch.mask[:, -1]))
    )
    own = own_logits(subject, ids, mask)[:, -1]
    return Check(name="after a generated token the logits equal the model's own", deviation=gap(logits, own))


def own_logits(subject: Subject, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The model's own logits [row, position, vocabulary]; of each row alone if it treats pads as tokens."""
    if subject.anatomy.leaves_pads_out:
        rows = [logits_alone(subject, some[seen.bool()]) for some, seen in zip(ids, mask, strict=True)]
        return torch.stack([torch.nn.functional.pad(r, (0, 0, ids.shape[1] - len(r), 0)) for r in rows])
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    return subject.model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False).logits


def logits_alone(subject: Subject, ids: torch.Tensor) -> torch.Tensor:
    """The model's own logits [position, vocabulary] of one text ids [position]."""
    places = torch.arange(len(ids), device=ids.device)[None]
    return subject.model(
        input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], position_ids=places, use_cache=False
    ).logits[0]


def alone(subject: Subject, batch: Batch, own: torch.Tensor) -> Check:
    """The padded row alone, without its pads, has the same logits as in the batch: a prompt's result must not depend on
    the other prompts."""
    row = batch.mask[-1].bool()
    # In half precision other shapes of a product already round otherwise.
    tolerance = TOLERANCE if subject.dtype == torch.float32 else 5e-2
    deviation = gap(logits_alone(subject, batch.ids[-1, row]), own[-1, row])
    return Check(name=ALONE, deviation=deviation, tolerance=tolerance)


def check_or_refuse(subject: Subject) -> Subject:
    """The subject, whose layers get no pads if they would treat them as tokens.

    Raises UnsupportedModel, naming the law, if the subject breaks one."""
    who = f"{subject.name} ({subject.anatomy.architecture}) is not supported"
    with refusing(f"{who}: its layers cannot run separately"):
        checks = self_check(subject)
        if any(check.name == ALONE and not check.passed for check in checks):
            unpadded = replace(subject, anatomy=subject.anatomy.unpadded())
            if unpadded.anatomy.leaves_pads_out and all(check.passed for check in self_check(unpadded)):
                return unpadded
    for check in checks:
        if not check.passed:
            raise UnsupportedModel(
                f"{who}: the check '{check.name}' is off by {check.deviation:.1e} (limit {check.tolerance:.0e})."
            )
    return subject
