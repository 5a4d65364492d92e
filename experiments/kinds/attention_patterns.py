"""Where heads attend on a task's prompts, by span and by token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..questions import WHAT_A_HEAD_LOOKS_AT
from ..result import Effect, Figure, Measurement, Result

if TYPE_CHECKING:
    from ..lab import Lab
    from ..sites import Site
    from ..statistics.intervals import Array
    from ..tasks.batch import Batch
    from ..tasks.task import Task

DRAWN, NAMED = 2, 4
# Tokens of a prompt that fit in a drawing, and how many of them the text names.
SHOWN, NAMES = 48, 3


class AttentionPatterns(Experiment):
    """Where does each head attend on the task's prompts: at which named spans, at which tokens?

    For each head, and for each span that the task names (the operands of a sum, the names of a story) and the first
    token: the share of attention from `query`, mean over prompts. Read it as effect[L7.H3, to_answer]; percentile is
    among the heads of the same model with shuffled weights, to_NAME_shuffled the highest there, even_NAME the share
    under even attention. Draws `heads`, or those that attend most to a span, token by token: the mean over prompts of
    one template and length. Attention shows what a head may move, not what it moves (ov_qk), nor that it matters
    (head_ablation): much of it goes to the first token, where heads rest, and some to tokens with small values (arXiv
    1902.10186, 2004.10102). Cheap: a few passes.
    """

    kind: ClassVar[str] = "attention_patterns"
    question: ClassVar[str] = WHAT_A_HEAD_LOOKS_AT

    heads: Annotated[
        list[str] | None, Field(description="Heads to draw, such as L7.H3, at most 4. Null: those that attend most.")
    ] = None
    query: Annotated[
        str, Field(description="Span to attend from: last (the prompt's last token), or one of the task.")
    ] = "last"

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if {"n_layers", "n_heads"} <= set(sizes):
            self.sites(sizes)

    def sites(self, sizes: Mapping[str, int]) -> list[Site]:
        from ..sites import named_heads

        found = [] if self.heads is None else named_heads(self.heads, sizes)
        if len(found) > NAMED:
            raise BadConfiguration(f"{len(found)} heads are too many to draw. Name at most {NAMED}.")
        return found

    def run(self, lab: Lab) -> Result:
        from ..methods.attention import FIRST, even_weights, places, share_of, weights_from
        from ..methods.controls import all_heads, per_prompt
        from ..methods.lenses import with_zero
        from ..model.shuffled_weights import permuted
        from ..statistics.intervals import measurement, questions_asked, untested
        from ..statistics.strongest import beside_shuffled

        prompts, batch = lab.prompts(*self.draw)
        asked = [p.key for p in prompts]
        spans = places(batch)
        if self.query not in spans:
            raise BadConfiguration(
                f"Not every prompt has the span '{self.query}' to attend from. Use one of: {', '.join(spans)}."
            )
        # Task spans come first; attention to the token itself, or to the first one, says least.
        spans = {name: spans[name] for name in sorted(spans, key=lambda name: (name in (self.query, FIRST), name))}
        queries = spans[self.query]
        lab.progress("attention", 0, 2)
        own = weights_from(lab.subject, batch, queries)
        lab.progress("attention", 1, 2)
        others = weights_from(permuted(lab.subject, self.seed), batch, queries)
        lab.progress("attention", 2, 2)
        even = even_weights(batch, queries)
        sites = [str(s) for s in all_heads(lab.subject.sizes)]
        effects: list[Effect] = []
        measured: list[Measurement] = [questions_asked(asked)]
        shares: dict[str, Array] = {}
        parts: list[str] = []
        for name, at in spans.items():
            metric = f"to_{name}"
            shares[metric], beside = share_of(own, at), share_of(others, at).mean(-1)
            weaker = 100 * (beside[None] < shares[metric].mean(-1)[:, None]).mean(-1)
            looks = untested(sites, metric, shares[metric], asked, (0, 1))
            found = [e.model_copy(update={"percentile": float(w)}) for e, w in zip(looks, weaker, strict=True)]
            by_chance = measurement(f"even_{name}", share_of(even, at)[0], "", asked)
            highest = Measurement(name=f"{metric}_shuffled", value=float(beside.max()), n=len(beside))
            also = f", even {by_chance.value:.2f}"
            parts.append(f"{name}: {beside_shuffled(sites, shares[metric].mean(-1), highest.value, also, NAMES)}")
            measured += [by_chance, highest]
            effects += found
        figures, looked = self.drawn(lab, batch, own, effects, list(spans))
        text = (
            f"Attention of {lab.subject.name}'s heads from {self.query}, mean shares over {len(batch)} prompts, most "
        )
        text += f"to each span. {'; '.join(parts)}."
        return Result(
            measurements=tuple(measured),
            effects=tuple(effects),
            figures=figures,
            found=f"{text} {looked}",
            arrays=per_prompt({metric: with_zero(values) for metric, values in shares.items()}, asked),
        )

    def drawn(
        self, lab: Lab, batch: Batch, own: Array, effects: list[Effect], spans: list[str]
    ) -> tuple[tuple[Figure, ...], str]:
        """Figures of heads by spans and of some heads token by token; and a sentence with their top tokens.

        own  [layer * head, prompt, position], the weights from the query
        """
        from ..methods.attention import FIRST, largest_group, last_column, mean_patterns
        from ..methods.controls import all_heads
        from ..sites import parse_site
        from ..tasks.tokens import labels

        by_span = {name: [e for e in effects if e.metric == f"to_{name}"] for name in spans}
        telling = [name for name in spans if name not in (self.query, FIRST)] or [FIRST]
        most = strongest([e for name in telling for e in strongest(by_span[name], 1)], len(telling))
        heads = self.sites(lab.subject.sizes) or [parse_site(s) for s in dict.fromkeys(e.site for e in most)][:DRAWN]
        listed_first = [*map(str, heads), *(e.site for name in spans for e in strongest(by_span[name], 2))]
        rows = list(dict.fromkeys(listed_first))
        value = {(e.site, e.metric): e.value for e in effects}
        overview = Figure(
            name="spans", kind="matrix", unit="attention", n=len(batch),
            title=f"Where heads attend from {self.query}: {lab.subject.name}, {lab.task.name}",
            data={"values": [[value[row, f"to_{name}"] for name in spans] for row in rows], "rows": rows,
                  "columns": spans, "row_label": "head", "column_label": "span", "scale": "sequential"},
        )  # fmt: skip
        alike = largest_group(batch)
        end = last_column(batch) + 1
        length = int(batch.prompt_len[alike[0]])
        first = length - min(length, SHOWN)
        ids = batch.ids[alike, end - length : end].cpu()
        shared = (ids == ids[0]).all(0).tolist()
        own_texts = labels(lab.subject.tokenizer, ids[0].tolist())
        texts = [text if same else f"{text} …" for text, same in zip(own_texts, shared, strict=True)]
        of = f"mean of {len(alike)}; … marks tokens that differ" if len(alike) > 1 else "one prompt"
        of += f"; the last {SHOWN} of {length} tokens" if first else ""
        looking = own[:, alike, end - length : end].mean(1)
        place = {site: i for i, site in enumerate(all_heads(lab.subject.sizes))}
        figures, looked = [overview], list[str]()
        for head, pattern in zip(heads, mean_patterns(lab.subject, batch, alike, heads), strict=True):
            grid = pattern[first:, first:].tolist()
            figures.append(Figure(
                name=str(head), kind="matrix", unit="attention", n=len(alike),
                title=f"Where {head} attends ({of}): {lab.subject.name}, {lab.task.name}",
                data={"values": [[v if k <= q else None for k, v in enumerate(row)] for q, row in enumerate(grid)],
                      "rows": texts[first:], "columns": texts[first:], "row_label": "from", "column_label": "to",
                      "missing": "blank", "scale": "sequential"},
            ))  # fmt: skip
            seen = looking[place[head]]
            top = [f"{texts[i]} ({i}) {seen[i]:.2f}" for i in seen.argsort(kind="stable")[::-1][:NAMES]]
            looked.append(f"{head} at {', '.join(top)}")
        return tuple(figures), f"Token by token ({of}; counted from 0): {'; '.join(looked)}."


def strongest(found: list[Effect], count: int = NAMES) -> list[Effect]:
    return sorted(found, key=lambda e: -e.value)[:count]
