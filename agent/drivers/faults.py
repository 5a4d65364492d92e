"""Everything that goes wrong between the loop and a language model server, and what is done about each.

Servers that call themselves OpenAI-compatible disagree mostly in how they fail. So both drivers send
through one `Server`, which reads the plain JSON of an answer (never the SDK's guess at it), lets a driver
give up an option that is refused, and turns every error into one of ours, in one line without the key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast
from urllib.parse import SplitResult, urlsplit

from .conversation import (
    BadReply,
    BadRequest,
    Call,
    ContextOverflow,
    DriverError,
    Message,
    NoKey,
    QuotaSpent,
    Unreachable,
    WrongKey,
)

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import OpenAI

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_HOST = "api.openai.com"
# The SDK insists on a key; servers that want none accept any.
NO_KEY = "no-key"
KNOCK = 10.0  # seconds; a server that is there answers this much sooner
UNANSWERED = "No result: the run stopped before this call was carried out."

QUOTA = re.compile(r"insufficient_quota|billing_hard_limit|billing_not_active|insufficient[_ ](credits|balance)")
OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|(maximum|available|model'?s) (context|model) (length|size)"
    r"|exceeds? (the )?(model'?s )?context|prompt is too long|input is too long",
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


class Raw(Protocol):
    """The part of the SDK's raw response that is read here."""

    @property
    def text(self) -> str: ...


def address(base_url: str) -> SplitResult:
    """The parts of a server's address. Raises BadRequest where it is none."""
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    if not good:
        raise BadRequest("The base URL must look like http://host:port/v1: a scheme, a host, and usually /v1.")
    return parts


def a_dict(value: object) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one: no field of a server's answer is to be relied on."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def dicts(value: object) -> list[dict[str, Any]]:
    return (
        [cast(dict[str, Any], one) for one in cast(list[object], value) if isinstance(one, dict)]
        if isinstance(value, list)
        else []
    )


def never(_: Complaint) -> bool:
    return False


