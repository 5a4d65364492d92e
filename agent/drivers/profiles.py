"""What the servers that speak OpenAI's API lack of it, as data. The drivers read it; nothing is written per server.

A server is recognised by its address, or by what it answers to GET /models. What is not known of it is assumed to be
there, tried once, and given up when it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from .conversation import Frozen
from .fields import a_dict, dicts

Format = Literal["json_schema", "json_object"]
Limit = Literal["max_completion_tokens", "max_tokens"]
Option = Literal["strict", "parallel_tool_calls", "tool_choice"]


class Profile(Frozen):
    """One kind of server.

    hosts, ports, owned_by, header   by which it is recognised: the address; the owner that /models gives its entries;
                                     a header of its answers, and a pattern of the value
    limits             the names that the limit of an answer's length may have, the likeliest first
    options            what is sent with tools: "strict", "parallel_tool_calls", "tool_choice" ("auto", which is what
                       leaving it out means to all others)
    formats            in which shapes it may take a JSON schema, the likeliest first: OpenAI's, or llama.cpp's
    tool_choice        whether one tool can be demanded: "kept"; "ignored"; "named" where "required" is not understood
    cuts_silently      a conversation that is too long loses its beginning, and no error is given
    parses             whether it reads the calls of a model only when it was started so
    no_text            what stands for the text of a call that comes without any: null, as OpenAI has it, or ""
    extra              what else every request carries
    tools_on, longer   what a user does to have tools, and a longer context
    """

    name: str
    about: str
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    owned_by: tuple[str, ...] = ()
    header: tuple[str, str] | None = None
    limits: tuple[Limit, ...] = ("max_tokens", "max_completion_tokens")
    options: tuple[Option, ...] = ("strict", "parallel_tool_calls")
    formats: tuple[Format, ...] = ("json_schema", "json_object")
    tool_choice: Literal["kept", "ignored", "named"] = "kept"
    cuts_silently: bool = False
    parses: bool = False
    no_text: Literal[""] | None = None
    extra: dict[str, Any] = Field(default_factory=dict[str, Any])
    tools_on: str = "take a model that calls tools, and see the server's documentation for how to turn that on"
    longer: str = "give the server a longer context"


PROFILES = (
    Profile(
        name="openai",
        about="Has everything. Newer models take tools over Responses only; it counts reasoning in the limit.",
        hosts=("api.openai.com",),
        header=("openai-processing-ms", r"\d"),
        limits=("max_completion_tokens", "max_tokens"),
        formats=("json_schema",),
        longer="take a model with a longer context",
    ),
    Profile(
        name="ollama",
        about="Ignores tool_choice, strict and parallel_tool_calls; cuts a long conversation silently.",
        ports=(11434,),
        owned_by=("library",),
        limits=("max_tokens",),
        options=(),
        formats=("json_schema",),
        tool_choice="ignored",
        cuts_silently=True,
        tools_on="take a model whose page says that it has tools",
        longer="give it a longer context: OLLAMA_CONTEXT_LENGTH",
    ),
    Profile(
        name="vllm",
        about="Calls tools only when it was started with a tool parser.",
        owned_by=("vllm",),
        formats=("json_schema",),
        parses=True,
        tools_on="start it with --enable-auto-tool-choice --tool-call-parser NAME",
        longer="start it with a larger --max-model-len",
    ),
    Profile(
        name="llama.cpp",
        about="Calls tools only with --jinja and a template that knows them; strict is ignored.",
        owned_by=("llamacpp",),
        header=("server", r"^llama\.cpp"),
        limits=("max_tokens",),
        options=("parallel_tool_calls",),
        parses=True,
        tools_on="start it with --jinja, and a model whose template knows tools",
        longer="start it with a larger --ctx-size",
    ),
    Profile(
        name="llama-cpp-python",
        about="Calls tools only with a chat format for them, and drops them where tool_choice is not sent; takes a "
        "schema only as json_object; fails on `required`, and on a call whose text is null.",
        owned_by=("me",),
        limits=("max_tokens",),
        options=("tool_choice",),
        formats=("json_object",),
        tool_choice="named",
        no_text="",
        tools_on="start it with --chat_format chatml-function-calling",
        longer="start it with a larger --n_ctx",
    ),
    Profile(
        name="openrouter",
        about="What is there depends on who serves the model; it is told to choose one that takes all that is sent. "
        "Reports errors inside a 200.",
        hosts=("openrouter.ai",),
        # Without the first, a provider that lacks tools drops them; without the second, long conversations are cut.
        extra={"provider": {"require_parameters": True}, "transforms": []},
        tools_on="take a model whose page says that it has tools",
        longer="take a model with a longer context",
    ),
)
UNKNOWN = Profile(name="compatible", about="Nothing is known of it: what it refuses is given up.")
BY_NAME = {profile.name: profile for profile in (*PROFILES, UNKNOWN)}


def by_address(url: str) -> Profile:
    """What the address alone tells."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    for profile in PROFILES:
        if parts.port in profile.ports or any(host == known or host.endswith(f".{known}") for known in profile.hosts):
            return profile
    return UNKNOWN


def by_answer(headers: Mapping[str, str], models: Sequence[dict[str, Any]]) -> Profile | None:
    """What its answer to GET /models tells: the headers (names in lower case) and the entries."""
    owners = {str(entry.get("owned_by")) for entry in dicts(list(models))}
    # llama-cpp-python sends a header of OpenAI's: the owner tells more.
    for profile in PROFILES:
        if owners & set(profile.owned_by):
            return profile
    for profile in PROFILES:
        name, pattern = profile.header or ("", "")
        if name in headers and re.search(pattern, headers[name]):
            return profile
    return None


def context_length(model: Mapping[str, Any]) -> int | None:
    """How many tokens a model of GET /models takes, where the server says (llama.cpp: of its training)."""
    meta = a_dict(model.get("meta"))
    told = [model.get("max_model_len"), model.get("context_length"), model.get("context_window")]
    told += [meta.get("n_ctx"), meta.get("n_ctx_train")]
    return next((n for n in told if isinstance(n, int) and not isinstance(n, bool) and n > 0), None)
