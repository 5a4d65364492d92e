"""Schemas for strict mode: what they may hold, that nothing is lost on the way, and what a model is told when wrong."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, create_model

from lashley.experiments.explain import explain
from lashley.tools.json_schema import fill_nulls, lint_strict, strict_schema


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Head(Forbidding):
    """One head."""

    kind: Literal["head"] = "head"
    layer: int = Field(ge=0, lt=30, description="Counted from 0.")
    title: str | None = None


class MLP(Forbidding):
    kind: Literal["mlp"] = "mlp"
    scale: float = 0.5


class Method(Enum):
    zero = "zero"
    mean = "mean"


class Ablation(Forbidding):
    """Leave something out."""

    task: str = Field(description="Name of the task.", pattern="^[a-z]+$", min_length=1)
    n: int = Field(32, ge=1, le=64, description="Prompts to score.")
    method: Method = Method.mean
    sites: tuple[Annotated[Head | MLP, Field(discriminator="kind")], ...] = Field((), max_length=3)
    span: tuple[int, int] | None = None
    tags: set[str] = Field(default_factory=set, description="Words")
    default: Literal["a", 1] = 1
    seed: int | None


def properties(model: type[BaseModel]) -> dict[str, Any]:
    return strict_schema(model)["properties"]


def test_ranges_and_defaults_become_words() -> None:
    n = properties(Ablation)["n"]
    assert n == {
        "type": ["integer", "null"],
        "description": "Prompts to score (at least 1; at most 64; null means 32).",
    }
    assert properties(Ablation)["method"]["enum"] == ["zero", "mean", None]
    assert 'null means "mean"' in properties(Ablation)["method"]["description"]
    assert "at most 3 entries" in properties(Ablation)["sites"]["description"]
    assert "no entry twice" in properties(Ablation)["tags"]["description"]
    assert "exactly 2 entries" in properties(Ablation)["span"]["description"]


def test_a_whole_tool_passes_the_linter_and_keeps_fields_named_like_keywords() -> None:
    schema = strict_schema(Ablation)
    assert lint_strict(schema) == []
    assert schema["required"] == list(Ablation.model_fields)
    assert "description" not in schema
    head = schema["properties"]["sites"]["anyOf"][0]["items"]["anyOf"][0]
    assert list(head["properties"]) == ["kind", "layer", "title"]
    assert head["properties"]["kind"] == {"type": "string", "enum": ["head"]}
    assert head["description"] == "One head."
    assert '"$ref"' not in json.dumps(schema)


def test_the_schema_says_the_same_each_time() -> None:
    assert json.dumps(strict_schema(Ablation)) == json.dumps(strict_schema(Ablation))


class Recursive(BaseModel):
    inner: Recursive | None = None


class WithDictionary(BaseModel):
    weights: dict[str, float]


class WithAnything(BaseModel):
    value: Any


class WithList(BaseModel):
    values: list  # type: ignore[type-arg]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Recursive, "contains itself"),
        (WithDictionary, "WithDictionary.weights"),
        (WithAnything, "WithAnything.value"),
        (WithList, "WithList.values"),
        (RootModel[int | str], "at its root"),
    ],
)
def test_what_strict_mode_cannot_say_is_refused_with_the_field(model: type[BaseModel], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        strict_schema(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"additionalProperties": True}, "additionalProperties"),
        ({"required": []}, "$.x: not required"),
        ({"required": ["x", "y"]}, "$.y: required but not there"),
        ({"anyOf": [{"type": "object"}]}, "anyOf at the root"),
        ({"title": "T"}, "'title'"),
        ({"type": "array"}, "the root must be an object"),
        ({"properties": {"x": {"type": "integer", "minimum": 1}}}, "$.x: 'minimum'"),
        ({"properties": {"x": {"type": "array"}}}, "$.x: an array without items"),
        ({"properties": {"x": {"description": "?"}}}, "$.x: no type"),
        ({"properties": {"x": {"type": "string", "enum": []}}}, "$.x: empty enum"),
        ({"properties": {"x": {"type": "object", "properties": {}}}}, "$.x: additionalProperties"),
        ({"properties": {"x": {"anyOf": [{"type": "array", "items": {"$ref": "#"}}]}}}, "$.x<0>[]: '$ref'"),
        ({"properties": {"x": {"type": "integer", "enum": list(range(1001))}}}, "1001 enum values"),
    ],
)
def test_the_linter_finds_each_violation_and_its_place(change: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    assert lint_strict(good) == []
    assert any(words in line for line in lint_strict({**good, **change}))


def test_the_linter_counts_levels() -> None:
    def nested(levels: int) -> dict[str, Any]:
        inner: dict[str, Any] = {"type": "integer"}
        for _ in range(levels - 1):
            inner = {"type": "object", "properties": {"x": inner}, "required": ["x"], "additionalProperties": False}
        return inner

    assert lint_strict(nested(10)) == []
    assert "deeper than 10" in lint_strict(nested(11))[0]


# Generated classes: types with a strategy for their values, nested and with defaults.

SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers(-9, 9)),
    (Annotated[int, Field(ge=0, multiple_of=2)], st.integers(0, 9).map(lambda i: 2 * i)),
    (float, st.floats(-1, 1)),
    (bool, st.booleans()),
    (str, st.text(max_size=3)),
    (Annotated[str, Field(min_length=1, max_length=3)], st.sampled_from(["a", "bb"])),
    (Literal["x", "y"], st.sampled_from(["x", "y"])),
    (Method, st.sampled_from(["zero", "mean"])),
]
NAMES = st.sampled_from(["a", "b", "title", "default", "pattern", "type", "enum", "items"])
Typed = tuple[Any, st.SearchStrategy[Any]]


def listed(inner: Typed) -> Typed:
    return list[inner[0]], st.lists(inner[1], max_size=2)


def optional(inner: Typed) -> Typed:
    return inner[0] | None, st.none() | inner[1]


def paired(inner: Typed) -> Typed:
    return tuple[inner[0], int], st.tuples(inner[1], st.integers(0, 3)).map(list)


@st.composite
def models(draw: st.DrawFn, inner: st.SearchStrategy[Typed]) -> Typed:
    """A class with a few fields, some with defaults, and the arguments that a language model may send for it."""
    fields: dict[str, Any] = {}
    values: dict[str, st.SearchStrategy[Any]] = {}
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        kind, valid = draw(inner)
        if draw(st.booleans()):
            holder = create_model("Holder", value=(kind, ...))
            sent = {"value": draw(valid)}
            fields[name] = (kind, holder.model_validate(fill_nulls(holder, sent)).value)  # type: ignore[attr-defined]
            values[name] = st.none() | valid
        else:
            fields[name] = (kind, Field(description="d"))
            values[name] = valid
    model = create_model("Generated", __base__=Forbidding, **fields)
    return model, st.fixed_dictionaries(values)


types = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: inner.map(listed) | inner.map(optional) | inner.map(paired) | models(inner),
    max_leaves=6,
)


@pytest.mark.filterwarnings("ignore:Field name")
@settings(max_examples=60, deadline=None)
@given(models(types), st.data())
def test_every_class_gets_a_strict_schema_and_nulls_become_its_defaults(generated: Typed, data: st.DataObject) -> None:
    model, arguments = generated
    schema = strict_schema(model)
    assert lint_strict(schema) == []
    sent = data.draw(arguments)
    assert conforms(sent, schema)
    got = model.model_validate(fill_nulls(model, sent))
    must = {name: value for name, value in fill_nulls(model, sent).items() if model.model_fields[name].is_required()}
    untouched = model.model_validate(must)
    for name, field in model.model_fields.items():
        if sent[name] is None and not field.is_required():
            assert getattr(got, name) == getattr(untouched, name)


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value fits a strict schema, by the definition of the few keywords that there are."""
    if "anyOf" in schema:
        return any(conforms(value, part) for part in schema["anyOf"])
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if isinstance(value, dict):
        whole = set(value) == set(schema.get("properties", ()))
        return "object" in kinds and whole and all(conforms(v, schema["properties"][k]) for k, v in value.items())
    if isinstance(value, list):
        return "array" in kinds and all(conforms(v, schema["items"]) for v in value)
    names = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
    return names[type(value)] in kinds


