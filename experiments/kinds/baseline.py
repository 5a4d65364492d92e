"""The intact subject on a task: can it do it at all, and how sure is it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from ..errors import BadConfiguration
from ..experiment import Experiment
from ..metrics import unit_of
from ..questions import CAN_IT_DO_IT
from ..result import Figure, Measurement, Note, Result

if TYPE_CHECKING:
    from ..lab import Lab
    from ..tasks.task import Task


class Baseline(Experiment):
    """Can the intact model do the task? Run this first: damage to a task that it cannot do means nothing.

    Two abilities, each tested against chance: it says the answer (accuracy: greedy text, the answer parsed from what it
    generates, never from the prompt), and it prefers the answer (prefers_answer: the share of prompts where it scores
    the answer above the distractor). Logit differences rest on preference, accuracies on generated text.
    Also gives answer loss over all answer tokens, logit difference, probability, rank, and the failures by class. For
    open prompts: repetition, distinct words, perplexity. With by, also accuracy and loss by group: accuracy[a=3].
    Cost: one pass and a few generated tokens per prompt.
    """

    kind: ClassVar[str] = "baseline"
    question: ClassVar[str] = CAN_IT_DO_IT
    core: ClassVar[bool] = True
    later: ClassVar[frozenset[str]] = Experiment.later | {"by"}

    by: Annotated[
        str | None,
        Field(description="Group by a named value (show_task lists them), answer, length (in tokens), right, or "
              "io..last (tokens from one span to another)."),
    ] = None  # fmt: skip

    def check(self, sizes: Mapping[str, int], task: Task) -> None:
        super().check(sizes, task)
        if self.by is not None:
            from ..methods.by_group import require_groups

            if task.answer_kind == "open":
                raise BadConfiguration(f"The prompts of {self.task} have no answer to group. Leave out by.")
            require_groups(task.prompts(*self.draw), self.by)

    def run(self, lab: Lab) -> Result:
        from ..answers.ability import ability
        from ..answers.speech import summed_up, writing, writing_summary
        from ..methods.by_group import by_group
        from ..methods.controls import per_prompt
        from ..statistics.intervals import measurement, questions_asked

        prompts, batch = lab.prompts(self.n, self.split, self.seed)
        asked = [p.key for p in prompts]
        intact = lab.intact(*self.draw)
        samples = lab.samples(prompts, intact.said)
        able = ability(lab.task, prompts, intact)
        if able is None or intact.correct is None:
            written = summed_up(writing(lab, prompts, intact.said), prompts)
            found = f"{lab.subject.name} continues {len(prompts)} prompts of {self.task}. {writing_summary(written)}"
            return Result(measurements=(*written, questions_asked(asked)), samples=samples, found=found)
        accuracy, accuracy_p = able.says.measurements
        measurements = [accuracy, Measurement(name="chance", value=able.says.chance.value), accuracy_p]
        for name in dict.fromkeys(("loss", "logit_diff", "prob", "rank", *intact.scores)):
            if name in intact.scores:
                measurements.append(measurement(name, intact.scores[name], unit_of(name), asked, name))
        if able.prefers is not None:
            prefers, prefers_p = able.prefers.measurements
            by_chance = Measurement(name="prefers_chance", value=able.prefers.chance.value)
            measurements += [prefers, by_chance, prefers_p]
        measurements.append(questions_asked(asked))
        figures, sentence, notes = list[Figure](), "", tuple[Note, ...]()
        if self.by is not None:
            scores = {"accuracy": intact.correct, "loss": intact.scores["loss"]}
            more, figure, sentence, notes = by_group(lab, prompts, batch, self.by, scores)
            measurements += more
            figures.append(figure)
        counts = Counter(s.failure or "correct" for s in samples).most_common()
        right = int(intact.correct.sum())
        return Result(
            measurements=tuple(measurements),
            samples=samples,
            figures=(
                Figure(name="failures", kind="pie", title=f"What {lab.subject.name} answers: {self.task}",
                       unit="answers", n=len(prompts),
                       data={"labels": [k for k, _ in counts], "counts": [c for _, c in counts]}),
                *figures,
            ),
            found=f"{lab.subject.name} answers {right} of {len(prompts)} prompts of {self.task} correctly. "
            + able.summary + sentence,
            notes=notes,
            doubts=able.doubts("logit_diff"),
            arrays=per_prompt(intact.scores, asked),
        )  # fmt: skip
