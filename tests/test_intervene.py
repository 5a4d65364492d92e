"""Every form of line, on tiny models, against plain hooks on the HuggingFace model: one prompt at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
import torch
from torch import Tensor

from lashley.agent.commands.experiment import from_file
from lashley.experiments.edit_lines import parse_line
from lashley.experiments.errors import BadConfiguration, BadTask
from lashley.experiments.kinds.intervene import Intervene
from lashley.experiments.lab import Lab
from lashley.experiments.result import Effect, Result
from lashley.experiments.sites import Site, parse_site
from lashley.experiments.tasks.corrupted_prompts import corrupted_prompts
from lashley.experiments.tasks.donors_by_rule import Lenders, donors_by_rule, prompts_with_donors
from lashley.experiments.tasks.prompt import Prompt
from lashley.experiments.tasks.values import values_of
from lashley.tests.corrupted_lab import columns, corrupted_lab, difference, ids
from lashley.tests.slow_way import clean_values, hooked, reordered
from lashley.tests.tiny import tiny_subject
from lashley.tools.workbench.catalog import command_of, configuration

N = 4
Change = Callable[[Site, Tensor], Tensor]
# What a form does to one prompt, worked out plainly: (kind, prompt, text that is run) -> (change, program).
Plain = Callable[[str, Prompt, str], tuple[Change, tuple[int, ...] | None]]
KINDS = ("llama", "gpt2", "gemma2")
TEXT = "w5 w9 w20"


def heads_of(kind: str, site: Site) -> slice:
    d_head = tiny_subject(kind).sizes["d_head"]
    assert site.index is not None
    return slice(site.index * d_head, (site.index + 1) * d_head)


def at(name: str, new: Callable[[str, Prompt, str, Tensor], Tensor], positions: str = "all") -> Plain:
    """One site gets new values, at some positions."""

    def plain(kind: str, prompt: Prompt, text: str) -> tuple[Change, None]:
        wanted = parse_site(name)
        width = heads_of(kind, wanted) if wanted.index is not None else slice(None)

        def change(site: Site, value: Tensor) -> Tensor:
            if (site.layer, site.part) != (wanted.layer, wanted.part):
                return value
            value = value.clone()
            there = columns(kind, prompt, positions)
            rows = slice(there.start, there.stop)
            value[0, rows, width] = new(kind, prompt, text, value[0, :, width])[rows]
            return value

        return change, None

    return plain


def given(name: str, source: Callable[[str, Prompt, str], Tensor], positions: str = "all") -> Plain:
    """One site gets values that do not depend on what was there."""

    def plain(kind: str, prompt: Prompt, text: str) -> tuple[Change, None]:
        new = source(kind, prompt, text)
        return at(name, lambda kind, p, t, old: new.expand_as(old), positions)(kind, prompt, text)[0], None

    return plain


def both(*plains: Plain) -> Plain:
    def plain(kind: str, prompt: Prompt, text: str) -> tuple[Change, None]:
        changes = [one(kind, prompt, text)[0] for one in plains]

        def change(site: Site, value: Tensor) -> Tensor:
            for one in changes:
                value = one(site, value)
            return value

        return change, None

    return plain


def order(*program: int) -> Plain:
    return lambda kind, prompt, text: (lambda site, value: value, program)


def nothing(kind: str, prompt: Prompt, text: str, old: Tensor) -> Tensor:
    return old * 0


def values(kind: str, text: str, name: str) -> Tensor:
    site = parse_site(name)
    whole = clean_values(tiny_subject(kind).model, ids(kind, text))[Site(layer=site.layer, part=site.part)]
    return whole[:, heads_of(kind, site)] if site.index is not None else whole


def raising(kind: str, word: int) -> Tensor:
    """The direction that raises a token's logit through the final norm, of length 1."""
    found = row_of(kind, word)
    return found / found.norm()


