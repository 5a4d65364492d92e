"""How other programs say things, where their words are all that tells: servers of language models, each its own way.

They are data, in one place, and no words of ours. What is found by them becomes an error of ours with a code of ours,
or an option that is no longer sent.
"""

from __future__ import annotations

import re

# --- why a request was refused
QUOTA = re.compile(r"insufficient_quota|billing_hard_limit|billing_not_active|insufficient[_ ](credits|balance)")
OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|(maximum|available|model'?s) (context|model) (length|size)"
    r"|exceeds? (the )?(model'?s )?(available |maximum )?context|greater than the context (length|size)"
    r"|prompt is too long|input is too long",
    re.IGNORECASE,
)
NO_TOOLS = re.compile(r"support tools|support function|tool[_ ]choice|tool-call-parser|--jinja", re.IGNORECASE)
OTHER_API = re.compile(r"v1/responses")
A_MODEL = re.compile(r"model", re.IGNORECASE)
LIMIT_OF_ANSWER = re.compile(r"max_(completion_|output_)?tokens|in the completion")
# What is given up of the Responses API when it is refused. `items`: reasoning by another model or account.
RESPONSES_OPTIONS = {
    "items": r"invalid_encrypted_content|could not be (verified|decrypted)|not persisted|without its required",
    "include": r"\binclude\b|encrypted content is not supported",
    "strict": r"\bstrict\b",
    "parallel_tool_calls": r"\bparallel_tool_calls\b",
    "max_output_tokens": r"\bmax_output_tokens\b",
}
_CONTEXT = re.compile(r"context (?:length|size|window)\D{0,16}(\d[\d,]*)", re.IGNORECASE)


def stated_context(message: str) -> int | None:
    """How many tokens a server says that its model reads at once, where it says so when it refuses more."""
    stated = _CONTEXT.search(message)
    return int(stated[1].replace(",", "")) if stated else None
