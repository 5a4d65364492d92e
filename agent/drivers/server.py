"""One server: its address, how to send a request, and how long and how often to try.

OpenAI-compatible servers differ most in how they fail. So every driver sends through a `Server`, which reads the plain
JSON of an answer (never the SDK's interpretation), lets a driver drop an option that is refused, and retries if that
may help.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

from .conversation import BadReply, BadRequest, DriverError, Unreachable, WrongKey
from .fields import dicts
from .profiles import BY_NAME, UNKNOWN, Profile, by_address, by_answer
from .server_faults import QUOTA, Complaint, complaint_of, fault_of
from .streamed import is_stream, join

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import OpenAI

T = TypeVar("T")

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_HOST = "api.openai.com"
# The SDK requires a key; servers without keys accept any.
NO_KEY = "no-key"
KNOCK = 10.0  # seconds; a running server answers much sooner
# How often to retry when a server that has worked before sends something that is not a reply.
ODD_REPLIES = 2
CONCEDED = (400, 404, 422, 500, 501)


class Raw(Protocol):
    """The part of the SDK's raw response that this file reads."""

    @property
    def text(self) -> str: ...


def address(base_url: str) -> SplitResult:
    """The parts of a server's address. Raises BadRequest if it is not a URL."""
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    if not good:
        raise BadRequest("The base URL must look like http://host:port/v1: a scheme, a host, and usually /v1.")
    return parts


def never(_: Complaint) -> bool:
    return False


def whole(body: dict[str, Any]) -> dict[str, Any]:
    return body


