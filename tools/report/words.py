"""The glossary of a report, for a reader who does not know Lashley: its words, and how its numbers are made."""

from __future__ import annotations

from ..claims.claim import VERDICTS

WORDS: tuple[tuple[str, str], ...] = (
    (
        "Layer, head",
        "A language model computes the next token in layers, one after another, counted from 0. In each layer, "
        "attention heads fetch information from earlier tokens, and an MLP processes it. L7.H3 is head 3 of layer 7.",
    ),
    (
        "Removed",
        "A head is removed by replacing its output: with zero, with the mean of its outputs over other prompts, or "
        "with its output for another prompt (resample). A layer is removed by skipping it.",
    ),
    (
        "Loss, logit difference, accuracy",
        "Loss measures, in nats, how little the model expects the right answer: 0 when it is certain, and 0.1 more "
        "when the answer is 10% less likely. The logit difference is how much the model prefers the answer to one "
        "plausible wrong answer; 0 means no preference. Accuracy is the share of prompts for which the text that the "
        "model generates is right.",
    ),
    (
        "It says the answer, it prefers the answer",
        "Two grades of ability. It says the answer when the texts that the intact model generates are right "
        "(accuracy). It prefers the answer when it scores the answer above a plausible wrong one (prefers_answer). "
        "Each is tested against chance, counting questions rather than prompts (exact binomial test, one-sided, "
        "p < 0.025). An effect on a logit difference means something only if the model prefers the answer; an effect "
        "on accuracy, only if it says the answer.",
    ),
    (
        "Yes, confirmed; no, refuted; undecided",
        "The answer to a question about a claim. " + " ".join(f"{word}: {what}" for word, what in VERDICTS.items()),
    ),
    (
        "Effect",
        "The edited model minus the intact one, on the same prompts. When a part that was needed is removed, the loss "
        "rises or the logit difference falls.",
    ),
    (
        "0.31 [0.22, 0.40], n = 32",
        "A mean over 32 prompts and its 95% interval: the range in which the mean over all such prompts plausibly "
        "lies.",
    ),
    (
        "p, q, p_max",
        "p is how often chance alone gives an effect this large. q is p, corrected for all effects of the experiment. "
        "p_max is how often chance alone gives any of these effects a value this extreme. A large q shows nothing: "
        "there may have been too few prompts.",
    ),
    (
        "Percentile",
        "The share of other places, or of random sets of the same size, that changed the result less when they were "
        "edited in the same way. Changes are compared by size, whatever their sign. A part that is no stronger than "
        "these is not special.",
    ),
    (
        "control_change, control_largest, excess",
        "control_change is the mean change under the random places or sets, and control_largest is their largest. "
        "excess is how much more harm the edited part did than their mean: whatever the metric, above 0 means more "
        "harm. The interval of excess covers both draws: of the prompts, and of the sets. An excess near 0 does not "
        "show that the model can spare the part: the random places may do as much harm.",
    ),
    (
        "control_pool",
        "Where the random places come from. matched: the same kind and size, and the nearest depth. Layers 0 and 1 "
        "and the last layer are left out unless the experiment edited one of them, because most models break without "
        "them. anywhere: any layer.",
    ),
    (
        "control_rank, control_p",
        "control_rank is the rank of the edited part by damage among itself and its random sets; 1 is the worst. "
        "control_p is that rank divided by their number, the edited part included: how often one of them, drawn at "
        "random, would rank as high. With twenty sets it cannot be below 1 in 21.",
    ),
    (
        "identity",
        "The largest change, on any prompt, under an edit that changes nothing. It must be 0 within rounding; if not, "
        "the measurement is broken.",
    ),
    (
        "Explore, confirm",
        "Two halves of the prompts. The first is for finding things, and the second, which is held out, for testing "
        "them: only the tests of predictions run on it, and each hypothesis gets its own draw.",
    ),
    (
        "Prediction, verdict",
        "A prediction names an experiment, a number of its result and a bound, and is frozen before the experiment "
        "runs. Supported: the whole interval lies where the prediction says, after Holm's correction for all "
        "predictions of the run. Refuted: the whole interval lies elsewhere. Inconclusive: neither. Confirmed: "
        "supported under zero, mean and resample. None of this is proof.",
    ),
)

STATISTICS = (
    "Effects are paired: the edited model minus the intact one on the same prompt. All intervals are 95% intervals. "
    "That of a mean is Student's t, widened where the changes may be skewed. That of a share is Wilson's, and that of "
    "a change of share is Tango's; both keep their width where all prompts agree. p is the larger of two p values: "
    "that t's and a sign-flip test's. Prompts that ask the same question in another form count as one."
)