def row_of(kind: str, word: int) -> Tensor:
    """A token's row of the unembedding, with the gain of the final norm."""
    model = tiny_subject(kind).model
    row = model.get_output_embeddings().weight[word]
    if kind == "gpt2":
        found = row * model.transformer.ln_f.weight
        found = found - found.mean()
    else:
        scale = model.model.norm.weight
        found = row * (1 + scale if kind.startswith("gemma") else scale)
    return found


def along(kind: str, word: int, old: Tensor) -> Tensor:
    unit = raising(kind, word)
    return old - (old @ unit)[:, None] * unit


def pattern_of(name: str, queries: str, change: Callable[[Tensor, range], Tensor], keys: str) -> Plain:
    """A head's weights [query, key] with some rows changed."""

    def plain(kind: str, prompt: Prompt, text: str) -> tuple[Change, None]:
        wanted = parse_site(name)

        def edit(site: Site, value: Tensor) -> Tensor:
            if (site.layer, site.part) != (wanted.layer, "pattern"):
                return value
            value, size = value.clone(), value.shape[1]
            assert wanted.index is not None
            own = slice(wanted.index * size, (wanted.index + 1) * size)
            for row in columns(kind, prompt, queries):
                value[0, row, own] = change(value[0, row, own].clone(), columns(kind, prompt, keys))
            return value

        return edit, None

    return plain


def without(weights: Tensor, keys: range) -> Tensor:
    weights[list(keys)] = 0
    return weights / weights.sum()


def equally(weights: Tensor, keys: range) -> Tensor:
    weights[:] = 0
    weights[list(keys)] = 1 / len(keys)
    return weights


FORMS: dict[str, tuple[list[str], Plain]] = {
    "zero a head": (["zero L1.H2"], at("L1.H2", nothing)),
    "zero many, except one": (
        ["zero L0-1.H0-1 except L0.H1"],
        both(*(at(head, nothing) for head in ("L0.H0", "L1.H0", "L1.H1"))),
    ),
    "zero a layer": (["zero L1"], both(at("L1.attn", nothing), at("L1.mlp", nothing))),
    "every MLP at one position": (
        ["zero L*.mlp@changed"],
        both(*(at(f"L{layer}.mlp", nothing, "changed") for layer in range(3))),
    ),
    "a head and an MLP": (["zero L0.H1 L2.mlp@last"], both(at("L0.H1", nothing), at("L2.mlp", nothing, "last"))),
    "scale": (["scale L1.mlp@last by -0.5"], at("L1.mlp", lambda k, p, t, old: -0.5 * old, "last")),
    "freeze": (
        ["zero L0.mlp", "freeze L1.attn"],
        both(at("L0.mlp", nothing), given("L1.attn", lambda kind, p, text: values(kind, text, "L1.attn"))),
    ),
    "patch from corrupted": (
        ["patch L1.resid_pre@changed from corrupted"],
        given("L1.resid_pre", lambda kind, p, t: values(kind, p.corrupted or "", "L1.resid_pre"), "changed"),
    ),
    "patch a head from corrupted": (
        ["patch L1.H3@last from corrupted"],
        given("L1.H3", lambda kind, p, t: values(kind, p.corrupted or "", "L1.H3"), "last"),
    ),
    "patch from a text": (
        [f'patch L1.resid_post@last from "{TEXT}"@-2'],
        given("L1.resid_post", lambda kind, p, t: values(kind, TEXT, "L1.resid_post")[-2], "last"),
    ),
    "add along a token": (
        ['add L1.resid_post@last along "w7" by 3'],
        at("L1.resid_post", lambda kind, p, t, old: old + 3 * raising(kind, 7), "last"),
    ),
    "project out a token": (
        ['project_out L0.resid_post along "w7"'],
        at("L0.resid_post", lambda kind, p, t, old: along(kind, 7, old)),
    ),
    "cut an edge": (["cut L1.H2 from changed to last"], pattern_of("L1.H2", "last", without, "changed")),
    "attend": (["attend L2.H0@last to changed"], pattern_of("L2.H0", "last", equally, "changed")),
    "skip": (["skip L1"], order(0, 2)),
    "skip at a position": (
        ["skip L1@last"],
        both(at("L1.attn", nothing, "last"), at("L1.mlp", nothing, "last")),
    ),
    "repeat": (["repeat L1"], order(0, 1, 1, 2)),
    "swap": (["swap L0 L2"], order(2, 1, 0)),
    "a program": (["layers 0 2 2"], order(0, 2, 2)),
    "two skips": (["skip L0", "skip L2"], order(1)),
}  # fmt: skip


