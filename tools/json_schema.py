"""From a Pydantic class to a JSON schema that strict mode accepts, and back from what the model sends.

Strict mode knows few keywords: every property is required, nothing may be added, and there are no defaults, no
ranges and no free-form dictionaries. So a default becomes "null means ...", a range becomes words in the
description, `fill_nulls` removes the nulls again, and Pydantic checks the rest on our side. A type that strict
mode cannot express at all is refused when the tool is defined.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from pydantic import BaseModel

Schema = dict[str, Any]

MAX_LEVELS, MAX_PROPERTIES, MAX_ENUM = 10, 5000, 1000
NULL: Schema = {"type": "null"}
SCALARS = {"string", "number", "integer", "boolean", "null"}
ALLOWED = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "description"}
# The words that replace ranges.
WORDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matching the regular expression {}",
    "format": "as {}",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
}
NOT_EMPTY = {("minLength", 1), ("minItems", 1)}
DROPPED = {"title", "default", "deprecated", "readOnly", "writeOnly", "contentMediaType", "discriminator"}
MOVED = set(WORDS) | {"uniqueItems", "examples", "oneOf", "allOf", "prefixItems", "$ref", "$defs"}


def strict_schema(model: type[BaseModel]) -> Schema:
    """The JSON schema of `model` for strict mode, references inlined.

    The docstring of `model` is left out at the root, because the tool has it as its description. Raises TypeError,
    naming the field, on what strict mode cannot express: dict[str, X], Any, a recursive class, a union at the root.
    """
    raw = model.model_json_schema()
    if "$ref" not in raw and "properties" not in raw and raw.get("type") != "object":
        raise TypeError(f"{model.__name__} is not an object at its root, as a tool's arguments must be.")
    schema = _convert(raw, raw.get("$defs", {}), model.__name__, frozenset())
    schema.pop("description", None)
    return schema


def _resolve(node: Schema, defs: Schema, path: str, inside: frozenset[str]) -> tuple[Schema, frozenset[str]]:
    """The node with references and single intersections replaced by what they mean; other keys of the node win."""
    while "$ref" in node or "allOf" in node:
        node = dict(node)
        if ref := node.pop("$ref", None):
            name = str(cast(object, ref)).removeprefix("#/$defs/")
            if name in inside:
                raise TypeError(f"{path}: {name} contains itself, which a tool's arguments must not.")
            inside = inside | {name}
            node = {**defs[name], **node}
        elif len(parts := node.pop("allOf")) == 1:
            node = {**parts[0], **node}
        else:
            raise TypeError(f"{path}: a strict schema cannot express an intersection of types.")
    return node, inside


def _convert(node: Schema, defs: Schema, path: str, inside: frozenset[str], *more: str) -> Schema:
    node, inside = _resolve(node, defs, path, inside)
    if unknown := set(node) - ALLOWED - DROPPED - MOVED:
        raise TypeError(f"{path}: a strict schema cannot express '{min(unknown)}'.")
    if variants := node.get("anyOf") or node.get("oneOf"):
        beside = {key: value for key, value in node.items() if key not in ("anyOf", "oneOf")}
        rest = [variant for variant in variants if variant.get("type") != "null"]
        if len(rest) == 1:
            resolved, inside = _resolve(rest[0], defs, path, inside)
            schema = _convert({**resolved, **beside}, defs, path, inside, *more)
        else:
            schema = {"anyOf": [_convert(v, defs, f"{path}[{i}]", inside) for i, v in enumerate(rest)]}
            schema |= _description(beside, *more)
        return schema if len(rest) == len(variants) else _nullable(schema)
    return _shape(node, defs, path, inside) | _description(node, *more)


def _shape(node: Schema, defs: Schema, path: str, inside: frozenset[str]) -> Schema:
    if "enum" in node or "const" in node:
        values = node.get("enum", [node.get("const")])
        types = sorted({_json_type(value) for value in values})
        return {"type": types[0] if len(types) == 1 else types, "enum": list(values)}
    kind = node.get("type")
    if kind == "object":
        if node.get("additionalProperties") or not {"properties", "additionalProperties"} & set(node):
            raise TypeError(f"{path}: a strict schema cannot express a dictionary; use a list of named pairs.")
        required = set(node.get("required", ()))
        properties = {
            name: _property(part, name in required, defs, f"{path}.{name}", inside)
            for name, part in node.get("properties", {}).items()
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    if kind == "array":
        return {"type": "array", "items": _items(node, defs, path, inside)}
    if isinstance(kind, str) and kind in SCALARS:
        return {"type": kind}
    raise TypeError(f"{path}: a strict schema needs to know the type.")


def _property(node: Schema, required: bool, defs: Schema, path: str, inside: frozenset[str]) -> Schema:
    if required:
        return _convert(node, defs, path, inside)
    resolved, _ = _resolve(node, defs, path, inside)
    if "const" in resolved:  # a tag: there is nothing to choose, and it identifies the variant of a union
        return _convert(node, defs, path, inside)
    default = node.get("default", ...)
    if default is None:
        return _nullable(_convert(node, defs, path, inside))
    means = "null means the default" if default is ... else f"null means {json.dumps(default, ensure_ascii=False)}"
    return _nullable(_convert(node, defs, path, inside, means))


def _items(node: Schema, defs: Schema, path: str, inside: frozenset[str]) -> Schema:
    parts: list[Schema] = list(node.get("prefixItems", ()))
    if isinstance(node.get("items"), dict):
        parts.append(node["items"])
    kinds: list[Schema] = []
    for i, part in enumerate(parts):
        kind = _convert(part, defs, f"{path}[{i}]", inside)
        if kind not in kinds:
            kinds.append(kind)
    if not kinds:
        raise TypeError(f"{path}: a strict schema needs to know the type of the entries.")
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _description(node: Schema, *more: str) -> Schema:
    """The description, with everything added for which strict mode has no keyword."""
    told = WORDS
    low, high = node.get("minItems"), node.get("maxItems")
    if low is not None and low == high:
        told = {key: words for key, words in WORDS.items() if key not in ("minItems", "maxItems")}
    notes = [
        "not empty" if (key, node[key]) in NOT_EMPTY else words.format(node[key])
        for key, words in told.items()
        if key in node
    ]
    if told is not WORDS:
        notes.append(f"exactly {low} entries")
    if node.get("uniqueItems"):
        notes.append("no entry twice")
    if examples := node.get("examples"):
        notes.append("for example " + ", ".join(json.dumps(example, ensure_ascii=False) for example in examples))
    notes += more
    text = str(node.get("description", "")).strip()
    if not notes:
        return {"description": text} if text else {}
    return {"description": f"{text.rstrip('.')} ({'; '.join(notes)})." if text else f"{'; '.join(notes)}."}


def _nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    if "anyOf" in schema:
        return schema if NULL in schema["anyOf"] else {**schema, "anyOf": [*schema["anyOf"], NULL]}
    types = _types(schema)
    if "null" in types:
        return schema
    if not SCALARS.issuperset(types):
        beside = {key: value for key, value in schema.items() if key == "description"}
        return {"anyOf": [{key: value for key, value in schema.items() if key != "description"}, NULL]} | beside
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*types, "null"], **enum}


def _types(schema: Schema) -> list[str]:
    kind = schema.get("type", [])
    return cast(list[str], kind) if isinstance(kind, list) else [kind]


def _json_type(value: object) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "null"


def lint_strict(schema: Schema) -> list[str]:
    """What strict mode would refuse in a schema, one line each with its path; empty if nothing."""
    found: list[str] = []
    if schema.get("type") != "object":
        found.append("$: the root must be an object")
    if "anyOf" in schema:
        found.append("$: anyOf at the root")
    properties = choices = 0
    for path, level, node in _walk(schema):
        found += [f"{path}: '{key}' is not known to strict mode" for key in sorted(set(node) - ALLOWED)]
        if level == MAX_LEVELS + 1:
            found.append(f"{path}: deeper than {MAX_LEVELS} levels")
        kinds = _types(node)
        if not kinds and not {"anyOf", "enum", "const"} & set(node):
            found.append(f"{path}: no type")
        if "object" in kinds:
            names = list(node.get("properties", {}))
            properties += len(names)
            if node.get("additionalProperties") is not False:
                found.append(f"{path}: additionalProperties is not false")
            found += [f"{path}.{name}: not required" for name in names if name not in node.get("required", [])]
            found += [
                f"{path}.{name}: required but not there" for name in node.get("required", []) if name not in names
            ]
        if "array" in kinds and not isinstance(node.get("items"), dict):
            found.append(f"{path}: an array without items")
        for key in ("anyOf", "enum"):
            if key in node and not node[key]:
                found.append(f"{path}: empty {key}")
        choices += len(node.get("enum", ()))
    if properties > MAX_PROPERTIES:
        found.append(f"$: {properties} properties, at most {MAX_PROPERTIES}")
    if choices > MAX_ENUM:
        found.append(f"$: {choices} enum values, at most {MAX_ENUM}")
    return found


def _walk(node: Schema, path: str = "$", level: int = 1) -> Iterator[tuple[str, int, Schema]]:
    yield path, level, node
    for name, part in node.get("properties", {}).items():
        yield from _walk(part, f"{path}.{name}", level + 1)
    if isinstance(node.get("items"), dict):
        yield from _walk(node["items"], f"{path}[]", level + 1)
    for i, part in enumerate(node.get("anyOf", ())):
        yield from _walk(part, f"{path}<{i}>", level)


def fill_nulls(model: type[BaseModel], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without the nulls that mean a default, so that `model_validate` puts the defaults in.

    A list, an object or a null that was sent as text is accepted where no text is wanted, as `model_validate` accepts
    numbers and booleans. Anything unexpected stays unchanged, for the validation to report.
    """
    raw = model.model_json_schema()
    return cast(dict[str, Any], _filled(arguments, raw, raw.get("$defs", {})))


