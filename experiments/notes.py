"""The notes of a result: each has a code for programs and a text for people.

Reports, replays and readers of the tracker use only the code, so the wording of a text can change at any time.
`str.format` fills in a template.
"""

from __future__ import annotations

from .result import Doubt, Note

NOTES = {
    # A control failed: do not trust the result.
    "identity_failed": "The identity control failed: an edit that changes nothing changed {metric} by up to {off:.3g}. "
    "Do not trust this result.",
    "patching_failed": "The control failed: with everything patched, {metric} differs from the other run by up to "
    "{off:.3g}. Do not trust this result.",
    "shares_failed": "The control failed: the sum of the shares differs from the whole by up to {off:.3g} logits. Do "
    "not trust this result.",
    "lens_failed": "The control failed: the lens after the last layer differs from the model's own prediction "
    "({metric} by up to {off:.3g}). Do not trust this result.",
    "repair_failed": "The control failed: the sum of the parts differs from the effect of removing the head by up to "
    "{off:.3g} logits. Do not trust this result.",
    # A control is missing.
    "no_matched_control": "There is no matched random control: too little of the model is left, or there is no other "
    "place for this edit.",
    "few_matched_controls": "The matched pool gives only {count} of {wanted} random controls: layers 0, 1 and the last "
    "have no matches, and the edited parts are excluded. control_pool anywhere gives more, including these layers.",
    "no_donor_control": "There is no donor control: no other prompt has the same template and length.",
    "some_without_donor": "{few} of {n} prompts have no donor and are left out of this control.",
    "no_shuffled_control": "There is no control with shuffled answers: it needs logit_diff and prompts with different "
    "answers.",
    "nothing_specific": "No other prompt asks for something else, so specific cannot be measured.",
    "same_answers": "All prompts have the same answer, so there is no lead over other answers.",
    "same_values": "All prompts have the same token for {value}, so there is no lead over other values.",
    "value_of_several_tokens": "{few} of {n} values of {value} have several tokens. The lens reads the first one that "
    "is not a blank, so values that share it are the same value here.",
    "groups_merged": "The {merged} rarest groups by {by} are one group, other: there are at most {most} groups.",
    "groups_of_one_question": "These groups by {by} have one question, so their loss has no interval: {groups}.",
    # Where the replacement values come from.
    "more_prompts_lent": "The {method} uses {more} more prompts of the explore split, so that each prompt has enough "
    "others with another question and answer.",
    "other_templates_lent": "For {few} of {n} prompts, too few others of the same template and length have another "
    "answer; their {method} uses prompts of the same length and any template.",
    "all_positions_lent": "For {few} of {n} prompts, too few others of the same length have another answer; their "
    "{method} uses all positions of the prompts that do.",
    # The prompts that were measured or fitted on differ from the request.
    "without_corrupted_prompt": "{passed} of the first {looked_at} prompts of the draw were skipped: they have no "
    "corrupted prompt with as many tokens and the same possible answers. The result holds for the others.",
    "another_value_changed": "{passed} of the first {looked_at} prompts of the draw were skipped: their corrupted "
    "prompt changes something other than {value}. The result holds for the others.",
    "without_other_prompt": "{passed} of the first {looked_at} prompts of the draw were skipped: there is no other "
    "prompt with the same template and number of tokens and another answer. The result holds for the others.",
    "scrubbed_with_itself": "{share:.0%} of the draws found no other prompt that agrees, and took the prompt itself, "
    "which keeps everything. Name fewer values.",
    "without_interchange": "{passed} of the first {looked_at} prompts of the draw were skipped: no other prompt of "
    "their template and length has another {variable} that changes the answer. The result holds for the others.",
    "copied_answer": "The answer is {variable} itself, so the counterfactual answer is always the donor's own: a site "
    "that carries the donor's answer looks the same as one that carries {variable}.",
    "base_unable": "The model says its own answer to only {share} of these prompts, so it need not compute {variable} "
    "at all. The result may mean nothing here.",
    "without_donor_by_rule": "{passed} of the first {looked_at} prompts of the draw were skipped: no other prompt of "
    "their template and length obeys the rule. The result holds for the others.",
    "fitted_on_same_questions": "The map was fitted on other prompts that ask some of the same questions.",
    "fitted_on_one_answer": "{count} of the {n} prompts that the map was fitted on have the answer {answer!r}, so a "
    "constant vector is enough to say it.",
    # Limits of the result.
    "shares_before_cap": "This model caps or scales its logits; the shares are of the logits before that (whole).",
    "split_before_cap": "This model caps or scales its logits; the split is of the logits before that.",
    "screen_no_faster": "A screen would not be faster: this processor is not faster in bf16, and these runs cannot be "
    "shortened. So everything was measured in fp32.",
    "set_open": "It is undecided whether the set is enough on these prompts: the interval contains the level. More "
    "prompts narrow the interval.",
    "set_not_enough": "The set, which was found on other prompts, is not enough on these.",
    "no_clear_damage": "Skipping does no clear damage on average, so the share that is undone is not given.",
    "no_successor": "This tokenizer has no series of days, months or numbers as single tokens, so there is no "
    "successor.",
    "baseline_breaks_run": "One replaced token moves {metric} by {one:.3f} on average, all together by {whole:.3f}: "
    "this baseline breaks the run at any position, so occlusion does not show which tokens matter. Use {instead}.",
    "signs_differ": "{way} and occlusion have opposite signs at {places}: neither alone shows what these sites "
    "contribute.",
    "not_complete": "Integrated gradients are not complete: they miss {missed:.0%} of the whole difference, more than "
    "{bar:.0%}. Do not rely on them; raise steps.",
    "no_whole_difference": "The whole difference does not clearly differ from 0, so there are no shares of it: on "
    "average {metric} does not depend on what was replaced.",
    "prompts_left_out_singly": "No two labels are shared by different questions, so prompts are left out one at a "
    "time: prompts of one question may lie together only because they share words.",
    "labels_of_one_prompt": "{dropped} of {n} prompts have a label that no other has; they are drawn but not counted.",
    "known_before_layers": "The token gives the labels as well before the first layer (accuracy_embedding {first}): "
    "the layers need not have computed them.",
    "drawn_by_tsne": "Drawn by t-SNE: distances, gaps and cluster sizes on the map mean nothing, another seed or "
    "perplexity gives another map, and noise also forms clusters. Use accuracy and p, which use all dimensions.",
    # The subject cannot do the task, or not in the way that was measured.
    "unable": "The intact model is not shown to do the task on these prompts, {why}. The effects of removing or "
    "changing parts may mean nothing here.",
    "not_preferred": "A logit difference rests on preference, and the intact model is not shown to prefer the answer "
    "(a share of {prefers}). It says the answer (accuracy {says}).",
    "one_question": "One question makes up more than half of the absolute change of {places}. The others may show no "
    "effect. Use more prompts, and look at that question.",
    "not_said": "{rests}: the intact model prefers the answer, but is not shown to say it (accuracy {says}). Changes "
    "in accuracy and generated text may mean nothing.",
}


def note(code: str, **facts: object) -> Note:
    """The note with this code. Raises KeyError for an unknown code, or if a fact of its template is missing."""
    return Note(code=code, text=NOTES[code].format(**facts))


def doubt(code: str, **facts: object) -> Doubt:
    """A note that gives a reason to doubt the result (see `Doubt`)."""
    return Doubt.model_validate(note(code, **facts).model_dump())