@torch.no_grad()
def slow(kind: str, prompt: Prompt, text: str, plain: Plain) -> float:
    change, program = plain(kind, prompt, text)
    model = tiny_subject(kind).model
    with hooked(model, change) as cache, reordered(model, program):
        return difference(model(input_ids=ids(kind, text), past_key_values=cache, use_cache=True).logits[0], prompt)


def intact(kind: str, prompt: Prompt, text: str) -> float:
    return slow(kind, prompt, text, order(0, 1, 2))


def effect(result: Result, site: str, metric: str = "logit_diff") -> Effect:
    return next(one for one in result.effects if (one.site, one.metric) == (site, metric))


def drawn(lab: Lab) -> tuple[Prompt, ...]:
    return corrupted_prompts(lab, (N, "explore", 0)).prompts


# The whole table on one architecture in CI; what differs between architectures on the others.
VARIES = {
    "zero a layer",
    "freeze",
    "patch from corrupted",
    "add along a token",
    "cut an edge",
    "attend",
    "skip at a position",
}
CASES = [
    pytest.param(kind, form, marks=() if kind == "llama" or form in VARIES else pytest.mark.slow)
    for kind in KINDS for form in FORMS
]  # fmt: skip


@pytest.mark.parametrize(("kind", "form"), CASES)
def test_each_form_equals_plain_hooks(kind: str, form: str) -> None:
    lines, plain = FORMS[form]
    lab = corrupted_lab(kind)
    result = Intervene(task="twins", n=N, edit=lines, controls=1).run(lab)
    asks = any("corrupted" in line or "changed" in line for line in lines)
    prompts = drawn(lab) if asks else lab.prompts(N, "explore", 0)[0]
    wanted = [slow(kind, p, p.text, plain) - intact(kind, p, p.text) for p in prompts]
    assert effect(result, "edited").value == pytest.approx(sum(wanted) / N, abs=2e-4)
    assert max(map(abs, wanted)) > 1e-3, "a form that changes nothing would test nothing"
    assert result["identity"].value < 1e-3


def test_the_corrupted_run_gets_its_answer_back_from_the_clean_one() -> None:
    lab = corrupted_lab("llama")
    result = Intervene(task="twins", n=N, edit=["patch L0.resid_pre from clean"], run_on="corrupted").run(lab)
    prompts = drawn(lab)
    clean = sum(intact("llama", p, p.text) for p in prompts) / N
    assert effect(result, "edited").value + result["intact_logit_diff"].value == pytest.approx(clean, abs=2e-4)


def test_a_contrast_is_the_paired_difference_of_two_interventions() -> None:
    lab = corrupted_lab("llama")
    both_ways = Intervene(task="twins", n=N, edit=["A: zero L1.mlp", "B: zero L1.H0", "B: zero L2.H1"],
                          contrast=["A minus B"], read=["logit_diff", "loss"]).run(lab)  # fmt: skip
    for metric in ("logit_diff", "loss"):
        a, b, difference = (effect(both_ways, site, metric) for site in ("A", "B", "A minus B"))
        assert difference.value == pytest.approx(a.value - b.value, abs=1e-6)
        assert difference.high - difference.low < (a.high - a.low) + (b.high - b.low)
    alone = Intervene(task="twins", n=N, edit=["zero L1.H0 L2.H1"]).run(lab)
    assert effect(both_ways, "B").value == pytest.approx(effect(alone, "edited").value, abs=1e-5)