class Server:
    """Connects at the first request. `timeout` is in seconds for a whole answer, including all attempts; `profile` is
    the server type, None to detect it."""

    def __init__(
        self, base_url: str | None, api_key: str | None, timeout: float, retries: int, profile: str | None = None
    ) -> None:
        self._base_url = (base_url or OPENAI_URL).strip()
        self._key = (api_key or "").strip() or None
        self._timeout, self._retries = timeout, retries
        parts = address(self._base_url)
        # Print only this form: a URL may contain a password or a key.
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self.is_openai = parts.hostname == OPENAI_HOST
        self.profile: Profile = BY_NAME[profile] if profile else by_address(self._base_url)
        self._told = profile is not None
        self._works = False
        if self._key and not (self._key.isascii() and self._key.isprintable() and " " not in self._key):
            raise WrongKey(
                "OPENAI_API_KEY contains spaces, line breaks or other characters that no key has. Set it again."
            )

    @property
    def has_key(self) -> bool:
        return self._key is not None

    @cached_property
    def client(self) -> OpenAI:
        import openai

        from .patience import check_in_time, limit_answer

        timeout = openai.Timeout(self._timeout, connect=min(self._timeout, 10.0))
        hooks: dict[str, list[Callable[..., Any]]] = {
            "request": [check_in_time],
            "response": [limit_answer, stop_when_quota_is_spent],
        }
        return openai.OpenAI(
            api_key=self._key or NO_KEY,
            base_url=self._base_url,
            max_retries=self._retries,
            timeout=timeout,
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultHttpx2Client(timeout=timeout, event_hooks=hooks),
        )

    def ask(
        self,
        llm: str,
        send: Callable[[OpenAI], Raw],
        concede: Callable[[Complaint], bool] = never,
        read: Callable[[dict[str, Any]], T] = whole,
    ) -> T:
        """The result of `read` on the JSON object that the server answers. If the server refuses the request,
        `concede` may change what `send` sends, and return True to retry. Raises a DriverError, and what `read` raises.

        If a server that has worked before sends something that is not a reply, the request is retried: a relay may
        have failed for a moment. If it has never worked, it is not the type of server that the user thought.
        """
        assert self.client  # load the SDK first: the seconds that takes must not count against the server
        ends = time.monotonic() + self._timeout
        odd = 0
        while True:
            try:
                answer = read(self._asked(llm, send, concede, ends))
            except BadReply:
                odd += 1
                pause = 0.25 * 2 ** (odd - 1)
                if not self._works or odd > min(self._retries, ODD_REPLIES) or time.monotonic() + pause > ends:
                    raise
                time.sleep(pause)
            else:
                self._works = True
                return answer

    def _asked(
        self, llm: str, send: Callable[[OpenAI], Raw], concede: Callable[[Complaint], bool], ends: float
    ) -> dict[str, Any]:
        import openai

        while True:
            try:
                text = self._in_time(lambda: send(self.client).text, ends, self._timeout)
            except openai.APIStatusError as error:
                complaint = complaint_of(error.status_code, error.body)
                if error.status_code in CONCEDED and concede(complaint):
                    continue
                raise self.fault(llm, complaint) from None
            body = self._object(text)
            # Some servers and relays report an error with status 200.
            if wrong := body.get("error") or (body if body.get("object") == "error" else None):
                raise self.fault(llm, complaint_of(200, wrong))
            return body

    def _in_time(self, work: Callable[[], T], ends: float, seconds: float) -> T:
        import openai

        from .patience import Late, within

        try:
            return within(ends, work)
        except (Late, openai.APITimeoutError):
            raise Unreachable(f"{self.url} gave no complete answer within {seconds:g} s.") from None
        except BadReply as reason:
            raise BadReply(f"{self.url} sent an unreadable answer: {reason}") from None
        except openai.APIConnectionError as error:
            self._raise_silence(error)

    def _object(self, text: str) -> dict[str, Any]:
        try:
            body: object = join(text) if is_stream(text) else json.loads(text)
            # Half of a surrogate pair (a cut emoji) cannot be stored or sent back.
            plain = json.dumps(body, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            # A server's echo of the key would be logged and sent back. A short key is a placeholder and may be a word.
            body = json.loads(plain.replace(self._key, "[key]") if self._key and len(self._key) >= 16 else plain)
        except BadReply as reason:
            raise BadReply(
                f"{self.url} answers with a stream that was not requested, and {reason}. Turn streaming off there, "
                "or connect to the server behind it."
            ) from None
        except (ValueError, RecursionError):
            what = "a web page" if text.lstrip()[:1] == "<" else "an empty body" if not text.strip() else "plain text"
            raise BadReply(f"{self.url} answered with {what}. Is the base URL right? It usually ends in /v1.") from None
        if not isinstance(body, dict):
            raise BadReply(f"{self.url} answered with JSON that is not an object.")
        return cast(dict[str, Any], body)

    def fault(self, llm: str, complaint: Complaint) -> DriverError:
        """Lashley's error for this server's complaint."""
        return fault_of(complaint, llm, self.url, self._key, self._retries + 1, self.profile)

    def _raise_silence(self, error: Exception) -> NoReturn:
        cause = error.__cause__
        if self._works or type(cause).__name__ in ("ReadError", "RemoteProtocolError"):
            raise Unreachable(f"{self.url} hung up ({type(cause).__name__}). Is the server still running?") from None
        raise Unreachable(
            f"Nothing answers at {self.url} ({type(cause).__name__}). Is the server running, and is the base URL right?"
        ) from None

    def knock(self) -> list[dict[str, Any]]:
        """Ask once for the list of models, to see whether the server answers and to detect its type.

        Raises Unreachable, NoKey or WrongKey. Other failures are ignored until the first real request, because many
        servers do not list their models.
        """
        import openai

        once = self.client.with_options(max_retries=0)
        seconds = min(self._timeout, KNOCK)
        try:
            raw = self._in_time(once.models.with_raw_response.list, time.monotonic() + seconds, seconds)
        except openai.APIStatusError as error:
            if error.status_code == 401:
                raise self.fault("", complaint_of(401, error.body)) from None
            return []
        except BadReply:
            return []
        try:
            found = dicts(self._object(raw.text).get("data"))
        except BadReply:
            found = []
        if not self._told and self.profile is UNKNOWN:
            headers = {name.lower(): value for name, value in raw.headers.items()}
            self.profile = by_answer(headers, found) or UNKNOWN
        return found

    def models(self) -> list[str]:
        """The names of the models that the server offers. Raises a DriverError."""
        body = self.ask("", lambda client: client.models.with_raw_response.list())
        return [str(entry["id"]) for entry in dicts(body.get("data")) if entry.get("id")]


def stop_when_quota_is_spent(response: Response) -> None:
    """Tell the SDK not to retry a 429 for a spent quota: waiting does not help."""
    if response.status_code == 429:
        response.read()
        if QUOTA.search(response.text):
            response.headers["x-should-retry"] = "false"
