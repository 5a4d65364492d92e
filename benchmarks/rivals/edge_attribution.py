"""EAP and EAP-IG of the authors of EAP-IG (2403.17806), as CircuitKIT ships it, on the weights of a GPT-2.

Called by `benchmarks.edge_attribution` in an environment with transformer-lens 3.8.0, ordered-set, networkx, matplotlib
and, without its dependencies, circuitkit 0.2.0:

    python edge_attribution.py FOLDER GIVEN.npz FOUND.npz

GIVEN has ids [batch, position] of the prompts and of the corrupted ones, the pair of tokens [batch, 2], and the steps.
"""

import sys
import time

import numpy as np
import torch
from circuitkit.backends.eap import attribute
from circuitkit.backends.eap.graph import Graph
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformers import AutoModelForCausalLM


def hooked(folder: str) -> HookedTransformer:
    """The model by its weights, since there is no hub to ask."""
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    c, state = theirs.config, theirs.state_dict()
    d_head = c.n_embd // c.n_head
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=c.n_layer,
            d_model=c.n_embd,
            n_ctx=c.n_positions,
            d_head=d_head,
            n_heads=c.n_head,
            d_mlp=c.n_inner or 4 * c.n_embd,
            act_fn="gelu_new",
            d_vocab=c.vocab_size,
            normalization_type="LN",
            eps=c.layer_norm_epsilon,
            use_attn_result=True,
            use_split_qkv_input=True,
            use_hook_mlp_in=True,
            device="cpu",
            default_prepend_bos=False,
        )
    )
    made = {
        "embed.W_E": state["transformer.wte.weight"], "pos_embed.W_pos": state["transformer.wpe.weight"],
        "ln_final.w": state["transformer.ln_f.weight"], "ln_final.b": state["transformer.ln_f.bias"],
        "unembed.W_U": state["lm_head.weight"].T, "unembed.b_U": torch.zeros(c.vocab_size),
    }  # fmt: skip
    for i in range(c.n_layer):
        here, there = f"transformer.h.{i}.", f"blocks.{i}."
        weights, biases = (state[f"{here}attn.c_attn.{part}"].split(c.n_embd, -1) for part in ("weight", "bias"))
        for name, weight, bias in zip("QKV", weights, biases, strict=True):
            made[f"{there}attn.W_{name}"] = weight.unflatten(1, (c.n_head, d_head)).transpose(0, 1)
            made[f"{there}attn.b_{name}"] = bias.unflatten(0, (c.n_head, d_head))
        made[f"{there}attn.W_O"] = state[f"{here}attn.c_proj.weight"].unflatten(0, (c.n_head, d_head))
        made[f"{there}attn.b_O"] = state[f"{here}attn.c_proj.bias"]
        for ours, its in (("ln1", "ln_1"), ("ln2", "ln_2")):
            made[f"{there}{ours}.w"], made[f"{there}{ours}.b"] = (state[f"{here}{its}.{p}"] for p in ("weight", "bias"))
        for ours, its in (("in", "c_fc"), ("out", "c_proj")):
            made[f"{there}mlp.W_{ours}"], made[f"{there}mlp.b_{ours}"] = (
                state[f"{here}mlp.{its}.{p}"] for p in ("weight", "bias")
            )
    missing, more = model.load_state_dict(made, strict=False)
    assert not more, more
    assert all("mask" in name or "IGNORE" in name for name in missing), missing
    return model


def main() -> None:
    folder, given_at, found_at = sys.argv[1:]
    given = np.load(given_at)
    clean, corrupted, pair = (torch.from_numpy(given[name]) for name in ("clean", "corrupted", "pair"))
    model, mask = hooked(folder), torch.ones_like(clean)
    # It takes texts; here are the tokens.
    lengths = torch.full((len(clean),), clean.shape[1])
    attribute.tokenize_batch_pair = lambda *_, **__: (clean, corrupted, mask, mask, lengths, clean.shape[1])
    rows = [str(i) for i in range(len(clean))]

    def metric(logits, clean_logits, input_lengths, label):
        found = logits[:, -1].gather(-1, pair)
        return (found[:, 0] - found[:, 1]).sum()

    graph = Graph.from_model(model)
    found, seconds = {}, {}
    ways = {"eap": lambda: attribute.get_scores_eap(model, graph, [(rows, rows, pair)], metric, quiet=True),
            "eap_ig": lambda: attribute.get_scores_eap_ig(model, graph, [(rows, rows, pair)], metric,
                                                         steps=int(given["steps"]), quiet=True)}  # fmt: skip
    for name, way in ways.items():
        way()
        times = []
        for _ in range(int(given["rounds"])):
            start = time.perf_counter()
            found[name] = way().detach().numpy()
            times.append(time.perf_counter() - start)
        seconds[name] = sorted(times)[len(times) // 2]
    with torch.inference_mode():
        logits = model(clean)[:, -1].gather(-1, pair)
    np.savez(found_at, **found, logits=logits.numpy(), seconds=[seconds["eap"], seconds["eap_ig"]])


if __name__ == "__main__":
    main()