def test_with_several_interventions_accuracy_is_an_effect_that_counts_in_the_correction() -> None:
    lab, lines = corrupted_lab("llama"), ["A: zero L1.mlp", "B: scale L1.H0 by 1"]
    result = Intervene(task="twins", n=N, edit=lines, read=["text"]).run(lab)
    for name in ("A", "B"):
        found = effect(result, name, "accuracy")
        said = [one for one in result.samples if one.condition == name]
        assert found.value == pytest.approx(sum(bool(o.changed_correct) - bool(o.correct) for o in said) / N)
        assert found.low < found.value < found.high
        assert found.q is not None


def test_readings_after_a_layer_and_of_tokens_equal_the_model_cut_there() -> None:
    lab, kind = corrupted_lab("llama"), "llama"
    result = Intervene(
        task="twins", n=N, edit=["zero L0.mlp"], read=["logit_diff", "logit_diff@L1", 'prob "w7" "w9"']
    ).run(lab)
    prompts, model = lab.prompts(N, "explore", 0)[0], tiny_subject(kind).model
    edited, cut, probabilities = at("L0.mlp", nothing), list[float](), list[float]()
    for prompt in prompts:
        change, _ = edited(kind, prompt, prompt.text)
        with torch.no_grad(), hooked(model, change) as cache, reordered(model, (0, 1)):
            after = model(input_ids=ids(kind, prompt.text), past_key_values=cache, use_cache=True).logits[0]
        cut.append(difference(after, prompt) - slow(kind, prompt, prompt.text, order(0, 1)))
        with torch.no_grad(), hooked(model, change) as cache:
            whole = model(input_ids=ids(kind, prompt.text), past_key_values=cache, use_cache=True).logits[0, -1]
        with torch.no_grad():
            before = model(input_ids=ids(kind, prompt.text)).logits[0, -1]
        moved = whole.softmax(-1) - before.softmax(-1)
        probabilities.append(float(moved[7] + moved[9]))
    assert effect(result, "edited at L1").value == pytest.approx(sum(cut) / N, abs=2e-4)
    assert effect(result, "edited 'w7' 'w9'", "token_prob").value == pytest.approx(sum(probabilities) / N, abs=1e-5)


