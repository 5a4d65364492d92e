"""Choose the driver: a language model if one is set up, otherwise the autopilot; with a sentence that says which."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from ..settings import origin
from .conversation import BadRequest, Driver, NoKey
from .profiles import BY_NAME
from .registry import AUTO, Asked, DriverRow, driver_named
from .server import OPENAI_HOST, Server, address

# The first in the SDK's own list (openai 3.52, types/shared/chat_model.py), and the model in all of its examples.
DEFAULT_LLM = "gpt-6-astra"
# Enough for reasoning and a report. Local models have shorter contexts, and the answer uses part of them.
OPENAI_OUTPUT_TOKENS, LOCAL_OUTPUT_TOKENS = 16_384, 4_096
BASE_URLS = ("LASHLEY_BASE_URL", "OPENAI_BASE_URL")
SET_A_KEY = (
    "Set OPENAI_API_KEY, or give --base-url (or OPENAI_BASE_URL) for your own server, "
    "or use --driver autopilot, which needs neither."
)


class Choice(NamedTuple):
    """The driver, a sentence for the user (which driver and why), and its server, if any."""

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
    """The driver of this name; "auto" decides by `environ`: a base URL, then a key, otherwise the autopilot. `environ`
    also sets the time limit of an answer (LASHLEY_TIMEOUT, default 600 s) and the server type (LASHLEY_PROFILE).

    Without `llm`, a server other than OpenAI is asked for its models. Raises NoKey if a key is missing, BadRequest if
    the model must be named, and what asking the server raises.
    """
    row = None if driver == AUTO else driver_named(driver)
    if row is not None and row.needs == "nothing":
        return protocol(row, "as you asked")
    timeout = timeout if timeout is not None else seconds(environ)
    profile = profile or profile_named(environ)
    if row is not None and row.needs == "model":
        if not llm:
            raise BadRequest(f"--driver {row.name} needs a language model. Name one with --llm.")
        taken = row.make(Asked(llm, timeout=timeout, max_output_tokens=max_output_tokens, retries=retries))
        return Choice(taken, f"{llm} chooses the experiments, through the driver {row.name}, as you asked.")
    key = environ.get("OPENAI_API_KEY", "").strip() or None
    flag = (base_url or "").strip()
    named = next((name for name in BASE_URLS if environ.get(name, "").strip()), None)
    url = flag or (environ[named].strip() if named else None)
    own = url if url and address(url).hostname != OPENAI_HOST else None
    if row is None and not key and not own:
        if llm:
            raise NoKey(f"--llm {llm} needs a key or a server. {SET_A_KEY}")
        return protocol(driver_named("autopilot"), "because neither OPENAI_API_KEY nor OPENAI_BASE_URL is set")
    if not key and not own:
        raise NoKey(f"--driver {driver} needs a key or a server. {SET_A_KEY}")
    row = row or driver_named("chat" if own else "responses")
    limit = max_output_tokens or (LOCAL_OUTPUT_TOKENS if own else OPENAI_OUTPUT_TOKENS)
    model = llm or (the_only_model(own, key, timeout, retries) if own else DEFAULT_LLM)
    taken = row.make(Asked(model, url, key, timeout, limit, retries, profile))
    server: Server = getattr(taken, "server")  # noqa: B009 - only drivers that need a server have this attribute
    found = "--base-url" if flag else origin(named or "")
    found = found if own else "OPENAI_API_KEY"
    why = f"{model} chooses the experiments, over the {row.name} API at {server.url}, because {found} is set."
    return Choice(taken, why, server)


def seconds(environ: Mapping[str, str]) -> float:
    """The time limit of a whole answer, in seconds (LASHLEY_TIMEOUT). Raises BadRequest if it is not a number."""
    said = environ.get("LASHLEY_TIMEOUT", "").strip() or "600"
    try:
        found = float(said)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise BadRequest(f"LASHLEY_TIMEOUT must be a number of seconds, not {said[:40]!r}.")
    return found


def profile_named(environ: Mapping[str, str]) -> str | None:
    """The server type in LASHLEY_PROFILE. Raises BadRequest for an unknown one."""
    said = environ.get("LASHLEY_PROFILE", "").strip() or None
    if said is not None and said not in BY_NAME:
        raise BadRequest(f"There is no profile {said[:40]!r}. LASHLEY_PROFILE must be one of {', '.join(BY_NAME)}.")
    return said


def protocol(row: DriverRow, why: str) -> Choice:
    """The choice of a driver that needs no language model."""
    who = "The autopilot" if row.name == "autopilot" else f"The protocol {row.name}"
    return Choice(row.make(Asked()), f"{who} chooses the experiments, {why}. No language model is used.")


def the_only_model(base_url: str, key: str | None, timeout: float, retries: int) -> str:
    """The model of a server that offers exactly one. Raises BadRequest with the names otherwise."""
    server = Server(base_url, key, min(timeout, 30.0), min(retries, 1))
    try:
        names = server.models()
    except BadRequest:
        raise BadRequest(f"{server.url} does not list its models. Name one with --llm.") from None
    if len(names) == 1:
        return names[0]
    if not names:
        raise BadRequest(f"{server.url} offers no model. Load one there, or name one with --llm.")
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    raise BadRequest(f"{server.url} offers {len(names)} models. Name one with --llm: {shown}.")