def _filled(value: Any, node: Schema, defs: Schema) -> Any:
    node, _ = _resolve(node, defs, "", frozenset())
    if isinstance(value, str):
        value = _from_text(value, _wanted(node, defs))
    variants = node.get("anyOf") or node.get("oneOf")
    if variants:
        fitting = [
            variant
            for variant in (_resolve(v, defs, "", frozenset())[0] for v in variants)
            if _fits(value, variant, defs)
        ]
        return _filled(value, fitting[0], defs) if fitting else value
    if isinstance(value, list) and isinstance(node.get("items"), dict):
        return [_filled(entry, node["items"], defs) for entry in cast(list[Any], value)]
    if isinstance(value, list) and "prefixItems" in node:
        entries, places = cast(list[Any], value), node["prefixItems"]
        return [_filled(entry, places[i], defs) if i < len(places) else entry for i, entry in enumerate(entries)]
    if not isinstance(value, dict):
        return cast(Any, value)
    properties, required = node.get("properties", {}), node.get("required", ())
    return {
        name: _filled(part, properties[name], defs) if name in properties else part
        for name, part in cast(dict[str, Any], value).items()
        if not (part is None and name in properties and name not in required)
    }


def _wanted(node: Schema, defs: Schema) -> set[str]:
    """The JSON types that a schema accepts; "string" if it does not say."""
    node, _ = _resolve(node, defs, "", frozenset())
    if variants := node.get("anyOf") or node.get("oneOf"):
        return {kind for variant in variants for kind in _wanted(variant, defs)}
    values = node.get("enum", [node["const"]] if "const" in node else [])
    return set(_types(node)) or {_json_type(value) for value in values} or {"string"}


