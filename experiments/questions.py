"""The questions that the kinds answer. Each kind names one; the map for language models, the table of kinds and the
pages are made from them. A kind of another package may use one of these or its own."""

WITHOUT_A_TASK = "What does the model do with any text, before there is a task?"
CAN_IT_DO_IT = "Can the model do the task, and where does it fail?"
WHICH_LAYERS = "Which layers does the model need, and which do little?"
WHICH_PARTS = "Which heads, MLPs or neurons does the model need?"
WHERE_PROMPTS_DIFFER = "Where is the information that a corrupted prompt lacks?"
WHICH_READS_FROM_WHICH = "Which part reads from which?"
WHAT_IS_WRITTEN = "What does a part write, and when is the answer there?"
WHAT_A_HEAD_LOOKS_AT = "What does a head attend to, and what does it move?"
WHICH_TOKENS = "Which tokens of the prompt matter, and how do prompts cluster?"
ANYTHING = "What happens under any other intervention?"
