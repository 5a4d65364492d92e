"""Who takes the turns: a language model if one is set up, otherwise the autopilot, and a sentence that says which."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from ..settings import origin
from .conversation import BadRequest, Driver, NoKey
from .profiles import BY_NAME
from .registry import AUTO, Asked, DriverRow, driver_named
from .server import OPENAI_HOST, Server, address

# First in the SDK's own list (openai 3.52, types/shared/chat_model.py), where it is also the example of every call.
DEFAULT_LLM = "gpt-6-astra"
# Room for reasoning and a report; local models have shorter contexts, of which the answer takes its part.
OPENAI_OUTPUT_TOKENS, LOCAL_OUTPUT_TOKENS = 16_384, 4_096
BASE_URLS = ("LASHLEY_BASE_URL", "OPENAI_BASE_URL")
SET_A_KEY = (
    "set OPENAI_API_KEY, or give --base-url (or OPENAI_BASE_URL) for a server of your own, "
    "or take --driver autopilot, which needs neither."
)


class Choice(NamedTuple):
    """The driver, one sentence for the user (which it is and why), and the server that it will ask, if any."""

    driver: Driver
    why: str
    server: Server | None = None


def choose(
    driver: str = AUTO,
    llm: str | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
    max_output_tokens: int | None = None,
    environ: Mapping[str, str] = os.environ,
    retries: int = 4,
    profile: str | None = None,
) -> Choice:
    """The driver that was asked for; "auto" takes what `environ` has: a base URL, then a key, then neither. It also
    says how long an answer may take (LASHLEY_TIMEOUT, else 600 s) and what kind of server it is (LASHLEY_PROFILE).

    Without `llm` a server other than OpenAI is asked for its models. Raises NoKey where a key is missing, BadRequest
    where the model must be named, and what asking the server raises.
    """
    row = None if driver == AUTO else driver_named(driver)
    if row is not None and row.needs == "nothing":
        return protocol(row, "as asked")
    timeout = timeout if timeout is not None else seconds(environ)
    profile = profile or profile_named(environ)
    if row is not None and row.needs == "model":
        if not llm:
            raise BadRequest(f"--driver {row.name} needs the name of a language model: name it with --llm.")
        taken = row.make(Asked(llm, timeout=timeout, max_output_tokens=max_output_tokens, retries=retries))
        return Choice(taken, f"{llm} chooses the experiments, through the driver {row.name}, as asked.")
    key = environ.get("OPENAI_API_KEY", "").strip() or None
    flag = (base_url or "").strip()
    named = next((name for name in BASE_URLS if environ.get(name, "").strip()), None)
    url = flag or (environ[named].strip() if named else None)
    own = url if url and address(url).hostname != OPENAI_HOST else None
    if row is None and not key and not own:
        if llm:
            raise NoKey(f"--llm {llm} needs somebody to ask: {SET_A_KEY}")
        return protocol(driver_named("autopilot"), "because neither OPENAI_API_KEY nor OPENAI_BASE_URL is set")
    if not key and not own:
        raise NoKey(f"--driver {driver} needs a key or a server: {SET_A_KEY}")
    row = row or driver_named("chat" if own else "responses")
    limit = max_output_tokens or (LOCAL_OUTPUT_TOKENS if own else OPENAI_OUTPUT_TOKENS)
    model = llm or (the_only_model(own, key, timeout, retries) if own else DEFAULT_LLM)
    taken = row.make(Asked(model, url, key, timeout, limit, retries, profile))
    server: Server = getattr(taken, "server")  # noqa: B009 - what a driver that needs a server has, beside a Driver
    found = "--base-url" if flag else origin(named or "")
    found = found if own else "OPENAI_API_KEY"
    why = f"{model} chooses the experiments, over the {row.name} API at {server.url}, because {found} is set."
    return Choice(taken, why, server)


def seconds(environ: Mapping[str, str]) -> float:
    """How long a whole answer may take: LASHLEY_TIMEOUT. Raises BadRequest where that is no time."""
    said = environ.get("LASHLEY_TIMEOUT", "").strip() or "600"
    try:
        found = float(said)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise BadRequest(f"LASHLEY_TIMEOUT must be a number of seconds, not {said[:40]!r}.")
    return found


def profile_named(environ: Mapping[str, str]) -> str | None:
    """What kind of server LASHLEY_PROFILE says it is. Raises BadRequest for one that is not known."""
    said = environ.get("LASHLEY_PROFILE", "").strip() or None
    if said is not None and said not in BY_NAME:
        raise BadRequest(f"There is no profile {said[:40]!r}: LASHLEY_PROFILE is one of {', '.join(BY_NAME)}.")
    return said


def protocol(row: DriverRow, why: str) -> Choice:
    """A driver that asks nobody."""
    who = "The autopilot" if row.name == "autopilot" else f"The protocol {row.name}"
    return Choice(row.make(Asked()), f"{who} chooses the experiments, {why}: no language model is used.")


def the_only_model(base_url: str, key: str | None, timeout: float, retries: int) -> str:
    """The model of a server that offers exactly one. Raises BadRequest with the names otherwise."""
    server = Server(base_url, key, min(timeout, 30.0), min(retries, 1))
    try:
        names = server.models()
    except BadRequest:
        raise BadRequest(f"{server.url} does not list its models: name one with --llm.") from None
    if len(names) == 1:
        return names[0]
    if not names:
        raise BadRequest(f"{server.url} offers no model: load one there, or name one with --llm.")
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    raise BadRequest(f"{server.url} offers {len(names)} models, name one with --llm: {shown}.")