@torch.no_grad()
def stream(kind: str, prompt: Prompt, plain: Plain, layers: int) -> Tensor:
    """The stream after so many layers, [position, d_model], kept by a hook on the next layer or on the last one."""
    model = tiny_subject(kind).model
    change, _ = plain(kind, prompt, prompt.text)
    blocks = model.transformer.h if kind == "gpt2" else model.model.layers
    kept: list[Tensor] = []
    if layers < len(blocks):
        handle = blocks[layers].register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    else:
        handle = blocks[-1].register_forward_hook(
            lambda _, args, out: kept.append(out if isinstance(out, Tensor) else out[0])
        )
    with hooked(model, change) as cache:
        model(input_ids=ids(kind, prompt.text), past_key_values=cache, use_cache=True)
    handle.remove()
    return kept[0][0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_projection_of_the_stream_equals_plain_hooks(kind: str) -> None:
    lab, n_layers = corrupted_lab(kind), 3
    words = ' on "w7" - "w9"'
    reads = {
        "L1.resid_post@last": 2, "L2.resid_pre@subject": 2, "L2.resid_post@subject": n_layers, "L0.resid_pre@last": 0,
    }  # fmt: skip
    asked = [f"projection {place}{words}" for place in reads]
    result = Intervene(task="twins", n=N, edit=["A: zero L0.mlp", "B: zero L1.H0 L2.mlp"], read=asked,
                       contrast=["A minus B"]).run(lab)  # fmt: skip
    edits = {"A": at("L0.mlp", nothing), "B": both(at("L1.H0", nothing), at("L2.mlp", nothing))}
    unit = row_of(kind, 7) - row_of(kind, 9)
    unit = unit / unit.norm()
    prompts = lab.prompts(N, "explore", 0)[0]
    for place, layers in reads.items():
        where = place.partition("@")[2]
        name = f"{place} on 'w7' - 'w9'"
        found: dict[str, float] = {}
        for edit, plain in {"intact": order(0, 1, 2), **edits}.items():
            rows = [stream(kind, p, plain, layers)[columns(kind, p, where)[-1]] for p in prompts]
            found[edit] = sum(float(row @ unit) for row in rows) / N
        assert result[f"intact_projection[{name}]"].value == pytest.approx(found["intact"], abs=1e-4)
        for edit in edits:
            change = effect(result, f"{edit} {name}", "projection").value
            assert change == pytest.approx(found[edit] - found["intact"], abs=1e-4)
        difference = effect(result, f"A minus B {name}", "projection").value
        assert difference == pytest.approx(found["A"] - found["B"], abs=1e-4)
    assert abs(effect(result, "A L1.resid_post@last on 'w7' - 'w9'", "projection").value) > 1e-3


def test_a_projection_on_the_answer_moves_by_what_is_added_along_it() -> None:
    lab, direction = corrupted_lab("llama"), "answer - distractor"
    result = Intervene(task="twins", n=N, edit=[f"add L1.resid_post@last along {direction} by 3"],
                       read=[f"projection L1.resid_post@last on {direction}"]).run(lab)  # fmt: skip
    assert effect(result, f"edited L1.resid_post@last on {direction}", "projection").value == pytest.approx(3, abs=1e-4)


@pytest.mark.parametrize(("given", "says"), [
    ({"read": ["projection L7.resid_post@last on \"w7\""]}, "There is no layer 7"),
    ({"read": ["projection L1.mlp@last on \"w7\""]}, "cannot be read. Write projection L7.resid_post@last on"),
    ({"read": ["projection L1.resid_post on corrupted - clean"]}, "along tokens or answer - distractor"),
    ({"read": ["projection L1.resid_pre on \"w7\""], "edit": ["zero L1.resid_pre"]}, "Read resid_post"),
    ({"read": ["projection L1.resid_post on \"w7\""], "edit": ["skip L0"]}, "changes the order of layers"),
])  # fmt: skip
def test_a_projection_that_cannot_be_read_is_refused(given: dict[str, list[str]], says: str) -> None:
    lab = corrupted_lab("llama")
    with pytest.raises(BadConfiguration, match=says):
        Intervene(**{"task": "twins", "n": N, "edit": ["zero L0.mlp"], **given}).check(lab.subject.sizes, lab.task)


def test_a_donor_obeys_its_rules_and_prompts_without_one_are_skipped() -> None:
    lab = corrupted_lab("llama", 80)
    rules = [("other", "subject"), ("other", "answer")]
    prompts, _ = prompts_with_donors(lab, (N, "explore", 0), [rules])
    by_text = {p.text: p for p in lab.task.source.stream("explore", 0)}
    for prompt, text in zip(prompts, donors_by_rule(lab, prompts, rules, 0), strict=True):
        own, other = values_of(prompt), values_of(by_text[text])
        assert own["subject"] != other["subject"]
        assert own["answer"] != other["answer"]
        assert (by_text[text].template, by_text[text].key != prompt.key) == (prompt.template, True)
    assert Lenders.of(lab, 0) is Lenders.of(lab, 0), "the pool is tokenized once"
    with pytest.raises(BadConfiguration, match="have a donor with same subject and same answer"):
        prompts_with_donors(lab, (N, "explore", 0), [[("same", "subject"), ("same", "answer")]])
    with pytest.raises(BadTask, match="No prompt has value 'b'"):
        Intervene(task="twins", n=N, edit=["patch L1.H0 from same b"]).run(lab)


def test_a_patch_by_rule_has_the_values_of_the_donor() -> None:
    lab, rules = corrupted_lab("llama", 80), [("other", "answer")]
    result = Intervene(task="twins", n=N, edit=["patch L1.resid_pre@last from other answer"]).run(lab)
    prompts, _ = prompts_with_donors(lab, (N, "explore", 0), [rules])
    texts = donors_by_rule(lab, prompts, rules, 0)
    wanted = [
        slow(
            "llama",
            p,
            p.text,
            given("L1.resid_pre", lambda k, p, t, text=text: values(k, text, "L1.resid_pre"), "last"),
        )
        - intact("llama", p, p.text)
        for p, text in zip(prompts, texts, strict=True)
    ]
    assert effect(result, "edited").value == pytest.approx(sum(wanted) / N, abs=2e-4)


def test_controls_are_the_same_edits_at_other_places() -> None:
    result = Intervene(task="twins", n=N, edit=["patch L1.H2@last from corrupted", "zero L1.mlp"], controls=8).run(
        corrupted_lab("llama")
    )
    assert result["control_rank"].n == 9
    assert result["percentile"].value <= 100


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ablate L1.H0", "does not begin with an edit. Use zero, mean"),
        ("zero", "cannot be read. Write zero as 'zero L5.H3'"),
        ("zero L9.H0", "There is no layer 9. This model has 3 layers, 0 to 2."),
        ("zero L1.H0 and L1.H1", "'and' in 'zero L1.H0 and L1.H1' is not a place"),
        ("zero L1.mlp except L1.mlp", "leaves no place to edit"),
        ("scale L1.H0", "Write scale as 'scale L5.H3 by 0.5'"),
        ("patch L1.H0 from Paris", "names no donor. After from, write corrupted, clean, a text in double quotes"),
        ('patch L1.H0 from "w5"@3', "has 1 tokens, so there is no token 3"),
        ('add L1.H0 along "w7"', "L1.H0 has no such direction"),
        ('add L1.mlp along "w7 w8"', "is not one token of tiny-llama, but 2"),
        ("cut L1.mlp from last to last", "must name heads"),
        ("repeat L1@last", "cannot be limited to positions"),
        ("swap L1", "must name two layers"),
        ("zero L1.q", "is not a place. Write a layer, or a part of it"),
        ("zero L1.H0@nowhere", "There are no positions 'nowhere'"),
    ],
)
def test_a_line_that_cannot_be_run_says_what_to_write(line: str, why: str) -> None:
    lab = corrupted_lab("llama")
    with pytest.raises(BadConfiguration) as fault:
        Intervene(task="twins", n=N, edit=[line]).run(lab)
    assert why in str(fault.value)
    assert "\n" not in str(fault.value)