class Server:
    """One server: where it is, how it is asked, and what its failures mean. Connects when first asked."""

    def __init__(self, base_url: str | None, api_key: str | None, timeout: float, retries: int) -> None:
        self._base_url = (base_url or OPENAI_URL).strip()
        self._key = (api_key or "").strip() or NO_KEY
        self._timeout, self._retries = timeout, retries
        parts = address(self._base_url)
        # Only this is ever printed: a URL may carry a password or a key.
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self.is_openai = parts.hostname == OPENAI_HOST
        if not (self._key.isascii() and self._key.isprintable() and " " not in self._key):
            raise WrongKey(
                "OPENAI_API_KEY holds spaces, line breaks or other characters that no key has: set it again."
            )

    @cached_property
    def client(self) -> OpenAI:
        import openai

        timeout = openai.Timeout(self._timeout, connect=min(self._timeout, 10.0))
        return openai.OpenAI(
            api_key=self._key,
            base_url=self._base_url,
            max_retries=self._retries,
            timeout=timeout,
            http_client=openai.DefaultHttpx2Client(
                timeout=timeout, event_hooks={"response": [stop_when_quota_is_spent]}
            ),
        )

    def ask(
        self, llm: str, send: Callable[[OpenAI], Raw], concede: Callable[[Complaint], bool] = never
    ) -> dict[str, Any]:
        """The JSON object that the server answers. When it refuses the request, `concede` may change what `send`
        will send and return True to try again. Raises a DriverError."""
        import openai

        while True:
            try:
                text = send(self.client).text
            except openai.APIStatusError as error:
                complaint = complaint_of(error.status_code, error.body)
                if error.status_code in (400, 404, 422) and concede(complaint):
                    continue
                raise self.fault(llm, complaint) from None
            except openai.APITimeoutError:
                raise Unreachable(
                    f"{self.url} gave no answer within {self._timeout:g} s, in {self._retries + 1} attempts."
                ) from None
            except openai.APIConnectionError as error:
                raise self.silence(error) from None
            body = self._object(text)
            # Some servers and relays report an error inside a 200.
            if wrong := body.get("error") or (body if body.get("object") == "error" else None):
                raise self.fault(llm, complaint_of(200, wrong))
            return body

    def _object(self, text: str) -> dict[str, Any]:
        try:
            body: object = json.loads(text)
        except (ValueError, RecursionError):
            what = "a web page" if text.lstrip()[:1] == "<" else "an empty body" if not text.strip() else "no JSON"
            raise BadReply(f"{self.url} answered with {what}: is the base URL right? It usually ends in /v1.") from None
        if not isinstance(body, dict):
            raise BadReply(f"{self.url} answered with JSON that is no object.")
        # Half of a surrogate pair (a cut emoji) can be neither stored nor sent again.
        whole = json.dumps(body, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        # What a server echoes is logged, and sent again. A short key is a placeholder, and may be a word.
        if len(self._key) >= 16:
            whole = whole.replace(self._key, "[key]")
        return cast(dict[str, Any], json.loads(whole))

    def fault(self, llm: str, complaint: Complaint) -> DriverError:
        """Our error for what the server said, in one line."""
        status, said = complaint.status, self._one_line(complaint.message)
        if status == 401:
            if self._key == NO_KEY:
                return NoKey(f"{self.url} wants a key (401): set OPENAI_API_KEY.")
            return WrongKey(f"{self.url} does not accept the key (401): check OPENAI_API_KEY.")
        if status == 402 or QUOTA.search(str(complaint)):
            return QuotaSpent(f"The account at {self.url} has no quota left: add credit there, or use another key.")
        if status == 403:
            return WrongKey(f"{self.url} does not allow this key to do that (403){said}")
        if OVERFLOW.search(str(complaint)):
            return ContextOverflow(f"The conversation is longer than {llm} at {self.url} can read{said}")
        if status == 429:
            return Unreachable(
                f"{self.url} still limits the rate after {self._retries + 1} attempts: go on later{said}"
            )
        if status in (408, 409) or status >= 500:
            return Unreachable(
                f"{self.url} failed ({status}) in {self._retries + 1} attempts{said}{tools_hint(complaint)}"
            )
        if status == 200:
            return BadReply(f"{self.url} answered with an error{said}")
        if "v1/responses" in complaint.message:
            return BadRequest(f"{llm} takes tools only over the Responses API: use --driver responses{said}")
        if status == 404 and "model" in str(complaint).lower():
            return BadRequest(f"{self.url} has no model {llm}: name one that it has with --llm{said}")
        if status == 404:
            return BadRequest(
                f"{self.url} does not speak this API (404): does the base URL end in /v1, "
                f"and is --driver right (chat is spoken nearly everywhere, responses by few)?{said}"
            )
        return BadRequest(f"{self.url} refused the request ({status}){said}{tools_hint(complaint)}")

    def _one_line(self, message: str) -> str:
        text = " ".join(message.split())
        if self._key != NO_KEY:
            text = text.replace(self._key, "[key]")
        text = re.sub(r"\b(sk-|Bearer )\S+", "[key]", text)
        if not text or text.startswith("<"):
            return "."
        return f": {text[:300]}{'…' if len(text) > 300 else ''}"

    def knock(self) -> None:
        """Ask once, in passing, whether anybody is there. Raises Unreachable, NoKey or WrongKey.

        Any other answer is left to the first real question: many servers list no models, some to no one.
        """
        import openai

        once = self.client.with_options(max_retries=0, timeout=min(self._timeout, KNOCK))
        try:
            once.models.with_raw_response.list()
        except openai.APIStatusError as error:
            if error.status_code == 401:
                raise self.fault("", complaint_of(401, error.body)) from None
        except openai.APIConnectionError as error:
            raise self.silence(error) from None

    def silence(self, error: Exception) -> Unreachable:
        """Our error for a connection that was not made."""
        return Unreachable(
            f"Nothing answers at {self.url} ({type(error.__cause__).__name__}): "
            "is the server running, and is the base URL right?"
        )

    def models(self) -> list[str]:
        """The names of the models that the server offers. Raises a DriverError."""
        body = self.ask("", lambda client: client.models.with_raw_response.list())
        return [str(entry["id"]) for entry in dicts(body.get("data")) if entry.get("id")]


def tools_hint(complaint: Complaint) -> str:
    if not NO_TOOLS.search(complaint.message):
        return ""
    return " (A model and a server that call tools are needed: see its documentation for how to turn that on.)"


def stop_when_quota_is_spent(response: Response) -> None:
    """The SDK retries every 429, and honours this header. Waiting does not bring back a spent quota."""
    if response.status_code == 429:
        response.read()
        if QUOTA.search(response.text):
            response.headers["x-should-retry"] = "false"


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


def answered(messages: Sequence[Message]) -> list[Message]:
    """The conversation with each call followed at once by exactly one result, which both APIs demand.

    A call that was never carried out (the run was killed) is answered with UNANSWERED. Empty assistant messages
    get a word, since many servers refuse them. Raises ValueError on a result that answers no call.
    """
    out: list[Message] = []
    placed = 0
    for i, message in enumerate(messages):
        if message.role == "tool":
            continue
        if message.role == "assistant" and not (message.text.strip() or message.calls or message.items):
            message = message.model_copy(update={"text": "(no answer)"})
        out.append(message)
        if message.calls:
            turn = takewhile(lambda later: later.role != "assistant", messages[i + 1 :])
            results = {later.call_id: later for later in turn if later.role == "tool"}
            for call in message.calls:
                placed += call.id in results
                out.append(results.get(call.id) or Message(role="tool", call_id=call.id, text=UNANSWERED))
    if placed != sum(message.role == "tool" for message in messages):
        raise ValueError("A tool message answers no call of the assistant message before it, or answers one twice.")
    return out


def call_of(
    call_id: object, name: object, arguments: object, messages: Sequence[Message], earlier: Sequence[Call]
) -> Call:
    """A call as it came. An id that is missing or was used before becomes call_<number of calls made so far>."""
    used = {call.id for message in messages for call in message.calls} | {call.id for call in earlier}
    number = sum(len(message.calls) for message in messages) + len(earlier)
    chosen = call_id if isinstance(call_id, str) else ""
    while not chosen or chosen in used:
        chosen, number = f"call_{number}", number + 1
    text = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)
    return Call(id=chosen, name=name if isinstance(name, str) else "", arguments=text.strip() or "{}")


def sendable_name(name: str) -> str:
    """A name that servers accept in the history, even if the model made up one that they would not."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unnamed"


def sendable_arguments(text: str) -> str:
    """The arguments, or {} where they are no JSON object: one such call in the history fails every later request."""
    try:
        return text if isinstance(json.loads(text, parse_constant=_refuse), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


def reason_of(error: object) -> str:
    """Why an answer holds no reply, in a few words."""
    return " ".join(complaint_of(200, error).message.split())[:300] or "it gives no reason"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is Python's, not JSON")


def tokens(usage: object, name: str) -> int | None:
    """A count from `usage`, which some servers leave out."""
    count = a_dict(usage).get(name)
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def cached(usage: object, name: str) -> int | None:
    """How many of the tokens counted under `name` came from the server's cache, where it says."""
    count = tokens(a_dict(usage).get(f"{name}_details"), "cached_tokens")
    total = tokens(usage, name)
    # More than all of them: no part of them, whatever it is that this server counts.
    return None if count is None or total is None or count > total else count