def _from_text(text: str, wanted: set[str]) -> Any:
    """The list, object or null in the text, as JSON or as JSON with Python's quotes, if one is wanted and text is
    not."""
    bare = text.strip()
    if "string" in wanted or not bare.startswith(("[", "{", "null", "None")):
        return text
    requoted = bare if '"' in bare else bare.replace("'", '"')
    for read in (bare, "null" if bare == "None" else requoted):
        try:
            value: object = json.loads(read)
        except (ValueError, RecursionError):
            continue
        kind = "array" if isinstance(value, list) else "object" if isinstance(value, dict) else _json_type(value)
        return cast(Any, value) if kind in wanted & {"array", "object", "null"} else text
    return text


def _fits(value: Any, node: Schema, defs: Schema) -> bool:
    """Whether this variant of a union is meant: the same shape, its fields, its tags."""
    if nested := node.get("anyOf") or node.get("oneOf"):
        return any(_fits(value, _resolve(variant, defs, "", frozenset())[0], defs) for variant in nested)
    if isinstance(value, list):
        return node.get("type") == "array"
    if not isinstance(value, dict) or node.get("type") != "object":
        return False
    parts, properties = cast(dict[str, Any], value), node.get("properties", {})
    tags = {name: part["const"] for name, part in properties.items() if "const" in part}
    return set(parts) <= set(properties) and all(parts.get(name, tag) == tag for name, tag in tags.items())
