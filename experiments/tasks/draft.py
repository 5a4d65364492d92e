"""A proposed task: rows or examples written out, or templates with slots that the program fills.

The fields have simple types, so that the checks of `making` find and report all faults together.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..result import Frozen

DraftKind = Literal["number", "word", "name", "yes_no", "true_false_unknown", "text"]


class Example(Frozen):
    """One prompt, written out."""

    text: Annotated[str, Field(description="The prompt, without a space at its end.")]
    answer: Annotated[str, Field(description="What follows directly, with its leading space: ' Paris'.")]
    distractor: Annotated[
        str | None, Field(description="A plausible wrong answer of the same form. Needed for logit differences.")
    ] = None
    corrupted: Annotated[
        str | None, Field(description="The text with one small change, so that another answer is right.")
    ] = None
    corrupted_answer: Annotated[str | None, Field(description="The answer of corrupted.")] = None
    accepted: Annotated[
        list[str] | None, Field(description="All right answers if there are several, including this one.")
    ] = None
    about: Annotated[
        str | None,
        Field(
            description="The question, if several prompts ask the same in other words: 'France'. They stay together "
            "in one split."
        ),
    ] = None


class Slot(Frozen):
    """The values of a {slot}: texts, or the whole numbers from low to high."""

    name: Annotated[str, Field(description="Name in the braces: letters, digits and _.")]
    values: Annotated[list[str] | None, Field(description="Its texts. Null for numbers.")] = None
    low: Annotated[int | None, Field(description="The first number. Null for texts.")] = None
    high: Annotated[int | None, Field(description="The last number. Null for texts.")] = None
    wording: Annotated[bool, Field(description="True: its values only change the wording, not the question.")] = False


class Template(Frozen):
    """Many prompts of one form. The program makes their corrupted prompts, spans and splits."""

    text: Annotated[str, Field(description="The prompt with {slots}: 'The double of {a} plus {b} is'.")]
    slots: Annotated[list[Slot], Field(description="Every slot in text, answer or distractor.")]
    answer_is: Annotated[
        Literal["text", "expression"],
        Field(
            description="text: answer and distractor are texts with {slots}, such as ' {capital}'. expression: they "
            "are arithmetic over the slots, such as 'a * 2 + b', which the program computes (+ - * / // % **, "
            "parentheses, abs, min, max)."
        ),
    ]
    answer: Annotated[str, Field(description="A text with its leading space, or an expression without braces.")]
    distractor: Annotated[str | None, Field(description="As answer, for a plausible wrong answer: 'a + b'.")] = None
    paired: Annotated[
        bool,
        Field(
            description="True: all slots have equally many values, used together: first with first (country with "
            "capital). False: every combination, up to 2000 prompts."
        ),
    ] = False


class Draft(Frozen):
    """A whole task."""

    name: Annotated[str, Field(description="Lower-case letters, digits and _, a letter first: animal_sounds.")]
    title: Annotated[str, Field(description="A few words.")]
    description: Annotated[str, Field(description="One sentence: what the prompts ask.")]
    answer_kind: Annotated[
        DraftKind,
        Field(
            description="How to compare answers. number: by value. word: the first one to three words. name: the same, "
            "without articles. yes_no. true_false_unknown. text: letter by letter."
        ),
    ]
    chance: Annotated[
        float | None, Field(ge=0, le=1, description="Accuracy of guessing: 0.5 for two choices. Null: unknown.")
    ] = None
    answer_in_prompt: Annotated[
        bool,
        Field(
            description="True only if the prompt must contain the answer: copying, or a choice among its words. "
            "The task's card then says so."
        ),
    ] = False
    rows: Annotated[
        str | None,
        Field(
            description="Prompts written out in short: CSV with a header line. Columns text and answer, and if wanted "
            "distractor, corrupted, corrupted_answer, about. Any other column is a named value, and a span where the "
            "text holds it once: 'text,answer,distractor,country\\nThe capital of France is, Paris, Rome,France'."
        ),
    ] = None
    examples: Annotated[list[Example] | None, Field(description="Prompts written out. Null: rows or templates.")] = None
    templates: Annotated[list[Template] | None, Field(description="Prompts by form. Null: rows or examples.")] = None
