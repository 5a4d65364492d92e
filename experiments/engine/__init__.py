"""One engine for every intervention.

Its input is a batch of prompts and many interventions; its output is a readout per intervention and prompt. The clean
pass runs once, each intervention starts at the first layer that it changes with the clean activations before it, and
the runs continue together, so every layer is called once for all of them.

    forward      the model taken apart: embedding, blocks, head, with masks and rotary kept from one recording
    short        attention over a few dozen tokens
    clean_pass   the clean pass
    activations  the kept activations, in memory or on disk
    sources      the values for edits: means, other prompts, other batches, given positions and vectors
    pattern      reading and editing attention patterns where they are computed
    edits        applying an edit to a tensor
    readout      reading values from the logits
    narrowing    dropping the positions that the readout hardly depends on, for screens
    plan         the runs, and what they need
    memory       how many of them fit
    travel       running through the layers
    sweep        many interventions on one batch
    generate     greedy text under interventions
    gradients    first-order estimates of all edits from one backward pass
    from_layer   runs with gradients that begin at a layer
    edges        the same for what one part reads from another
    graph        the edges of a model, by name
    projections  which columns make a head's queries, keys and values
    writing      what each part writes, so that all of it adds up
    circuit_run  a model in which only some edges are intact
    paths        path patching: one component read by another, with everything else held
    direct       what each component adds directly to the logits
    lens         the model's prediction if it stopped at a layer
    weights      what each head reads and writes, as matrices
"""

from .activations import Activations, CleanRun, StoredRun
from .circuit_run import replaced, run_circuits, wiring
from .clean_pass import read
from .direct import Direct, direct
from .edges import edge_attribution
from .from_layer import FromLayer, from_layer
from .generate import generate
from .gradients import attribution
from .graph import Graph, ranked, top
from .lens import lens, streams
from .narrowing import narrowable
from .readout import Readout, StreamReadout
from .sources import RowsOfSource, Source, mean_source, patch_source, places_source, resample_source, vector_source
from .sweep import run
from .weights import HeadWeights, head_weights, sought, unembedding, written
from .writing import Written, written_in

__all__ = [
    "Activations",
    "CleanRun",
    "Direct",
    "FromLayer",
    "Graph",
    "HeadWeights",
    "Readout",
    "RowsOfSource",
    "Source",
    "StoredRun",
    "StreamReadout",
    "Written",
    "attribution",
    "direct",
    "edge_attribution",
    "from_layer",
    "generate",
    "head_weights",
    "lens",
    "mean_source",
    "narrowable",
    "patch_source",
    "places_source",
    "ranked",
    "read",
    "replaced",
    "resample_source",
    "run",
    "run_circuits",
    "sought",
    "streams",
    "top",
    "unembedding",
    "vector_source",
    "wiring",
    "written",
    "written_in",
]
