"""A task as one subject sees it: tokens, spans in tokens, and whether the subject can do the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..experiments.model.subject import Subject
    from ..experiments.tasks.prompt import Prompt, Split
    from ..experiments.tasks.task import Task

PROMPTS = 32


def loaded(model: str, say: Callable[[str], None]) -> Subject:
    """The subject of this name. Raises UnknownName or UnsupportedModel."""
    from ..experiments.model.places import check_name

    check_name(model)
    from ..experiments.model.loading import load

    return load(model, progress=say)


def subject_card(
    subject: Subject,
    task: Task,
    examples: int,
    split: Split,
    seed: int,
    n: int = PROMPTS,
    chat: bool = False,
    system: str | None = None,
) -> dict[str, Any]:
    """The first `examples` prompts in tokens, and a baseline over n prompts, or all if there are fewer; with `chat`,
    through the subject's chat template.

    Raises BadTask where the tokenizer cannot carry the task, and BadConfiguration where there is no chat template.
    """
    from ..experiments.kinds.baseline import Baseline
    from ..experiments.lab import lab_of
    from ..experiments.model.encoding import beginning, habits, holds_unknown
    from .workbench.run_experiment import measured

    lab = lab_of(subject, task, chat, system)
    fitted, n = lab.task, min(n, lab.task.capacity(split))
    asked = Baseline(model=subject.name, task=task.name, n=n, split=split, seed=seed, chat=chat, system=system)
    result = measured(asked, lab)
    prompts = fitted.prompts(examples, split, seed)
    unknown = [p for p in fitted.prompts(n, split, seed) if holds_unknown(subject.tokenizer, p.text)]
    notes = [f"{len(unknown)} of {n} prompts contain something that the tokenizer does not know; the first: "
             f"{beginning(unknown[0].text)}."] if unknown else []  # fmt: skip
    return {
        "model": subject.name,
        "fingerprint": subject.fingerprint,
        "left_out": fitted.left_out,
        "examples": [in_tokens(lab.subject.tokenizer, prompt) for prompt in prompts],
        "measurements": [m.model_dump() for m in result.measurements],
        "found": result.found,
        "tokenizer": [*habits(subject.tokenizer), *notes],
        "notes": [note.text for note in result.notes],
        "note_codes": [note.code for note in result.notes],
    }


def in_tokens(tokenizer: Any, prompt: Prompt) -> dict[str, Any]:
    """The prompt's tokens as texts (with those that the tokenizer adds in front), the answers' tokens, and the spans as
    half-open ranges of tokens."""
    from ..experiments.model.encoding import encode_answer
    from ..experiments.tasks.batch import encoded
    from ..experiments.tasks.tokens import token_text

    def texts(ids: list[int]) -> list[str]:
        return [token_text(tokenizer, token) for token in ids]

    row = encoded(tokenizer, prompt)
    distractor = encode_answer(tokenizer, prompt.text, prompt.distractor or "")[1]
    return {"tokens": texts(row["head"]), "answer": texts(row["answer"]), "distractor": texts(distractor),
            "spans": row["spans"]}  # fmt: skip
