"""Tool calls that arrive as text, because the server has no parser for them.

Each family of models has its own form: JSON, often in a code fence or between tags (Hermes and Qwen `<tool_call>`,
Llama `<function=...>`, Mistral `[TOOL_CALLS]`, DeepSeek, gpt-oss), or a Python list. A server with a tool parser reads
them; other servers pass them on as text. A text counts as calls only if it contains nothing else: prose that mentions
a call, or quotes a subject, stays prose. Only JSON and Python literals are read, because in these a text inside an
argument cannot end the argument.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, cast

from .fields import a_dict

# Characters. No call is longer, and longer text is not given to Python's parser.
LONGEST = 200_000
THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
FENCE = re.compile(r"```[\w+-]*[ \t]*\n")
# Text around and between calls that carries no meaning.
FRAME = re.compile(
    r"[\s;,]+|</?tool_calls?>|</?function_calls?>|</function>|<\|/?tool_calls?(_start|_end)?\|?>|\[/?TOOL_CALLS\]"
    r"|<tool_call\|>|<\|python_tag\|>|<\|(call|eom_id|eot_id|im_end|end)\|>|<｜tool▁calls?▁(begin|end)｜>|```(?=\s*<｜)"
)
# A name outside the JSON of its arguments.
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
    """The text is not a call."""


def calls_written(text: str, known: Callable[[str], bool]) -> list[Written]:
    """The calls that a text consists of; empty if any part is not a call, or calls a tool that is not `known`."""
    try:
        found = list(_all_of(_bare(text)))
    except (_NoCall, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    return found if all(known(call.name) for call in found) else []


def shows_calls(text: str, names: Collection[str]) -> bool:
    """Whether the text shows an attempt to call a tool, which means that the server lacks a parser."""
    named = "|".join(map(re.escape, sorted(names)))
    as_json = re.search(rf'"(name|tool|function)"\s*:\s*"({named})"', text) and re.search(
        r'"(arguments|parameters)"\s*:', text
    )
    return bool(EVIDENT.search(text) or (names and as_json))


def _bare(text: str) -> str:
    """The text without the thoughts before it and the fence around it."""
    # If thoughts quote their own end mark, the rest still contains the real one, and so is not a call.
    if thoughts := THOUGHTS.match(text := text.strip()):
        text = text[thoughts.end() :].strip()
    if (fence := FENCE.match(text)) and text.endswith("```"):
        text = text[fence.end() : -3].strip()
    if len(text) > LONGEST:
        raise _NoCall
    return text


def _all_of(text: str) -> Iterator[Written]:
    """Every call in the text, in order. Raises _NoCall or ValueError at anything else."""
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
            # Python's parser must find the end of the expression, so it gets all the rest except closing tags.
            rest = re.sub(r"(\s*(<\|tool_call_end\|>|</tool_calls?>|</function_calls?>))+\s*$", "", text[place:])
            yield from _python(rest)
            return
        else:
            value, place = read.raw_decode(text, place)
            yield from _json(value)


def _json(value: object) -> Iterator[Written]:
    """A call, or a list of calls, in any form that models use."""
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
    """The arguments as JSON; the model may have written them as JSON within JSON, or omitted them."""
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
        # Hide Python's warnings about odd escapes from the user.
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
    """The value; JSON's constants count as Python's. Raises ValueError if it is not a literal."""

    class Constants(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.Constant(CONSTANTS[node.id]) if node.id in CONSTANTS else node

    return ast.literal_eval(Constants().visit(node))
