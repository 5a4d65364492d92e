"""The tool `describe_model`: what a model is, without any task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from .arguments import Answered, Arguments
from .refusals import refused
from .report.numbers import number
from .workbench.context import Context
from .workbench.experiment_text import quoted
from .workbench.naming import allowed_model

if TYPE_CHECKING:
    from ..experiments.model.description import Description, HeadNorms, LayerNorms, Token

# More heads than this in all are shown as the least, middle and largest of each layer.
MOST_HEADS = 320
NAMED = 24
LONGEST = 16


class DescribeModel(Arguments):
    model: Annotated[str | None, Field(description="Null: this study's subject.")] = None
    layers: Annotated[
        list[int] | None,
        Field(description="Show all norms of these layers: Q, K, V, O, OV and QK per head. Null: OV of all layers."),
    ] = None


def describe_model(context: Context, given: DescribeModel) -> Answered:
    """What a model is, without any task: vocabulary with sample tokens, special tokens, BOS, context length, sizes, and
    how large the weights of each head and MLP are; which are zero."""
    from ..experiments.model.description import describe

    found = describe(context.subject(allowed_model(context, given.model)))
    if given.layers is not None:
        require_layers(found, given.layers)
    return description_text(found, given.layers), found.model_dump()


def require_layers(found: Description, layers: list[int]) -> None:
    if wrong := [layer for layer in layers if layer not in range(found.n_layers)]:
        raise refused("no_such_part", part=f"layer {wrong[0]}", why=f"Its layers are 0 to {found.n_layers - 1}.")


def chosen_layers(found: Description, text: str | None) -> list[int] | None:
    """Layers as a command gives them: "0,1,5" or "0-4". Raises BadConfiguration."""
    from ..experiments.interventions import parse_layers

    return None if text is None else list(parse_layers(text, found.n_layers))


def description_text(found: Description, layers: list[int] | None = None) -> str:
    """A description in a few lines; with `layers`, only all norms of these layers."""
    if layers is not None:
        return "\n".join(line for layer in layers for line in all_norms(found.layers[layer]))
    extra = f" (the embedding has {found.rows:,} rows)" if found.rows != found.vocabulary else ""
    starts = f"starts with {tokens(found.starts_with)}" if found.starts_with else "gets no token in front (no BOS)"
    context = "no limit on the context" if found.context is None else f"context of {found.context:,} tokens"
    block = "attention and MLP in parallel" if found.parallel else "attention, then MLP"
    lines = [
        f"{found.name}: {found.architecture}, {found.parameters / 1e6:,.3g}M parameters, {found.n_layers} layers "
        f"(L0 to L{found.n_layers - 1}; {block}), {found.n_heads} heads and {found.n_kv_heads} KV heads per layer, "
        f"d_model {found.d_model}, d_head {found.d_head}, d_mlp {found.d_mlp}, "
        f"unembedding {'tied to the embedding' if found.tied else 'of its own'}.",
        f"Vocabulary: {found.vocabulary:,} tokens{extra}. Every text {starts}. "
        f"{context[0].upper()}{context[1:]}. {'Has a' if found.chat else 'No'} chat template.",
        f"Special tokens: {tokens(found.special[:NAMED]) or 'none'}{more(len(found.special))}.",
        f"Sample of the vocabulary: {tokens(found.sample)}.",
        norms_head(found),
        *map(norms_line if found.n_heads * found.n_layers <= MOST_HEADS else spread_line, found.layers),
        f"Write nothing (all weights to the stream are 0): {named(found.silent)}. Always write the same (only a bias): "
        f"{named(found.constant)}. Near zero (norm below a thousandth of the largest): {named(found.near_zero)}. "
        f"Attend without regard to tokens (QK 0): {named(found.blind)}.",
    ]
    return "\n".join(line for line in lines if line)


def tokens(given: tuple[Token, ...]) -> str:
    return " ".join(f"{one.id} {quoted(one.text, LONGEST)}" for one in given)


def more(count: int) -> str:
    return f", and {count - NAMED} more" if count > NAMED else ""


def named(parts: tuple[str, ...]) -> str:
    return f"{', '.join(parts[:NAMED])}{more(len(parts))}" if parts else "none"


def norms_head(found: Description) -> str:
    heads = (
        "OV of each head" if found.n_heads * found.n_layers <= MOST_HEADS else "OV of heads (least, middle, largest)"
    )
    return (
        f"Frobenius norms by layer: {heads} (how much it can move into the stream), then the MLP's output projection. "
        "Compare heads of one layer; describe_model with layers shows Q, K, V, O, QK and the constant part from biases."
    )


def short(value: float) -> str:
    return number(float(f"{value:.2g}"))


def mlp_text(one: LayerNorms) -> str:
    return "" if one.mlp is None else f" | MLP {short(one.mlp)}"


def norms_line(one: LayerNorms) -> str:
    heads = one.why if one.heads is None else " ".join(short(head.OV) for head in one.heads)
    return f"L{one.layer}: {heads}{mlp_text(one)}"


def spread_line(one: LayerNorms) -> str:
    if one.heads is None:
        return norms_line(one)
    ranked = sorted(head.OV for head in one.heads)
    return f"L{one.layer}: {short(ranked[0])} {short(ranked[len(ranked) // 2])} {short(ranked[-1])}{mlp_text(one)}"


def all_norms(one: LayerNorms) -> list[str]:
    if one.heads is None:
        return [norms_line(one)]

    def row(name: str, heads: tuple[HeadNorms, ...]) -> str:
        return f"  {name:<8} by head: {' '.join(short(getattr(head, name)) for head in heads)}"

    return [
        f"L{one.layer}{mlp_text(one)}",
        *(row(name, one.heads) for name in ("Q", "K", "V", "O", "OV", "QK", "constant")),
    ]
