"""Where prompts lie inside the model: a 2D map, and how well labels separate in all dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..notes import note
from ..questions import WHICH_TOKENS
from ..result import Figure, Measurement, Note, Result

if TYPE_CHECKING:
    from ..lab import Lab
    from ..methods.embedding_map import Labelled
    from ..model.subject import Subject
    from ..sites import Site
    from ..statistics.intervals import Array
    from ..tasks.batch import Batch
    from ..tasks.prompt import Prompt
    from ..tasks.task import Task

PARTS = ("resid_pre", "resid_post", "attn_out", "mlp_out", "z")
# Labels that a drawing names; rarer ones are drawn as one group.
NAMED = 8
OTHERS = "other labels"


class EmbeddingMap(Experiment):
    """Do prompts with the same label lie together inside the model? A map of their activations at one site.

    Takes each prompt's activation at `site`, at one token, and draws it by `label` on two axes: pca, the directions of
    most variance, or tsne. The measurements use all dimensions, not the map: accuracy is how often the nearest centroid
    has the right label, with all prompts of the same question left out. Controls: accuracy_shuffled and p, with labels
    shuffled over the questions; accuracy_shuffled_weights, a model that has learned nothing, because even a random one
    separates many inputs; accuracy_embedding, the token and its position before the first layer; accuracy_map, how much
    of it the two axes show. Labels that lie together can be read there; only ablation or patching shows that the model
    reads them. In t-SNE distances, cluster sizes and gaps mean nothing, and noise also forms clusters. Cheap: two
    passes. Sources: van der Maaten and Hinton 2008, JMLR 9; Wattenberg et al. 2016, 10.23915/distill.00002.
    """

    kind: ClassVar[str] = "embedding_map"
    question: ClassVar[str] = WHICH_TOKENS

    site: Annotated[
        str | None,
        Field(description="L14.resid_post, L7.resid_pre, L7.attn, L7.mlp or L7.H3. Null: the stream in the middle."),
    ] = None
    position: Annotated[
        str, Field(description="The token: last, or the last token of a span of the task.")
    ] = "last"  # fmt: skip
    label: Annotated[
        str, Field(description="answer, template, a span of the task (its words), or a named value (see show_task).")
    ] = "answer"  # fmt: skip
    method: Annotated[Literal["pca", "tsne"], Field(description="How to draw the map.")] = "pca"
    perplexity: Annotated[float, Field(ge=1, le=100, description="For tsne: about how many neighbours count.")] = 10.0

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if "n_layers" in sizes:
            self.place(sizes)
        self.compared(task.prompts(*self.draw))
        if self.method == "tsne":
            if find_spec("sklearn") is None:
                raise BadConfiguration('t-SNE needs scikit-learn. Run pip install "lashley[tsne]", or use method pca.')
            if self.perplexity >= self.n:
                raise BadConfiguration(f"perplexity must be below n, which is {self.n}.")

    def place(self, sizes: Mapping[str, int]) -> Site:
        from ..sites import Site, check_site, parse_site

        if self.site is None:
            return Site(layer=(sizes["n_layers"] - 1) // 2, part="resid_post")
        site = parse_site(self.site)
        if site.part not in PARTS or (site.part == "z" and site.index is None):
            raise BadConfiguration(f"{site} cannot be mapped. Use L7.resid_post, L7.resid_pre, L7.attn, L7.mlp or "
                                   "L7.H3.")  # fmt: skip
        return check_site(site, sizes) if "n_heads" in sizes else site

    def labels(self, prompts: Sequence[Prompt]) -> list[str]:
        """The label of each prompt. Raises BadConfiguration if a prompt has none."""
        if self.label == "answer":
            found = [p.answer.strip() for p in prompts]
        elif self.label == "template":
            found = [p.template for p in prompts]
        else:
            found = [span_or_value(p, self.label) for p in prompts]
        if not all(found):
            from ..tasks.values import names_of, or_arithmetic

            known = sorted({*names_of(prompts)} - {"answer"})
            raise BadConfiguration(f"Not every prompt of {self.task} has a label '{self.label}'. Labels: answer, "
                                   f"template{''.join(f', {s}' for s in known)}{or_arithmetic(prompts)}, if the "
                                   "prompts have them."
                                   )  # fmt: skip
        return found

    def compared(self, prompts: Sequence[Prompt]) -> Labelled:
        """The prompts with their labels. Raises BadConfiguration if there are no two labels to compare."""
        from ..methods.embedding_map import labelled

        labels = self.labels(prompts)
        of = labelled(labels, [p.key for p in prompts])
        if of is None:
            raise BadConfiguration(
                f"No two of the {len(set(labels))} labels of {self.n} prompts have two prompts each, so there is "
                "nothing to compare. Raise n, or use another label."
            )
        return of

    def run(self, lab: Lab) -> Result:
        import numpy as np

        from ..methods import embedding_map
        from ..model.shuffled_weights import permuted
        from ..sites import Site
        from ..statistics.intervals import questions_asked, share, share_change

        prompts, batch = lab.prompts(*self.draw)
        labels, asked = self.labels(prompts), [p.key for p in prompts]
        site = self.place(lab.subject.sizes)
        of = self.compared(prompts)
        values = activations(lab.subject, batch, site, self.position)
        lab.progress("activations", 1, 3)
        entry = activations(lab.subject, batch, Site(layer=0, part="resid_pre"), self.position)
        twin = activations(permuted(lab.subject, self.seed), batch, site, self.position)
        lab.progress("activations", 2, 3)
        coordinates, spread = embedding_map.principal(values)
        products = embedding_map.inner(values[of.rows])
        correct = embedding_map.right(products, of)
        null = embedding_map.shuffled(products, of, self.seed)
        beside = embedding_map.right(embedding_map.inner(twin[of.rows]), of)
        questions = [asked[i] for i in of.rows]
        accuracy = share("accuracy", correct, questions)
        low, high = (float(v) for v in np.quantile(null, [0.025, 0.975]))
        by_chance = Measurement(name="accuracy_shuffled", value=float(null.mean()), low=low, high=high, n=len(null))
        p = float((1 + (null >= correct.mean() - 1e-9).sum()) / (1 + len(null)))
        learned = share("accuracy_shuffled_weights", beside, questions)
        above = share_change("above_shuffled_weights", correct - beside, questions)
        first = share("accuracy_embedding", embedding_map.right(embedding_map.inner(entry[of.rows]), of), questions)
        on_map = share("accuracy_map", embedding_map.right(embedding_map.inner(coordinates[of.rows]), of), questions)
        explained = [Measurement(name=f"explained_{i + 1}", value=float(v), n=self.n) for i, v in enumerate(spread[:2])]
        lab.progress("activations", 3, 3)
        drawn = coordinates if self.method == "pca" else self.embedded(values)
        return Result(
            measurements=(accuracy, by_chance, Measurement(name="p", value=p, n=len(null)), above, learned, first,
                          on_map, *explained, questions_asked(questions)),
            figures=(self.points(lab, site, drawn, labels, spread),),
            found=self.summary(lab, site, of, accuracy, by_chance, p, above, learned, first, on_map, spread, values),
            notes=tuple(self.doubted(of, first, accuracy, p)),
            doubts=lab.doubts(*self.draw),
            arrays={"coordinates": drawn.astype("float32"), "explained": spread.astype("float32"),
                    "labels": np.array([list(dict.fromkeys(labels)).index(x) for x in labels], dtype=np.int32),
                    "correct": correct.astype("float32"), "accuracy_shuffled": null.astype("float32")},
        )  # fmt: skip

    def embedded(self, values: Array) -> Array:
        """values [n, d] -> t-SNE's coordinates [n, 2], with the seed."""
        import numpy as np
        from sklearn.manifold import TSNE

        made = TSNE(2, perplexity=self.perplexity, init="pca", method="exact", random_state=self.seed, n_jobs=1)
        return np.asarray(made.fit_transform(values), dtype=float)

    def doubted(self, of: Labelled, first: Measurement, accuracy: Measurement, p: float) -> list[Note]:
        notes: list[Note] = []
        if not of.by_question:
            notes.append(note("prompts_left_out_singly"))
        if of.dropped:
            notes.append(note("labels_of_one_prompt", dropped=of.dropped, n=self.n))
        if p < 0.05 and accuracy.low is not None and first.value >= accuracy.low:
            notes.append(note("known_before_layers", first=first.text))
        if self.method == "tsne":
            notes.append(note("drawn_by_tsne"))
        return notes

    def summary(
        self, lab: Lab, site: Site, of: Labelled, accuracy: Measurement, chance: Measurement, p: float,
        above: Measurement, learned: Measurement, first: Measurement, on_map: Measurement, spread: Array, values: Array,
    ) -> str:  # fmt: skip
        from ..statistics.p_values import p_text

        what = "each question" if of.by_question else "each prompt"
        text = f"{len(of.rows)} prompts at {site}, {self.position} token, by {self.label} ({len(of.names)} labels). "
        text += f"Nearest centroid in all {values.shape[1]} dimensions, {what} left out: right for {accuracy.text}; "
        text += f"with shuffled labels {chance.text}, p {p_text(p, 3)}; with shuffled weights {learned.text}, "
        text += f"a difference of {above.text}; before the first layer {first.text}. "
        tells = p < 0.05 and (above.low or 0) > 0
        text += (
            f"So {self.label} can be read here better than in an untrained model; this does not show that the model "
            "reads it. " if tells
            else f"So it is not shown that training made {self.label} readable here. "
        )  # fmt: skip
        shown = float(spread[:2].sum())
        return (
            text + f"The first two components contain {shown:.0%} of the variance ({spread[0]:.0%} and "
            f"{float(spread[1]) if len(spread) > 1 else 0.0:.0%}); with them alone the accuracy is {on_map.text}."
        )

    def points(self, lab: Lab, site: Site, at: Array, labels: list[str], spread: Array) -> Figure:
        from collections import Counter

        common = [name for name, _ in Counter(labels).most_common()]
        named = set(common if len(common) <= NAMED + 1 else common[:NAMED])
        groups = [label if label in named else OTHERS for label in labels]
        order = sorted(range(len(labels)), key=lambda i: (groups[i] == OTHERS, common.index(labels[i]), i))
        axes = [f"component {i + 1} ({spread[i]:.0%} of variance)" if i < len(spread) else "" for i in range(2)]
        if self.method == "tsne":
            axes = ["t-SNE 1 (distances mean nothing)", "t-SNE 2"]
        where = f"{site}, {self.position} token ({self.method})"
        title = f"Prompts by {self.label} at {where}: {lab.subject.name}, {self.task}"
        data = {"x": [float(at[i, 0]) for i in order], "y": [float(at[i, 1]) for i in order],
                "labels": ["" for _ in order], "groups": [groups[i] for i in order], "x_label": axes[0],
                "y_label": axes[1], "diagonal": False, "rest": OTHERS}  # fmt: skip
        return Figure(name="map", kind="scatter", title=title, unit="", n=self.n, data=data)


def span_or_value(prompt: Prompt, name: str) -> str:
    """The words of the span, otherwise the named value; empty if the prompt has neither."""
    from ..tasks.values import value_in, values_of

    if name in prompt.spans:
        return prompt.text[slice(*prompt.spans[name])].strip()
    return value_in(values_of(prompt), name) or ""


def activations(subject: Subject, batch: Batch, site: Site, position: str) -> Array:
    """The activation at the site, at the last token of a span of each prompt, [n, width]. Raises BadConfiguration if a
    prompt has no such span."""
    import torch

    from .. import engine
    from ..lab import numbers

    missing = [i for i, row in enumerate(batch.spans) if position not in row]
    if missing:
        known = sorted(set[str].intersection(*map(set, batch.spans)))
        raise BadConfiguration(f"Not every prompt has the position '{position}'. Positions: {', '.join(known)}.")
    columns = torch.tensor([row[position][1] - 1 for row in batch.spans])
    found = engine.read(subject, batch, {site.part}, [site.layer]).at(site.layer, site.part).cpu()
    found = found[torch.arange(len(batch)), columns]
    if site.index is not None:
        found = found.unflatten(-1, (subject.anatomy.blocks[site.layer].n_heads, -1))[:, site.index]
    return numbers(found)
