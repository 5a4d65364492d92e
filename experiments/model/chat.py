"""Asking a subject through its own chat template: each prompt is a user's message, its answer the start of the reply.

Everything that an experiment reads of a task comes from the task's source: prompts, counterparts, donors of means, the
prompts that a map is fitted on. So the template is put around the prompts there, once, and everything else works as on
a plain text: spans move with their characters, and an answer starts as the template lets an assistant's turn start,
mostly without a space. The template has written every special token, so the tokenizer adds none.

A template can use the clock and switches. The date is fixed and thinking is off, so the same prompt is the same text on
every day, and an answer can be at the start of the turn.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import BadConfiguration, BadTask
from ..tasks.prompt import Prompt, Split
from ..tasks.question import Ask, ask_of

if TYPE_CHECKING:
    from ..tasks.task import Source, Task
    from .subject import Subject

TODAY = datetime(2024, 7, 26)
# Names by which the templates of today turn thinking off, and ask for the date.
SWITCHES: dict[str, Any] = {
    "enable_thinking": False, "thinking": False, "date_string": TODAY.strftime("%d %b %Y"),
}  # fmt: skip
MESSAGE, REPLY = "4c61736d", "72657032"  # words that no template and no prompt contains


class Asked(Prompt):
    """A prompt inside a chat template: `text` is all that the subject reads, `plain` the prompt as the task has it."""

    plain: Prompt

    @property
    def message(self) -> str:
        return self.plain.text


@dataclass(frozen=True)
class Template:
    """A subject's chat template with one system prompt (with None, many templates use their own).

    before  the text before the user's message
    after   the text between it and the assistant's reply, without the blanks at its end
    lead    the blanks at the start of a reply
    ends    the token that ends the assistant's turn, if it is a single token
    """

    name: str
    tokenizer: Any
    system: str | None
    before: str
    after: str
    lead: str
    ends: int | None

    def around(self, message: str) -> tuple[str, int]:
        """The whole text, and how many characters later than in the message its characters are.

        Raises BadTask if the template changes the message.
        """
        whole = rendered(self.tokenizer, self.system, message)
        for kept in (message, message.strip()):
            if whole.rstrip(" \t") == (text := self.before + kept + self.after):
                return text, len(self.before) - message.index(kept)
        raise BadTask(
            f"The chat template of {self.name} changes the text of a prompt ({message[:40]!r}), so its spans are lost. "
            "Leave out chat."
        )

    def reply(self, answer: str) -> str:
        return self.lead + answer.lstrip() if answer else answer

    def ask(self, prompt: Prompt) -> Asked:
        """The prompt as the subject reads it."""
        text, later = self.around(prompt.text)
        first, last = len(self.before), len(text) - len(self.after)
        given = {name: getattr(prompt, name) for name in Prompt.model_fields}
        for name in ("answer", "distractor", "corrupted_answer"):
            given[name] = None if given[name] is None else self.reply(given[name])
        given["accepted"] = tuple(map(self.reply, prompt.accepted))
        given["corrupted"] = None if prompt.corrupted is None else self.around(prompt.corrupted)[0]
        given["text"] = text
        # Blanks at the ends of a message, which the template may drop, are in no span.
        given["spans"] = {
            name: (max(start + later, first), min(end + later, last)) for name, (start, end) in prompt.spans.items()
        }
        return Asked(**given, plain=prompt)

    @property
    def identity(self) -> str:
        """A hash of all that the template adds to a prompt and its answer."""
        text = "\0".join((self.before, self.after, self.lead))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def template(name: str, tokenizer: Any, system: str | None) -> Template:
    """A subject's chat template. Raises BadConfiguration if it has none, or if it does not accept these messages."""
    if not getattr(tokenizer, "chat_template", None):
        raise BadConfiguration(f"{name} has no chat template. Leave out chat, or use a model that was trained to chat.")
    try:
        whole = rendered(tokenizer, system, MESSAGE)
        replied = rendered(tokenizer, system, MESSAGE, REPLY)
    except Exception as fault:
        # Templates raise their own errors to refuse messages.
        reason = " ".join(str(fault).split()) or type(fault).__name__
        more = ", or leave out the system prompt" if system is not None else ""
        raise BadConfiguration(f"The chat template of {name} fails: {reason}. Leave out chat{more}.") from fault
    if whole.count(MESSAGE) != 1:
        raise BadConfiguration(f"The chat template of {name} does not show the message exactly once. Leave out chat.")
    before, after = whole.split(MESSAGE)
    cut = after.rstrip(" \t")
    rest = replied[len(whole) :] if replied.startswith(whole) else ""
    blanks = rest[: rest.index(REPLY)] if REPLY in rest else ""
    lead = after[len(cut) :] + (blanks if not blanks.strip(" ") else "")
    return Template(name, tokenizer, system, before, cut, lead, ending(tokenizer, rest))


