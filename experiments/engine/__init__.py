"""One engine for every intervention.

A batch of prompts and many interventions go in; per intervention and prompt a readout comes out. The clean
pass runs once, each intervention enters at the layer it first touches with what was clean before, and the
runs travel on together, so that every layer is called once for all of them.

    forward      the model taken apart: embedding, blocks, head, with masks and rotary kept from one recording
    short        attention over a few dozen tokens
    clean_pass   the clean pass
    activations  what is kept of it, in memory or on disk
    sources      where edits take their values from: means, other prompts, other batches, given places and vectors
    pattern      attention patterns, seen and changed where they are made
    edits        what an edit does to a tensor
    readout      what is read from the logits
    narrowing    what of a run the readout does not listen to, for a quick look
    plan         which runs there are, and what they need
    memory       how many of them fit
    travel       runs on their way through the layers
    sweep        many interventions on one batch
    generate     greedy text under interventions
    gradients    first-order estimates of all edits from one backward pass
    edges        the same for one component's change on its way through another
    paths        one component read by another, with everything else held
    direct       what each component adds to the logits by itself
    lens         what the model would say if its layers ended here
    weights      what each head reads and writes, as matrices
"""

from .activations import Activations, CleanRun, StoredRun
from .clean_pass import read
from .direct import Direct, direct
from .edges import Edges, edge_attribution
from .generate import generate
from .gradients import attribution
from .lens import lens, streams
from .narrowing import narrowable
from .readout import Readout
from .sources import RowsOfSource, Source, mean_source, patch_source, places_source, resample_source, vector_source
from .sweep import run
from .weights import HeadWeights, head_weights, sought, unembedding, written

__all__ = [
    "Activations",
    "CleanRun",
    "Direct",
    "Edges",
    "HeadWeights",
    "Readout",
    "RowsOfSource",
    "Source",
    "StoredRun",
    "attribution",
    "direct",
    "edge_attribution",
    "generate",
    "head_weights",
    "lens",
    "mean_source",
    "narrowable",
    "patch_source",
    "places_source",
    "read",
    "resample_source",
    "run",
    "sought",
    "streams",
    "unembedding",
    "vector_source",
    "written",
]
