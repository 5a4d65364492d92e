"""What a server's complaint means: every error as one of ours, in one line, without the key."""

from __future__ import annotations

import re
from typing import NamedTuple, cast

from .conversation import BadReply, BadRequest, ContextOverflow, DriverError, NoKey, QuotaSpent, Unreachable, WrongKey
from .fields import a_dict, dicts
from .profiles import UNKNOWN, Profile

QUOTA = re.compile(r"insufficient_quota|billing_hard_limit|billing_not_active|insufficient[_ ](credits|balance)")
OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|(maximum|available|model'?s) (context|model) (length|size)"
    r"|exceeds? (the )?(model'?s )?(available |maximum )?context|greater than the context (length|size)"
    r"|prompt is too long|input is too long",
    re.IGNORECASE,
)
NO_TOOLS = re.compile(r"support tools|support function|tool[_ ]choice|tool-call-parser|--jinja", re.IGNORECASE)


class Complaint(NamedTuple):
    """What a server says is wrong. `code` joins its code and type, `param` names the parameter meant, if it says."""

    status: int
    code: str
    param: str
    message: str

    def __str__(self) -> str:
        return f"{self.code} {self.param} {self.message}"


def complaint_of(status: int, body: object) -> Complaint:
    """Reads the shapes in which servers complain: OpenAI's error object, a bare string, FastAPI's detail."""
    if isinstance(body, str):
        return Complaint(status, "", "", body)
    error = a_dict(body)
    message = error.get("message") or error.get("detail") or ""
    if isinstance(message, list):
        parts = dicts(cast(object, message))
        message = "; ".join(f"{'.'.join(map(str, part.get('loc', ())))}: {part.get('msg', '')}" for part in parts)
    code = f"{error.get('code') or ''} {error.get('type') or ''}".strip()
    return Complaint(status, code, str(error.get("param") or ""), str(message))


def reason_of(error: object) -> str:
    """Why an answer holds no reply, in a few words."""
    return " ".join(complaint_of(200, error).message.split())[:300] or "it gives no reason"


def fault_of(
    complaint: Complaint, llm: str, url: str, key: str | None, attempts: int, profile: Profile = UNKNOWN
) -> DriverError:
    """Our error for what the server at `url` said, in one line. `attempts` is how often it may have been asked."""
    status, said = complaint.status, one_line(complaint.message, key)
    if status == 401:
        if key is None:
            return NoKey(f"{url} wants a key (401): set OPENAI_API_KEY.")
        return WrongKey(f"{url} does not accept the key (401): check OPENAI_API_KEY.")
    if status == 402 or QUOTA.search(str(complaint)):
        return QuotaSpent(f"The account at {url} has no quota left: add credit there, or use another key.")
    if status == 403:
        return WrongKey(f"{url} does not allow this key to do that (403){said}")
    if OVERFLOW.search(str(complaint)):
        return ContextOverflow(f"The conversation is longer than {llm} at {url} can read{said}")
    if status == 429:
        return Unreachable(f"{url} still limits the rate after {attempts} attempts: go on later{said}")
    hint = f" (It calls no tools as it is: {profile.tools_on}.)" if NO_TOOLS.search(complaint.message) else ""
    if status in (408, 409) or status >= 500:
        return Unreachable(f"{url} failed ({status}) in {attempts} attempts{said}{hint}")
    if status == 200:
        return BadReply(f"{url} answered with an error{said}")
    if "v1/responses" in complaint.message:
        return BadRequest(f"{llm} takes tools only over the Responses API: use --driver responses{said}")
    if status == 404 and "model" in str(complaint).lower():
        return BadRequest(f"{url} has no model {llm}: name one that it has with --llm{said}")
    if status == 404:
        return BadRequest(
            f"{url} does not speak this API (404): does the base URL end in /v1, "
            f"and is --driver right (chat is spoken nearly everywhere, responses by few)?{said}"
        )
    return BadRequest(f"{url} refused the request ({status}){said}{hint}")


def one_line(message: str, key: str | None) -> str:
    """ ": " and what was said, cut to a line and without keys; a full stop where nothing was."""
    text = " ".join(message.split())
    if key is not None:
        text = text.replace(key, "[key]")
    text = re.sub(r"\b(sk-|Bearer )\S+", "[key]", text)
    if not text or text.startswith("<"):
        return "."
    return f": {text[:300]}{'…' if len(text) > 300 else ''}"