def rendered(tokenizer: Any, system: str | None, message: str, reply: str | None = None) -> str:
    """What the subject reads up to its turn, or with its reply to the end of it."""
    said = [] if system is None else [{"role": "system", "content": system}]
    said.append({"role": "user", "content": message})
    if reply is not None:
        said.append({"role": "assistant", "content": reply})
    return tokenizer.apply_chat_template(
        said, tokenize=False, add_generation_prompt=reply is None,
        chat_template=on_one_day(tokenizer.get_chat_template()), **SWITCHES,
    )  # fmt: skip


def on_one_day(written: str) -> str:
    """A template that asks the clock, with a macro in the clock's place."""
    formats = sorted(set(re.findall(r"""strftime_now\(\s*["']([^"']*)["']\s*\)""", written)))
    if not formats:
        return written
    cases = "".join(f"{{% if format == {one!r} %}}{TODAY.strftime(one)}{{% endif %}}" for one in formats)
    # The empty text keeps a newline at the template's beginning, which a block before it would swallow.
    return f"{{% macro strftime_now(format) %}}{cases}{{% endmacro %}}{{{{ '' }}}}{written}"


def ending(tokenizer: Any, rest: str) -> int | None:
    """The special token after the reply in what a template writes, if there is one."""
    after = rest.partition(REPLY)[2].lstrip()
    ids = tokenizer(after, add_special_tokens=False)["input_ids"] if after else []
    known: Mapping[int, Any] = tokenizer.added_tokens_decoder
    return ids[0] if ids and ids[0] in known else None


@dataclass(frozen=True)
class Verbatim:
    """A tokenizer for texts in which the template has written all special tokens: it adds none, and the end of the
    assistant's turn is the end of a text."""

    tokenizer: Any
    ends: int | None

    def __call__(self, *texts: Any, **options: Any) -> Any:
        return self.tokenizer(*texts, **{**options, "add_special_tokens": False})

    def __len__(self) -> int:
        return len(self.tokenizer)

    def __getattr__(self, name: str) -> Any:
        if name in ("tokenizer", "ends"):  # not set yet: being copied
            raise AttributeError(name)
        return getattr(self.tokenizer, name)

    @property
    def eos_token_id(self) -> int | None:
        return self.ends if self.ends is not None else self.tokenizer.eos_token_id


@dataclass(frozen=True)
class Through:
    """A source of prompts inside a chat template. Which prompts they are does not depend on it."""

    source: Source
    template: Template

    def stream(self, split: Split, seed: int) -> Iterator[Prompt]:
        return map(self.template.ask, self.source.stream(split, seed))

    def capacity(self, split: Split) -> int:
        return self.source.capacity(split)

    def identity(self) -> Any:
        return self.source.identity()

    @property
    def ask(self) -> Ask | None:
        return ask_of(self.source)


def through_chat(subject: Subject, task: Task, system: str | None = None) -> tuple[Subject, Task]:
    """The subject and the task as used through the subject's chat template.

    Raises BadConfiguration if the subject has no chat template, or one that refuses.
    """
    made = template(subject.name, subject.tokenizer, system)
    return replace(subject, tokenizer=Verbatim(subject.tokenizer, made.ends)), inside(made, task)


def inside(made: Template, task: Task) -> Task:
    """The task with each of its prompts inside a chat template."""
    guess = task.guess

    def guessed(prompt: Prompt) -> float:
        assert guess is not None
        return guess(prompt.plain if isinstance(prompt, Asked) else prompt)

    changed = {
        "source": Through(task.source, made), "asked": made.identity, "guess": None if guess is None else guessed,
    }  # fmt: skip
    return task.model_copy(update=changed)


def as_asked(name: str, tokenizer: Any, task: Task, chat: bool = False, system: str | None = None) -> Task:
    """The task as a subject with this name and tokenizer gets it; its weights are not needed.

    Raises BadTask if the tokenizer does not support the task, and BadConfiguration if there is no chat template.
    """
    fitted = task.for_tokenizer(tokenizer)
    return inside(template(name, tokenizer, system), fitted) if chat else fitted
