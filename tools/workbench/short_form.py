"""The short form of an answer: what a long study sends in its place once it is old.

It says what the answer began with (for an experiment: its id, its settings and what it found) and the call that shows
it whole again, which costs no experiment.
"""

from __future__ import annotations

import json

from ...db.records import Experiment
from ...experiments.kinds.registry import own_settings
from .experiment_text import shown_by

# An answer up to this many characters is sent whole; settings of an experiment are cut after some of them.
SHORT, SETTINGS = 360, 120
# How to see the answer of a tool again that would act a second time if it were called again; the others only read.
AGAIN = {
    "create_task": "show_task",
    "register_questions": 'query_tracker {"sql": "SELECT text FROM questions"}',
    "propose_hypothesis": 'query_tracker {"sql": "SELECT * FROM predictions"}',
    "test_hypothesis": 'query_tracker {"sql": "SELECT * FROM judgements"}',
}


def short_answer(name: str, text: str) -> str:
    """The short form of the answer of this tool; empty if the text is short itself."""
    line = " ".join(text.split())
    if len(line) <= SHORT:
        return ""
    return f"{beginning(line, SHORT)} (Shortened; whole: {AGAIN.get(name, f'call {name} again')})"


def short_experiment(e: Experiment) -> str:
    """The short form of the answer of an experiment that is done, as `Reader.experiment` returns it."""
    own = ", ".join(f"{k} {json.dumps(v, ensure_ascii=False)}" for k, v in own_settings(e.kind, e.config).items())
    settings = beginning(f" {own}", SETTINGS) if own else ""
    found = " ".join((e.found or "").split())
    line = f"{e.id} {e.kind}{settings} on {e.task}, n = {e.n}: {beginning(found, SHORT)}"
    return f"{line} (Shortened; whole: {shown_by(e.id)})"


def beginning(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 2].rstrip() + " …"