def test_nulls_are_taken_out_at_every_depth_but_not_where_null_is_an_answer() -> None:
    sent = {
        "task": "ioi",
        "n": None,
        "sites": [{"kind": "mlp", "scale": None}, {"kind": "head", "layer": 2, "title": None}],
        "span": None,
        "seed": None,
    }
    filled = fill_nulls(Ablation, sent)
    sites = [{"kind": "mlp"}, {"kind": "head", "layer": 2}]
    assert filled == {"task": "ioi", "sites": sites, "seed": None}
    assert Ablation.model_validate(filled).sites == (MLP(), Head(layer=2))
    assert sent["n"] is None
    assert fill_nulls(Ablation, {"sites": 3, "odd": None}) == {"sites": 3, "odd": None}


def wrong(model: type[BaseModel], arguments: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(arguments)
    return explain(raised.value)


def test_each_mistake_is_named_with_its_place_and_the_way_out() -> None:
    sites = [{"kind": "head", "layer": 99}, {"kind": "q"}]
    said = wrong(Ablation, {"n": "many", "method": "maen", "sites": sites, "span": [1], "seed": None, "odd": 1})
    lines = dict(line.split(": ", 1) for line in said.splitlines())
    assert lines["task"] == "is required and missing."
    assert lines["n"] == 'should be a valid integer, unable to parse string as an integer; you sent "many".'
    assert lines["method"] == "should be 'zero' or 'mean'; you sent \"maen\"."
    assert "less than 30; you sent 99" in lines["sites[0].head.layer"]
    assert "'head', 'mlp'" in lines["sites[1]"]
    assert "no such field" in lines["odd"]
    assert "span[1]" in lines


def test_an_explanation_stays_short_and_can_be_sent() -> None:
    model = create_model("Many", **{f"f{i}": (int | list[int], ...) for i in range(20)})
    said = wrong(model, {f"f{i}": "x" * 500 for i in range(20)})
    assert "and 12 more" in said
    assert len(said) < 2_500
    assert "f0: should be a valid integer" in said
    assert "f0.list" not in said
    assert wrong(model, {"f0": "\ud83d"}).encode("utf-8")
    assert wrong(Ablation, 3).startswith("arguments: ")
