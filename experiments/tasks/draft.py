"""A task as somebody proposes it: examples written out, or templates with slots that the program fills.

The fields are kept plain, so that every fault in them can be found by the checks of `making` and told at once.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..result import Frozen

DraftKind = Literal["number", "word", "name", "yes_no", "true_false_unknown", "text"]


class Example(Frozen):
    """One prompt, written out."""

    text: Annotated[str, Field(description="The prompt, without a blank at its end.")]
    answer: Annotated[str, Field(description="What follows at once, with its leading space: ' Paris'.")]
    distractor: Annotated[
        str | None, Field(description="A plausible wrong answer of the same form. Without one: no logit difference.")
    ] = None
    corrupted: Annotated[
        str | None, Field(description="A twin of the text: one small change, so that another answer is right.")
    ] = None
    corrupted_answer: Annotated[str | None, Field(description="The answer of the twin.")] = None
    accepted: Annotated[
        list[str] | None, Field(description="All right answers where there are several, this one among them.")
    ] = None
    about: Annotated[
        str | None,
        Field(
            description="What it asks, where several prompts ask the same in other words: 'France'. They are kept "
            "together in one split."
        ),
    ] = None


class Slot(Frozen):
    """What a {slot} is filled with: texts, or the whole numbers from low to high."""

    name: Annotated[str, Field(description="As in the braces: letters, digits and _.")]
    values: Annotated[list[str] | None, Field(description="Its texts. Null for numbers.")] = None
    low: Annotated[int | None, Field(description="The first number. Null for texts.")] = None
    high: Annotated[int | None, Field(description="The last number. Null for texts.")] = None
    wording: Annotated[
        bool, Field(description="True: its values only word it otherwise; with each the same is asked.")
    ] = False


class Template(Frozen):
    """Many prompts of one form. The program makes their corrupted twins, spans and splits."""

    text: Annotated[str, Field(description="The prompt with {slots}: 'The double of {a} plus {b} is'.")]
    slots: Annotated[list[Slot], Field(description="Every slot that stands in text, answer or distractor.")]
    answer_is: Annotated[
        Literal["text", "expression"],
        Field(
            description="text: answer and distractor are texts with {slots}, such as ' {capital}'. expression: they "
            "are arithmetic over the slots, such as 'a * 2 + b', which the program works out (+ - * / // % **, "
            "parentheses, abs, min, max)."
        ),
    ]
    answer: Annotated[str, Field(description="A text with its leading space, or an expression without braces.")]
    distractor: Annotated[str | None, Field(description="The same for a plausible wrong answer: 'a + b'.")] = None
    paired: Annotated[
        bool,
        Field(
            description="True: all slots have equally many values, which go together: first with first (country with "
            "capital). False: every combination, of which at most 2000 prompts are drawn."
        ),
    ] = False


class Draft(Frozen):
    """A whole task."""

    name: Annotated[str, Field(description="Small letters, digits and _, a letter first: animal_sounds.")]
    title: Annotated[str, Field(description="A few words.")]
    description: Annotated[str, Field(description="One sentence: what is asked.")]
    answer_kind: Annotated[
        DraftKind,
        Field(
            description="How what the subject says is read. number: by value. word: its first words, of one to three. "
            "name: the same, articles passed over. yes_no. true_false_unknown. text: letter by letter."
        ),
    ]
    chance: Annotated[
        float | None, Field(ge=0, le=1, description="The accuracy of guessing: 0.5 of two choices. Null: unknown.")
    ] = None
    answer_in_prompt: Annotated[
        bool,
        Field(
            description="True only where the answer must stand in the prompt: copying, or a choice among its words. "
            "The task's card then says so."
        ),
    ] = False
    examples: Annotated[list[Example] | None, Field(description="Prompts written out. Null: templates only.")] = None
    templates: Annotated[list[Template] | None, Field(description="Prompts by form. Null: examples only.")] = None
