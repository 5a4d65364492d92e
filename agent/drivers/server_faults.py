"""Map a server's complaint to one of Lashley's errors: one line, without the key."""

from __future__ import annotations

import re
from typing import NamedTuple, cast

from .conversation import BadReply, BadRequest, ContextOverflow, DriverError, NoKey, QuotaSpent, Unreachable, WrongKey
from .fields import a_dict, dicts
from .foreign import A_MODEL, NO_TOOLS, OTHER_API, OVERFLOW, QUOTA, stated_context
from .profiles import UNKNOWN, Profile

NO_SUCH_MODEL = "no_such_model"
# The message for each code. `said` is the server's own complaint after a colon, or a full stop.
FAULTS = {
    "no_key": "{url} needs a key (401). Set OPENAI_API_KEY.",
    "wrong_key": "{url} does not accept the key (401). Check OPENAI_API_KEY.",
    "key_not_allowed": "{url} does not allow this key to do that (403){said}",
    "quota_spent": "The account at {url} has no quota left. Add credit there, or use another key.",
    "context_overflow": "The conversation is longer than {llm} at {url} can read{said}",
    "rate_limited": "{url} still limits the rate after {attempts} attempts. Resume later{said}",
    "server_failed": "{url} failed ({status}) after {attempts} attempts{said}{hint}",
    "answered_an_error": "{url} answered with an error{said}",
    "wants_responses": "{llm} supports tools only over the Responses API. Use --driver responses{said}",
    NO_SUCH_MODEL: "{url} has no model {llm}. Name another with --llm{said}",
    "no_such_route": "{url} does not have this API (404). Does the base URL end in /v1, and is --driver right (most "
    "servers have chat, few responses)?{said}",
    "request_refused": "{url} refused the request ({status}){said}{hint}",
}


class Complaint(NamedTuple):
    """A server's error. `code` joins its code and type; `param` names the parameter at fault, if it says."""

    status: int
    code: str
    param: str
    message: str

    def __str__(self) -> str:
        return f"{self.code} {self.param} {self.message}"


def complaint_of(status: int, body: object) -> Complaint:
    """Read an error in any of its known forms: OpenAI's error object, a bare string, FastAPI's detail."""
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
    """Why an answer contains no reply, in a few words."""
    return " ".join(complaint_of(200, error).message.split())[:300] or "no reason given"


def fault_of(
    complaint: Complaint, llm: str, url: str, key: str | None, attempts: int, profile: Profile = UNKNOWN
) -> DriverError:
    """Lashley's error for the complaint of the server at `url`, in one line, after up to `attempts` attempts."""
    kind, code = meaning_of(complaint, key)
    hint = f" (To enable tools: {profile.tools_on}.)" if NO_TOOLS.search(complaint.message) else ""
    said = one_line(complaint.message, key)
    facts = {"url": url, "llm": llm, "status": complaint.status, "attempts": attempts, "said": said, "hint": hint}
    text = FAULTS[code].format(**facts)
    if kind is ContextOverflow:
        return ContextOverflow(text, code, stated_context(complaint.message))
    return kind(text, code)


def meaning_of(complaint: Complaint, key: str | None) -> tuple[type[DriverError], str]:
    """The class of Lashley's error, and its code in FAULTS. Only this function and `foreign` read servers' wording."""
    status, said = complaint.status, str(complaint)
    if status == 401:
        return (NoKey, "no_key") if key is None else (WrongKey, "wrong_key")
    if status == 402 or QUOTA.search(said):
        return QuotaSpent, "quota_spent"
    if status == 403:
        return WrongKey, "key_not_allowed"
    if OVERFLOW.search(said):
        return ContextOverflow, "context_overflow"
    if status == 429:
        return Unreachable, "rate_limited"
    if status in (408, 409) or status >= 500:
        return Unreachable, "server_failed"
    if status == 200:
        return BadReply, "answered_an_error"
    if OTHER_API.search(complaint.message):
        return BadRequest, "wants_responses"
    if status == 404:
        return BadRequest, NO_SUCH_MODEL if A_MODEL.search(said) else "no_such_route"
    return BadRequest, "request_refused"


def one_line(message: str, key: str | None) -> str:
    """ ": " and the message, cut to a line and without keys; a full stop if it is empty."""
    text = " ".join(message.split())
    if key is not None:
        text = text.replace(key, "[key]")
    text = re.sub(r"\b(sk-|Bearer )\S+", "[key]", text)
    if not text or text.startswith("<"):
        return "."
    return f": {text[:300]}{'…' if len(text) > 300 else ''}"
