"""The glossary. Words that the report or the code defines come from there; the others are defined below."""

from __future__ import annotations

from lashley.experiments.kinds.registry import kind
from lashley.experiments.metrics import metrics
from lashley.tools.claims.claim import VERDICTS
from lashley.tools.report.words import WORDS

# Words of the field, and ours.
TERMS = {
    "Ablate": "To remove a part and measure what changes. See *Removed*, and [removals](removals.md).",
    "Autopilot": "The driver that needs no language model: a fixed protocol that chooses each experiment from the "
    "results so far.",
    "Claim": "A type, parts and a task, without a sentence, such as `needed L20.H8`. The program judges it and writes "
    "the sentence. [All types](findings.md#what-can-be-claimed).",
    "Control": "A measurement to judge another by: an edit that changes nothing, and the same edit at "
    "random other places. Controls run automatically.",
    "Corrupted prompt": "A prompt with the same form as another and another answer. Patching moves activations between "
    "the two. It is also called a twin.",
    "Distractor": "A plausible wrong answer. The logit difference is taken between it and the answer.",
    "Donor": "Another prompt from which a replaced value comes. It asks another question and has another answer. "
    "[How donors are chosen](removals.md#which-other-prompts).",
    "Driver": "The one that decides the next experiment: a language model (`responses`, `chat`) or the autopilot.",
    "Held out": "Not used while exploring. Half of the prompts of each task are held out, and only the tests of "
    "predictions run on them. Also called the *confirm* split.",
    "Intervention": "One or more edits of a running model. An edit names a site and what happens there.",
    "Kind": "A kind of experiment, such as `head_ablation`. [All kinds](kinds/README.md).",
    "Logit lens": "Reads the residual stream after a layer as if it were the last layer's. "
    "See [logit_lens](kinds/logit_lens.md).",
    "Patch": "To put an activation from another run in the place of this run's. See "
    "[activation_patching](kinds/activation_patching.md).",
    "Planted model": "A small model whose weights were set by hand, so the right answer is known. "
    "[Planted models](models.md#planted-models).",
    "Question": "The question of a prompt. Prompts that ask the same question in other words have the same key, and "
    "count as one in every interval. A study also registers questions: what it was asked to find out.",
    "Residual stream": "The vectors that layers read and add to, one for each token. `L7.resid_pre` is the stream "
    "before layer 7, `L7.resid_post` the stream after it.",
    "Screen": "A rough, quick look at every place that chooses which ones to measure exactly.",
    "Seal": "A SHA-256 of a record, in a chain through the study. `agent verify` compares records with their seals.",
    "Seed": "The number that decides which prompts and which random controls are drawn.",
    "Site": "A place in the model: `L7.H3`, `L7.mlp`, `L7.attn`, `L7.resid_pre`, with `@last` or another span for some "
    "of its positions.",
    "Slot": "A writer types it in place of a number, such as `{{E3.accuracy}}`. The program fills it in.",
    "Span": "Named tokens of a prompt, such as `s2`, the second mention of the subject in `ioi`.",
    "Subject": "The model that is studied, as opposed to the language model that leads the study.",
    "Sweep": "One experiment that edits many places one at a time, such as every head.",
    "Tracker": "The SQLite file that holds everything that a study did. [Its tables](tracker.md).",
}


def methods() -> str:
    return kind("head_ablation").model_fields["method"].description or ""


def glossary_page(made: str) -> str:
    entries = [
        *TERMS.items(),
        *WORDS,
        ("Zero, mean, resample", f"The methods of removal. {methods()} See [removals](removals.md)."),
        *((f"{word.capitalize()} (a verdict)", text) for word, text in VERDICTS.items()),
    ]
    names = ", ".join(f"`{name}`" for name in metrics())
    listed = sorted(entries, key=lambda one: one[0].casefold())
    return f"""# Glossary

{made}
The words of the field as Lashley uses them, and its own. Metrics ({names}) are on [their page](metrics.md), and kinds
of experiments on [theirs](kinds/README.md).

{chr(10).join(f"## {word}{chr(10) * 2}{text}{chr(10)}" for word, text in listed)}"""
