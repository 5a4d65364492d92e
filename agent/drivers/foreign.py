"""The error messages of servers, where only the wording shows what is wrong. Each server words them differently.

They are data, in one place, and none of them is Lashley's own text. A match becomes one of Lashley's errors with its
code, or an option that is no longer sent.
"""

from __future__ import annotations

import re

# --- reasons for refusing a request
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
# Options of the Responses API to drop when they are refused. `items`: reasoning by another model or account.
RESPONSES_OPTIONS = {
    "items": r"invalid_encrypted_content|could not be (verified|decrypted)|not persisted|without its required",
    "include": r"\binclude\b|encrypted content is not supported",
    "strict": r"\bstrict\b",
    "parallel_tool_calls": r"\bparallel_tool_calls\b",
    "max_output_tokens": r"\bmax_output_tokens\b",
}
_CONTEXT = re.compile(r"context (?:length|size|window)\D{0,16}(\d[\d,]*)", re.IGNORECASE)


def stated_context(message: str) -> int | None:
    """The context size in tokens that a server states when it refuses a longer conversation, or None."""
    stated = _CONTEXT.search(message)
    return int(stated[1].replace(",", "")) if stated else None
