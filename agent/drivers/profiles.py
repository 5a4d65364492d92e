"""What each type of server lacks of OpenAI's API, as data that the drivers read; no code is written per server.

The type is detected from the address, or from the answer to GET /models. A driver tries a feature that is not known to
be missing, and drops it when the server refuses it.
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
    """One type of server.

    hosts, ports, owned_by, header   how it is detected: the address; the owner in the entries of /models; a header of
                                     its answers, and a pattern of the value
    limits             possible names of the limit on an answer's length, the likeliest first
    options            options to send with tools: "strict", "parallel_tool_calls", "tool_choice" ("auto", which other
                       servers assume if it is left out)
    formats            possible forms of a JSON schema, the likeliest first: OpenAI's, or llama.cpp's
    tool_choice        whether it obeys a demand for one tool: "kept"; "ignored"; "named" if it does not know "required"
    cuts_silently      it cuts the beginning of a conversation that is too long, without an error
    parses             whether it parses a model's calls only when it was started with a tool parser
    no_text            the text of a call without text: null, as in OpenAI's API, or ""
    extra              additional fields of every request
    tools_on, longer   what a user does to enable tools, and to get a longer context
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
    tools_on: str = "use a model that calls tools, and enable tools as the server's documentation says"
    longer: str = "give the server a longer context"


PROFILES = (
    Profile(
        name="openai",
        about="Supports everything. Newer models use tools only over Responses; the length limit includes reasoning.",
        hosts=("api.openai.com",),
        header=("openai-processing-ms", r"\d"),
        limits=("max_completion_tokens", "max_tokens"),
        formats=("json_schema",),
        longer="use a model with a longer context",
    ),
    Profile(
        name="ollama",
        about="Ignores tool_choice, strict and parallel_tool_calls; silently cuts a long conversation.",
        ports=(11434,),
        owned_by=("library",),
        limits=("max_tokens",),
        options=(),
        formats=("json_schema",),
        tool_choice="ignored",
        cuts_silently=True,
        tools_on="use a model whose page says that it supports tools",
        longer="give it a longer context: OLLAMA_CONTEXT_LENGTH",
    ),
    Profile(
        name="vllm",
        about="Calls tools only if it was started with a tool parser.",
        owned_by=("vllm",),
        formats=("json_schema",),
        parses=True,
        tools_on="start it with --enable-auto-tool-choice --tool-call-parser NAME",
        longer="start it with a larger --max-model-len",
    ),
    Profile(
        name="llama.cpp",
        about="Calls tools only with --jinja and a template that supports them; ignores strict.",
        owned_by=("llamacpp",),
        header=("server", r"^llama\.cpp"),
        limits=("max_tokens",),
        options=("parallel_tool_calls",),
        parses=True,
        tools_on="start it with --jinja and a model whose template supports tools",
        longer="start it with a larger --ctx-size",
    ),
    Profile(
        name="llama-cpp-python",
        about="Calls tools only with a chat format for them, and drops them unless tool_choice is sent; accepts a "
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
        about="Features depend on the provider; the request asks for one that supports all parameters. "
        "Reports errors with status 200.",
        hosts=("openrouter.ai",),
        # Without the first, a provider without tools drops them; without the second, long conversations are cut.
        extra={"provider": {"require_parameters": True}, "transforms": []},
        tools_on="use a model whose page says that it supports tools",
        longer="use a model with a longer context",
    ),
)
UNKNOWN = Profile(name="compatible", about="Its features are unknown; options that it refuses are dropped.")
BY_NAME = {profile.name: profile for profile in (*PROFILES, UNKNOWN)}


def by_address(url: str) -> Profile:
    """The profile that the address shows, or UNKNOWN."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    for profile in PROFILES:
        if parts.port in profile.ports or any(host == known or host.endswith(f".{known}") for known in profile.hosts):
            return profile
    return UNKNOWN


def by_answer(headers: Mapping[str, str], models: Sequence[dict[str, Any]]) -> Profile | None:
    """The profile that the answer to GET /models shows: its headers (names in lower case) and entries."""
    owners = {str(entry.get("owned_by")) for entry in dicts(list(models))}
    # llama-cpp-python sends one of OpenAI's headers, so the owner is more reliable.
    for profile in PROFILES:
        if owners & set(profile.owned_by):
            return profile
    for profile in PROFILES:
        name, pattern = profile.header or ("", "")
        if name in headers and re.search(pattern, headers[name]):
            return profile
    return None


def context_length(model: Mapping[str, Any]) -> int | None:
    """The context size of a model in GET /models, in tokens, or None (llama.cpp: the size in training)."""
    meta = a_dict(model.get("meta"))
    sizes = [model.get("max_model_len"), model.get("context_length"), model.get("context_window")]
    sizes += [meta.get("n_ctx"), meta.get("n_ctx_train")]
    return next((n for n in sizes if isinstance(n, int) and not isinstance(n, bool) and n > 0), None)
