"""Calls of tools that a model wrote as text, because its server has no parser for them.

Each family of models has a form of its own: JSON, often in a code fence or between tags (Hermes and Qwen
`<tool_call>`, Llama `<function=...>`, Mistral `[TOOL_CALLS]`, DeepSeek, gpt-oss), or a list in Python. A server with a
tool parser reads them; from others they come as plain text. A text is taken for calls only where it holds nothing
else: prose that mentions a call, or quotes what a subject said, is prose. Only JSON and Python literals are read, in
which a text within an argument cannot end the argument.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, cast

from .fields import a_dict

# Characters. No call is longer, and Python's parser is not asked to read more.
LONGEST = 200_000
THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
FENCE = re.compile(r"```[\w+-]*[ \t]*\n")
# What stands around and between calls and says nothing itself.
FRAME = re.compile(
    r"[\s;,]+|</?tool_calls?>|</?function_calls?>|</function>|<\|/?tool_calls?(_start|_end)?\|?>|\[/?TOOL_CALLS\]"
    r"|<tool_call\|>|<\|python_tag\|>|<\|(call|eom_id|eot_id|im_end|end)\|>|<｜tool▁calls?▁(begin|end)｜>|```(?=\s*<｜)"
)
# A name outside of the JSON of its arguments.
NAMED = re.compile(
    r"<function=(?P<llama>[^<>\s]+)>|\[TOOL_CALLS\]\s*(?P<mistral>[\w.:-]+)\s*(\[ARGS\])?(?=\s*\{)"
    r"|(<\|start\|>assistant)?<\|channel\|>\w+ to=(?P<harmony>[\w.:-]+)[^{}]*?<\|message\|>"
    r"|<｜tool▁call▁begin｜>(function<｜tool▁sep｜>)?(?P<deepseek>[\w.:-]+)\s*(<｜tool▁sep｜>|```json)"
)
PYTHON = re.compile(r"\[?\s*[A-Za-z_][\w.]*\(")
NAMES = ("name", "tool", "tool_name", "function", "function_name", "action")
ARGUMENTS = ("arguments", "parameters", "args", "kwargs", "input", "tool_input", "action_input")
BESIDE = {"type", "id", "index", "call_id", "thought", "thoughts", "reasoning"}
EVIDENT = re.compile(
    r"</?tool_calls?>|<function=\w|\[TOOL_CALLS\]|<\|python_tag\|>|<\|tool_calls?|<｜tool▁call|</?function_calls?>"
    r"|<\|channel\|>\w+ to=|<parameter=\w"
)
CONSTANTS = {"true": True, "false": False, "null": None}


class Written(NamedTuple):
    """A call as it was written: the tool's name, and the arguments as JSON."""

    name: str
    arguments: str


class _NoCall(Exception):
    """The text is something else."""


