"""What a result says beside its numbers: each note under a code that programs read, with the text that people read.

The code is the note. A report, a replay or a reader of the tracker asks for the code, so a text can be worded better at
any time, and nothing but the text changes. A template is filled in by `str.format`.
"""

from __future__ import annotations

from .result import Doubt, Note

NOTES = {
    # A control failed: what was found is not to be believed.
    "identity_failed": "The identity control failed: an edit that changes nothing changed {metric} by up to {off:.3g}; "
    "nothing that is found here can be trusted.",
    "patching_failed": "The control failed: with everything patched, {metric} differs from the other run by up to "
    "{off:.3g}; nothing that is found here can be trusted.",
    "shares_failed": "The control failed: the shares miss the whole by up to {off:.3g} logits; nothing that is found "
    "here can be trusted.",
    "lens_failed": "The control failed: the lens after the last layer is not the model's own prediction ({metric} "
    "differs by up to {off:.3g}); nothing that is found here can be trusted.",
    "repair_failed": "The control failed: what is split here misses what removing the head gives by up to {off:.3g} "
    "logits; nothing that is found here can be trusted.",
    # A control is not there.
    "no_matched_control": "There is no matched random control: too little of the model is left, or this can be done "
    "nowhere else.",
    "few_matched_controls": "The matched pool gives {count} of {wanted} random controls: layers 0, 1 and the last "
    "stand in for no others, and none holds what is edited. control_pool anywhere gives more, these layers included.",
    "no_donor_control": "There is no donor control: no other prompt shares template and length with these.",
    "some_without_donor": "{few} of {n} prompts have no donor and are left out of it.",
    "no_shuffled_control": "There is no control of shuffled answers: it needs logit_diff, and prompts whose answers "
    "are not those of all others.",
    "nothing_specific": "A prompt has no other beside it that asks for something else, so nothing is specific.",
    "same_answers": "All prompts have the same answer, so there are no others to compare it with (no lead).",
    # Where what is put in place of something comes from.
    "more_prompts_lent": "The {method} is taken over {more} more prompts of the explore split, so that each prompt has "
    "enough others beside it that ask and answer otherwise.",
    "other_templates_lent": "For {few} of {n} prompts too few others of their template and length answer otherwise; "
    "their {method} is taken from prompts of the same length, whatever their template.",
    "all_positions_lent": "For {few} of {n} prompts too few others of their length answer otherwise; their {method} is "
    "taken from all positions of the prompts that do.",
    # What was measured on other prompts than were asked for, or fitted on.
    "without_corrupted_prompt": "{passed} of the first {looked_at} prompts of the draw were passed over: none of them "
    "has a corrupted twin of as many tokens that takes the same answers. What is measured holds for the others.",
    "without_other_prompt": "{passed} of the first {looked_at} prompts of the draw were passed over: none of them has "
    "another prompt of its template, with as many tokens and another answer. What is measured holds for the others.",
    "fitted_on_same_questions": "The map was fitted on other prompts, which ask some of the same questions.",
    "fitted_on_one_answer": "{count} of the {n} prompts that the map was fitted on answer {answer!r}, so a constant "
    "vector alone can say it.",
    # How far what was found goes.
    "shares_before_cap": "This model caps or scales its logits; the shares are of the logits before that (whole).",
    "split_before_cap": "This model caps or scales its logits; what is split here are the logits before that.",
    "screen_no_faster": "A screen is no faster here: this processor is not faster in bf16, and these runs cannot be "
    "shortened. So everything was measured in fp32.",
    "set_open": "Whether the set is enough on these prompts is open: the interval holds the level. More prompts narrow "
    "it.",
    "set_not_enough": "On these prompts the set, which was found on others, is not enough.",
    "no_clear_damage": "Skipping does no clear damage on average, so there is no share of it that is undone.",
    "no_successor": "This tokenizer has no series of days, months or numbers as single tokens, so there is no "
    "successor.",
    "baseline_breaks_run": "One replaced token alone moves {metric} by {one:.3f} on average, all together by "
    "{whole:.3f}: this baseline breaks the run wherever it stands, so occlusion does not tell which tokens count. Take "
    "{instead}.",
    "signs_differ": "{way} has the other sign than occlusion at {places}: what such a place counts depends on what is "
    "asked, and is told by neither alone.",
    "not_complete": "Integrated gradients are not complete: they miss {missed:.0%} of the whole difference, more than "
    "{bar:.0%}. Do not rely on them; raise steps.",
    "no_whole_difference": "The whole difference is not clearly other than 0, so there is no share of it: on average "
    "{metric} does not rest on what was replaced.",
    "prompts_left_out_singly": "No two labels are shared by different questions, so prompts are left out one by one: "
    "that prompts of one question lie together may be no more than that they share words.",
    "labels_of_one_prompt": "{dropped} of {n} prompts have a label that no other has; they are drawn, and not counted.",
    "known_before_layers": "Before the first layer the token there tells the labels as well (accuracy_embedding "
    "{first}): what is found need not be the layers' doing.",
    "drawn_by_tsne": "Drawn by t-SNE: distances, gaps and sizes of clusters on the map mean nothing, another seed or "
    "perplexity gives another map, and it shows clusters in noise, too. Read accuracy and p, which are of all "
    "dimensions.",
    # The subject cannot do the task, or not in the way that was measured.
    "unable": "The intact model is not shown to do the task on these prompts, {why}. What removing or changing a part "
    "shows here may mean nothing.",
    "not_preferred": "A logit difference rests on preference, and the intact model is not shown to prefer the answer "
    "(a share of {prefers}). It says the answer (accuracy {says}).",
    "one_question": "One question makes more than half of the whole change, by size, of {places}. What the others show "
    "may be nothing; take more prompts, and look at that one.",
    "not_said": "{rests}: the intact model prefers the answer, and is not shown to say it (accuracy {says}). Changes "
    "of accuracy and of generated text may mean nothing.",
}


def note(code: str, **facts: object) -> Note:
    """The note of this code. Raises KeyError for a code that is not there, and for facts that its template lacks."""
    return Note(code=code, text=NOTES[code].format(**facts))


def doubt(code: str, **facts: object) -> Doubt:
    """A note that says why the result may mean nothing (see `Doubt`)."""
    return Doubt.model_validate(note(code, **facts).model_dump())
