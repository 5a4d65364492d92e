"""What a reader has to know who knows nothing of Lashley: the words of a report, and how its numbers are made."""

from __future__ import annotations

from ..claims.claim import VERDICTS

WORDS: tuple[tuple[str, str], ...] = (
    (
        "Layer, head",
        "A language model computes the next token in layers, one after the other, counted from 0. In each, attention "
        "heads fetch information from earlier tokens, and an MLP works on what is there. L7.H3 is head 3 of layer 7.",
    ),
    (
        "Removed",
        "A head is removed by putting something else in the place of its output: zero, the mean of its outputs over "
        "the prompts, or its output for another prompt (resample). A layer is removed by leaving it out.",
    ),
    (
        "Loss, logit difference, accuracy",
        "Loss is how little the model expects the right answer, in nats: 0 when it is certain, and 0.1 more when the "
        "answer is 10% less likely. The logit difference is how much it prefers the answer to one plausible wrong one, "
        "0 when it does not. Accuracy is the share of prompts that it answers rightly in its own words.",
    ),
    (
        "It says the answer, it prefers the answer",
        "Two grades of ability, each tested against chance by questions (exact binomial test, one-sided, p < 0.025): "
        "the texts that the intact model generates are right (accuracy), and it scores the answer above a plausible "
        "wrong one (prefers_answer). An effect on a logit difference rests on preference, one on accuracy on speech.",
    ),
    (
        "Yes, confirmed; no, refuted; undecided",
        "The answer to a question about a claim. " + " ".join(f"{word}: {what}" for word, what in VERDICTS.items()),
    ),
    (
        "Effect",
        "The edited model minus the intact one, on the same prompts. What was needed shows as a loss that rises, or a "
        "logit difference that falls.",
    ),
    (
        "0.31 [0.22, 0.40], n = 32",
        "A mean over 32 prompts, and its 95% interval: what the mean over all such prompts could well be.",
    ),
    (
        "p, q, p_max",
        "p is how often chance alone gives an effect as large; q is p, corrected for all effects of the experiment, "
        "and p_max is how often chance alone gives any one of these an effect as extreme. That q is large shows "
        "nothing: perhaps the prompts were too few.",
    ),
    (
        "Percentile",
        "The share of other places, or of random sets as large, that changed less, by size, when they were edited in "
        "the same way. A part that is no stronger than these is not special.",
    ),
    (
        "control_change, control_largest, excess",
        "What the random places or sets changed, in the mean and at most, and by how much more the edited part itself "
        "did harm than their mean: above 0, whatever the metric, it did more. The interval of excess counts the draw "
        "of the prompts and the draw of the sets. An excess near 0 does not show that the part can be spared: the "
        "random places may do as much harm.",
    ),
    (
        "control_pool",
        "Where the random places are from. matched: the same kind and size, nearest in depth, and never layers 0 and 1 "
        "or the last, without which most models break, unless one of these was edited itself. anywhere: any layer.",
    ),
    (
        "control_rank, control_p",
        "The place of the edited part by damage among itself and its random sets, 1 for the worst; and that place over "
        "how many they are, which is how often one of them, drawn at random, would have it. Twenty sets can show no "
        "less than 1 in 21.",
    ),
    (
        "identity",
        "The largest change, of any prompt, under an edit that changes nothing. It must be 0 within rounding; if not, "
        "the measurement is broken.",
    ),
    (
        "Explore, confirm",
        "Two halves of the prompts. What is found on the one is tested on the other, which was kept for that: nothing "
        "runs on it but the tests of predictions, each hypothesis on a draw of its own.",
    ),
    (
        "Prediction, verdict",
        "A prediction names an experiment, a number of its result and a bound, and is frozen before the experiment "
        "runs. Supported: the whole interval lies where it was said to, after Holm's correction for all predictions "
        "of the run. Refuted: it lies wholly elsewhere. Inconclusive: neither. Confirmed: supported under zero, mean "
        "and resample. None of this is proof.",
    ),
)

STATISTICS = (
    "Effects are paired: the edited model minus the intact one on the same prompt. Intervals are 95% intervals: of a "
    "mean Student's t, wider where the changes may be skewed, of a share Wilson's, of a change of share Tango's, which "
    "keep their width where all prompts agree. p is the larger of that t's and a sign-flip test's. Prompts that ask "
    "the same question in another form count as one."
)