def calls_written(text: str, known: Callable[[str], bool]) -> list[Written]:
    """The calls that a text consists of; none where any of it is something else, or calls what is not `known`."""
    try:
        found = list(_all_of(_bare(text)))
    except (_NoCall, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    return found if all(known(call.name) for call in found) else []


def shows_calls(text: str, names: Collection[str]) -> bool:
    """Whether the model evidently tried to call a tool in this text, so that its server lacks a parser."""
    named = "|".join(map(re.escape, sorted(names)))
    as_json = re.search(rf'"(name|tool|function)"\s*:\s*"({named})"', text) and re.search(
        r'"(arguments|parameters)"\s*:', text
    )
    return bool(EVIDENT.search(text) or (names and as_json))


def _bare(text: str) -> str:
    """The text without the model's thoughts before it and a fence around it."""
    # Where thoughts quote their own end, what comes after it holds the true one, too, and is no call.
    if thoughts := THOUGHTS.match(text := text.strip()):
        text = text[thoughts.end() :].strip()
    if (fence := FENCE.match(text)) and text.endswith("```"):
        text = text[fence.end() : -3].strip()
    if len(text) > LONGEST:
        raise _NoCall
    return text


def _all_of(text: str) -> Iterator[Written]:
    """Every call of the text in its order. Raises _NoCall, and ValueError, at what is no call."""
    read, place = json.JSONDecoder(parse_constant=_no_constant), 0
    while place < len(text):
        if named := NAMED.match(text, place):
            name = next(part for part in named.group("llama", "mistral", "harmony", "deepseek") if part)
            start = re.compile(r"\s*").match(text, named.end())
            value, place = read.raw_decode(text, start.end() if start else named.end())
            yield Written(name, _object(value))
        elif frame := FRAME.match(text, place):
            place = frame.end()
        elif PYTHON.match(text, place):
            # Python says itself where an expression ends, so it takes all that is left, but for what closes a frame.
            rest = re.sub(r"(\s*(<\|tool_call_end\|>|</tool_calls?>|</function_calls?>))+\s*$", "", text[place:])
            yield from _python(rest)
            return
        else:
            value, place = read.raw_decode(text, place)
            yield from _json(value)


def _json(value: object) -> Iterator[Written]:
    """A call, or a list of calls, in any of the shapes in which models write one."""
    if isinstance(value, list):
        for one in cast(list[object], value):
            yield from _json(one)
        return
    given = a_dict(value)
    if isinstance(given.get("tool_calls"), list) and set(given) <= {"tool_calls", "content", "role"}:
        yield from _json(given["tool_calls"])
        return
    if isinstance(given.get("function"), dict) and set(given) <= {"function", *BESIDE}:
        yield from _json(given["function"])
        return
    names = [key for key in NAMES if isinstance(given.get(key), str)]
    arguments = [key for key in ARGUMENTS if key in given]
    if len(given) == 1 and not names:
        ((name, inner),) = given.items()
        yield Written(name, _object(inner))
        return
    if len(names) != 1 or len(arguments) != 1 or set(given) - BESIDE - {names[0], arguments[0]}:
        raise _NoCall
    yield Written(given[names[0]], _object(given[arguments[0]]))


def _object(value: object) -> str:
    """The arguments as JSON, which may have been written as JSON within JSON, or left out."""
    if isinstance(value, str):
        value = json.loads(value, parse_constant=_no_constant)
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise _NoCall
    return json.dumps(value, ensure_ascii=False)


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is Python's, not JSON")


def _python(text: str) -> Iterator[Written]:
    """`tool(a=1)`, or a list of such calls. Only literals are read; nothing is evaluated."""
    with warnings.catch_warnings():
        # What it makes of odd escapes is no business of the user's.
        warnings.simplefilter("ignore")
        body = ast.parse(text).body
    for statement in body:
        if not isinstance(statement, ast.Expr):
            raise _NoCall
        value = statement.value
        for call in value.elts if isinstance(value, ast.List) else [value]:
            if not isinstance(call, ast.Call) or any(word.arg is None for word in call.keywords):
                raise _NoCall
            if not isinstance(call.func, ast.Name | ast.Attribute):
                raise _NoCall
            given: dict[str, Any] = {str(word.arg): _literal(word.value) for word in call.keywords}
            if call.args:
                # tool({"a": 1})
                first = _literal(call.args[0])
                if len(call.args) > 1 or given or not isinstance(first, dict):
                    raise _NoCall
                given = cast(dict[str, Any], first)
            try:
                yield Written(ast.unparse(call.func), json.dumps(given, ensure_ascii=False, allow_nan=False))
            except TypeError as fault:  # bytes, a set, a complex number
                raise _NoCall from fault


def _literal(node: ast.expr) -> Any:
    """The value, in which JSON's constants may stand for Python's. Raises ValueError at what is no literal."""

    class Constants(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.Constant(CONSTANTS[node.id]) if node.id in CONSTANTS else node

    return ast.literal_eval(Constants().visit(node))
