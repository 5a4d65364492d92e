"""Facts to recall, not to compute: a relation, a subject, and the subject's object in the relation.

A relation is a table and a few wordings. The corrupted prompt has another subject, with as many words if there is one;
the distractor is the object of another subject. Both are of the same split as the fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .family import Family, choose, fill
from .prompt import Prompt, split_of

Wording = tuple[str, str]


def table(text: str) -> dict[str, str]:
    """The pairs of a text such as "France Paris, Italy Rome", or "War and Peace | Tolstoy" if words contain spaces."""
    pairs = (entry.split("|") if "|" in entry else entry.split() for entry in text.split(","))
    return {subject.strip(): object_.strip() for subject, object_ in pairs}


def grouped(text: str) -> dict[str, str]:
    """The pairs of lines such as "Africa: Kenya, Mali", with the object first."""
    lines = (line.split(":") for line in text.strip().splitlines())
    return {subject.strip(): object_.strip() for object_, subjects in lines for subject in subjects.split(",")}


def recall(
    name: str,
    relation: str,
    facts: Mapping[str, str],
    wordings: Sequence[Wording],
    longer: Mapping[str, str] | None = None,
    named: tuple[str, str] = ("subject", "object"),
) -> Family[str]:
    """The family of a relation. A wording is its name and a template with the fields relation and subject.

    `longer` gives other right names of objects, such as an author's full name. `named` are the names of the two values.
    """
    also = {object_: (f" {object_}", f" {name}") for object_, name in (longer or {}).items()}

    def others(subject: str) -> list[str]:
        """Subjects of the same split with another object, with as many words if there are any."""
        found = [s for s in facts if facts[s] != facts[subject] and split_of(s) == split_of(subject)]
        return [s for s in found if len(s.split()) == len(subject.split())] or found

    alike = {subject: others(subject) for subject in facts}

    def write(subject: str, stratum: int, _variant: int) -> Prompt:
        wording, template = wordings[stratum]
        text, spans = fill(template, subject=subject, relation=relation)
        twin = choose(alike[subject], text)
        return Prompt(
            text=text,
            answer=f" {facts[subject]}",
            distractor=f" {facts[choose(alike[subject], text[::-1])]}",
            corrupted=fill(template, subject=twin, relation=relation)[0],
            corrupted_answer=f" {facts[twin]}",
            spans=spans,
            template=f"{name}.{wording}",
            key=subject,
            accepted=also.get(facts[subject], ()),
            values=dict(zip(named, (subject, facts[subject]), strict=True)),
        )

    return Family(f"{name} 2", lambda: tuple(facts), str, lambda _subject, _stratum: 1, write, strata=len(wordings))
