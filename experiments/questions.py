"""The questions that our kinds answer. Each kind names one, and the map that a language model is given, the README's
table and the pages are made from that. A kind of another package may name one of these, or ask its own."""

CAN_IT_DO_IT = "Can the subject do it, and where does it fail?"
WHICH_LAYERS = "Which layers does it need, and which do little?"
WHICH_PARTS = "Which heads, MLPs or neurons does it need?"
WHERE_PROMPTS_DIFFER = "Where is what tells a prompt from its twin?"
WHICH_READS_FROM_WHICH = "Which part reads from which?"
WHAT_IS_WRITTEN = "What does a part write, and when is the answer there?"
WHAT_A_HEAD_LOOKS_AT = "What does a head look at, and what does it move?"
WHICH_TOKENS = "Which tokens of the prompt count, and how do prompts lie to each other?"