def test_the_text_of_a_line_says_all_of_it() -> None:
    line = parse_line('  B: patch L3-4.H* L5.mlp@s2 except L3.H1 from "x by y from z"@-2 ')
    assert (line.name, line.verb, line.places, line.without) == ("B", "patch", ("L3-4.H*", "L5.mlp@s2"), ("L3.H1",))
    assert line.donor is not None
    assert (line.donor.text, line.donor.token) == ("x by y from z", -2)


def test_the_command_takes_lines_with_commas_and_a_file(tmp_path: Path) -> None:
    lines = ["A: zero L5.H3, L6.H1", "B: layers 0-4, 6-29"]
    config = configuration("intervene", {"edit": tuple(lines), "read": ("logit_diff", 'prob "a, b"')})
    assert config == {"edit": lines, "read": ["logit_diff", 'prob "a, b"']}
    command = command_of("intervene", Intervene(**config).config())
    assert command is not None
    assert "--edit 'A: zero L5.H3, L6.H1' --edit 'B: layers 0-4, 6-29'" in command
    written = tmp_path / "heads.yaml"
    written.write_text('edit:\n  - "zero L5.H3"\nread: [loss, text]\n')
    assert from_file(str(written)) == {"edit": ["zero L5.H3"], "read": ["loss", "text"]}
    for text, why in (("[1, 2]", "holds no configuration"), ("split: confirm", "names a split"), ("a: [", "neither")):
        written.write_text(text)
        with pytest.raises(click.UsageError, match=why):
            from_file(str(written))
