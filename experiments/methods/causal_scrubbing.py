"""Causal scrubbing (Chan et al. 2022, alignmentforum.org/posts/JvZhhzycHu2Yd57RN): replace the output of every part by
its output on another prompt that agrees with this one on what the hypothesis lets the part depend on.

A part's output on the other prompt is not that of an intact run: there, too, all parts before it are replaced, by what
they write on yet other prompts (`inputs` scrubbed). So a part that the hypothesis forgets is missed also where it acts
only through a named one. With `inputs` intact, they are, and only what the parts write directly to the logits is
tested. What no line names comes from one random prompt for each run, as in the source. A part reads the tokens of its
own prompt directly. If nothing is named, the model sees a random prompt and nothing else.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from torch import Tensor

from .. import engine
from ..engine.activations import Activations
from ..errors import BadConfiguration, BadTask
from ..interventions import Edit, Intervention
from ..lab import Lab, numbers
from ..model.encoding import encode, encode_answer
from ..sites import Part, Site, count
from ..statistics.intervals import Array
from ..tasks.batch import Batch, make_batch
from ..tasks.corrupted_prompts import with_text
from ..tasks.donors import LOOKED_AT
from ..tasks.prompt import Prompt, Split
from ..tasks.values import values_of
from .scrubbing_hypothesis import Depends, Group, grouped

SOURCE = "scrubbed"
Who = tuple[Prompt, ...]


class Pool:
    """The prompts of the explore split that donors are drawn from, by template and number of tokens."""

    @classmethod
    def of(cls, lab: Lab, seed: int) -> Pool:
        """The pool of this lab, whose prompts are tokenized only once."""
        if seed not in lab.pools:
            lab.pools[seed] = cls(lab, seed)
        return lab.pools[seed]

    def __init__(self, lab: Lab, seed: int) -> None:
        self.tokenizer = lab.subject.tokenizer
        self.groups: dict[tuple[str, int], list[Prompt]] = defaultdict(list)
        self._tokens: dict[tuple[str, str], tuple[int, ...] | None] = {}
        self._values: dict[str, dict[str, str]] = {}
        self._sizes: dict[str, int] = {}
        for prompt in islice(lab.task.source.stream("explore", seed), LOOKED_AT):
            self.groups[self.group(prompt)].append(prompt)

    def group(self, prompt: Prompt) -> tuple[str, int]:
        if prompt.text not in self._sizes:
            self._sizes[prompt.text] = len(encode(self.tokenizer, prompt.text)[0])
        return prompt.template, self._sizes[prompt.text]

    def values(self, prompt: Prompt) -> dict[str, str]:
        if prompt.text not in self._values:
            self._values[prompt.text] = values_of(prompt)
        return self._values[prompt.text]

    def agreeing(self, who: Prompt, values: Sequence[str], base: Prompt) -> list[Prompt]:
        """The prompts of another question that agree with `who` on these values, and in whose place the answer of
        `base` has the same tokens."""
        own = self.values(who)
        return [
            other
            for other in self.groups[self.group(who)]
            if other.key != who.key
            and other.text != who.text
            and all(self.values(other).get(name) == own[name] for name in values)
            and self.answer(other, base) == self.answer(base, base)
        ]

    def answer(self, prompt: Prompt, base: Prompt) -> tuple[int, ...] | None:
        key = prompt.text, base.answer
        if key not in self._tokens:
            try:
                self._tokens[key] = tuple(encode_answer(self.tokenizer, *key)[1])
            except BadTask:
                self._tokens[key] = None
        return self._tokens[key]


def usable(lab: Lab, pool: Pool, parts: Sequence[Depends], draw: tuple[int, Split, int]) -> tuple[Who, int, int]:
    """The first n prompts that have a donor for every part, how many were passed over, and how many were looked at.

    Raises BadConfiguration for a value that a prompt lacks, and if there are fewer.
    """
    n, split, seed = draw
    wanted = {one.values for one in parts if one.values}
    found: list[Prompt] = []
    looked_at = 0
    for prompt in islice(lab.task.source.stream(split, seed), LOOKED_AT):
        if len(found) == n:
            break
        looked_at += 1
        known = values_of(prompt)
        for name in sorted({name for values in wanted for name in values}):
            if name not in known:
                raise BadConfiguration(f"{prompt.text[-60:]!r} has no value {name}. Use values of the task: "
                                       f"{', '.join(known)}.")  # fmt: skip
        if all(pool.agreeing(prompt, values, prompt) for values in (*wanted, ())):
            found.append(prompt)
    if len(found) < n:
        said = "; ".join(", ".join(values) for values in sorted(wanted)) or "nothing"
        instead = f"Use n of at most {len(found)}, or name fewer values" if found else "Name fewer values"
        raise BadConfiguration(
            f"Only {len(found)} of {looked_at} prompts of {lab.task.name} have a donor of their template and length "
            f"that agrees on {said}. {instead}."
        )
    return tuple(found), looked_at - len(found), looked_at


@dataclass
class Draws:
    """Draws donors, row by row. `alone` counts rows that got the prompt itself, because no other agrees; `drawn` all
    rows that needed to agree on something."""

    pool: Pool
    bases: Who
    seed: str
    alone: int = 0
    drawn: int = 0
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def of(self, who: Who, values: tuple[str, ...] | None) -> Who:
        """For each row, a prompt that agrees on the values (None: the same prompt)."""
        if values is None:
            return who
        found: list[Prompt] = []
        for prompt, base in zip(who, self.bases, strict=True):
            others = self.pool.agreeing(prompt, values, base)
            self.drawn += bool(values)
            self.alone += bool(values) and not others
            found.append(self.rng.choice(others) if others else prompt)
        return tuple(found)


@dataclass
class Scrubber:
    """One sample of a scrubbed model on some prompts."""

    lab: Lab
    draws: Draws
    parts: Sequence[Depends]
    intact_inputs: bool = False

    def __post_init__(self) -> None:
        self.groups, sizes = grouped(self.parts), self.lab.subject.sizes
        self.all_parts: list[tuple[int, Part]] = []
        for layer in range(sizes["n_layers"]):
            if count("attn_out", layer, sizes):
                self.all_parts.append((layer, "z" if count("z", layer, sizes) else "attn_out"))
            if count("mlp_out", layer, sizes):
                self.all_parts.append((layer, "mlp_out"))
        self.embeds = next((one.values for one in self.parts if one.site is None), ())

    def batch(self, who: Who) -> Batch:
        """These prompts, in the columns of the bases and with their answers."""
        texts = [with_text(base, prompt.text) for base, prompt in zip(self.draws.bases, who, strict=True)]
        return make_batch(self.lab.subject.tokenizer, texts, self.lab.subject.device)

    def intervention(self, who: Who, before: tuple[int, bool] | None) -> tuple[tuple[Edit, ...], Activations]:
        """The edits that scrub all parts of a lower order (None: all parts, and the embeddings), and their source."""
        edited = [place for place in self.all_parts if before is None or order_of(place) < before]
        other = self.batch(self.draws.of(who, ()))
        wanted: set[Part] = {part for _, part in edited}
        seen = engine.read(self.lab.subject, other, {*wanted, "resid_pre"}, {layer for layer, _ in edited} | {0})
        values: dict[tuple[int, str], Tensor] = {place: seen.at(*place).clone() for place in edited}
        for group in self.groups:
            if before is None or group.order < before:
                for site, output in self.outputs(group, self.draws.of(who, group.values)).items():
                    values[site.layer, site.part][..., self.width(site)] = output
        if before is None:
            lent = None if self.embeds == () else self.batch(self.draws.of(who, self.embeds))
            first = seen if lent is None else engine.read(self.lab.subject, lent, {"resid_pre"}, {0})
            values[0, "resid_pre"] = first.at(0, "resid_pre")
            edited = [(0, "resid_pre"), *edited]
        edits = [Edit(site=Site(layer=layer, part=part), op="replace", source=SOURCE) for layer, part in edited]
        return tuple(edits), Activations(values)

    def outputs(self, group: Group, who: Who) -> dict[Site, Tensor]:
        """What the parts of a group write on these prompts, [n, position, width] each."""
        layer, part = group.sites[0].layer, group.sites[0].part
        edits, source = ((), None) if self.intact_inputs else self.intervention(who, group.order)
        given = {} if source is None else {SOURCE: source}
        seen = engine.read(self.lab.subject, self.batch(who), {part}, {layer}, edits=edits, sources=given)
        return {site: seen.at(layer, part)[..., self.width(site)] for site in group.sites}

    def width(self, site: Site) -> slice:
        if site.index is None:
            return slice(None)
        size = self.lab.subject.anatomy.blocks[site.layer].width(site.part)
        return slice(site.index * size, (site.index + 1) * size)

    def run(self, doing: str, metric: str) -> Array:
        """The metric of the scrubbed model, [n]."""
        bases = self.draws.bases
        batch = make_batch(self.lab.subject.tokenizer, bases, self.lab.subject.device)
        edits, source = self.intervention(bases, None)
        whole, readout = Intervention(name=doing, edits=edits), self.lab.readout(metric, batch)
        return numbers(self.lab.run(doing, batch, [whole], readout, {SOURCE: source})[metric][0])


def order_of(place: tuple[int, str]) -> tuple[int, bool]:
    return place[0], place[1] == "mlp_out"


def scrubbed(
    lab: Lab, pool: Pool, bases: Who, parts: Sequence[Depends], metric: str, samples: int, seed: int,
    intact_inputs: bool, doing: str,
) -> tuple[Array, Draws]:  # fmt: skip
    """The mean of the metric over samples, [n], and the draws of the last sample with the counts of all."""
    found: list[Array] = []
    alone = drawn = 0
    draws = Draws(pool, bases, "")
    for sample in range(samples):
        draws = Draws(pool, bases, f"scrub {seed} {sample}")
        found.append(Scrubber(lab, draws, parts, intact_inputs).run(doing, metric))
        alone, drawn = alone + draws.alone, drawn + draws.drawn
    draws.alone, draws.drawn = alone, drawn
    return np.mean(found, axis=0), draws
