"""Beginnings of texts without a right answer, to see how a subject continues: fluent, repetitive, broken.

The beginnings are of six kinds (stories, letters, instructions, descriptions, dialogues, explanations), each about a
noun, in several wordings.
"""

from __future__ import annotations

from .family import Family, fill
from .prompt import Prompt
from .task import Task
from .vocabulary import NOUNS

KINDS: dict[str, tuple[str, ...]] = {
    "story": ("Once upon a time there was a {noun} that", "It was late when she saw the {noun}. She", "The old {noun}"),
    "letter": ("Dear friend,\nthank you for the {noun}. I", "Dear Sir or Madam,\nI am writing about the {noun} that"),
    "instruction": ("How to choose a {noun}:\n1.", "To draw a {noun}, you first", "Here is what to do with a {noun}:"),
    "description": ("A {noun} is", "What I like about the {noun} is", "The picture shows a {noun} and"),
    "dialogue": ('"Have you seen the {noun}?" he asked.\n"', "A: Tell me about the {noun}.\nB:"),
    "explanation": ("The reason why a {noun} matters is", "Scientists who studied the {noun} found that"),
}
TEXTS = tuple((kind, text) for kind, texts in KINDS.items() for text in texts)


def write(noun: str, stratum: int, _variant: int) -> Prompt:
    kind, template = TEXTS[stratum]
    text, spans = fill(template, noun=noun)
    return Prompt(
        text=text,
        answer="",
        spans=spans,
        template=f"open_prompts.{kind}-{stratum}",
        key=noun,
        open=True,
        values={"kind": kind},
    )


OPEN_PROMPTS = Task(
    name="open_prompts",
    title="Beginnings of texts to continue",
    description="Continues the beginning of a story, a letter, an instruction and the like: how fluent is the text?\n"
    "There is no answer and no chance level; repetition, distinct words and perplexity are measured.",
    keywords=("open prompts", "fluency", "fluent", "speak", "free text", "story telling", "degenerate"),
    answer_kind="open",
    max_new_tokens=40,
    stop=(),
    group="language",
    source=Family(
        "open_prompts 1",
        lambda: NOUNS,
        key=str,
        variants=lambda _noun, _stratum: 1,
        write=write,
        strata=len(TEXTS),
    ),
)
