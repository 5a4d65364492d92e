# Made from the code by `make docs`; changes belong there.
import os

from . import errors as errors
from .agent.study.from_python import study as study
from .experiments.experiment import Experiment as Experiment
from .experiments.kinds.activation_patching import ActivationPatching as ActivationPatching
from .experiments.kinds.attention_entropy import AttentionEntropy as AttentionEntropy
from .experiments.kinds.attention_patterns import AttentionPatterns as AttentionPatterns
from .experiments.kinds.attribution_patching import AttributionPatching as AttributionPatching
from .experiments.kinds.baseline import Baseline as Baseline
from .experiments.kinds.block_influence import BlockInfluence as BlockInfluence
from .experiments.kinds.causal_scrubbing import CausalScrubbing as CausalScrubbing
from .experiments.kinds.causal_tracing import CausalTracing as CausalTracing
from .experiments.kinds.circuit_discovery import CircuitDiscovery as CircuitDiscovery
from .experiments.kinds.circuit_faithfulness import CircuitFaithfulness as CircuitFaithfulness
from .experiments.kinds.component_roles import ComponentRoles as ComponentRoles
from .experiments.kinds.direct_logit_attribution import DirectLogitAttribution as DirectLogitAttribution
from .experiments.kinds.embedding_map import EmbeddingMap as EmbeddingMap
from .experiments.kinds.free_run import FreeRun as FreeRun
from .experiments.kinds.head_ablation import HeadAblation as HeadAblation
from .experiments.kinds.head_composition import HeadComposition as HeadComposition
from .experiments.kinds.head_detectors import HeadDetectors as HeadDetectors
from .experiments.kinds.interchange import Interchange as Interchange
from .experiments.kinds.intervene import Intervene as Intervene
from .experiments.kinds.layer_program import LayerProgram as LayerProgram
from .experiments.kinds.linear_shortcut import LinearShortcut as LinearShortcut
from .experiments.kinds.logit_lens import LogitLens as LogitLens
from .experiments.kinds.minimal_set import MinimalSet as MinimalSet
from .experiments.kinds.mlp_ablation import MlpAblation as MlpAblation
from .experiments.kinds.neuron_ablation import NeuronAblation as NeuronAblation
from .experiments.kinds.ov_qk import OvQk as OvQk
from .experiments.kinds.path_patching import PathPatching as PathPatching
from .experiments.kinds.pruning_curve import PruningCurve as PruningCurve
from .experiments.kinds.saliency import Saliency as Saliency
from .experiments.kinds.self_repair import SelfRepair as SelfRepair
from .experiments.kinds.token_effects import TokenEffects as TokenEffects
from .experiments.kinds.tuned_lens import TunedLens as TunedLens
from .experiments.result import Result as Result
from .experiments.tasks.own import Prompt as Prompt
from .experiments.tasks.own import Task as Task
from .tools.python_api.found import Found as Found
from .tools.python_api.found import Logged as Logged
from .tools.python_api.model import Model as Model
from .tools.python_api.model import load as load
from .tools.python_api.notebook import Tracker as Tracker
from .tools.python_api.notebook import run as run
from .tools.python_api.raw import Activations as Activations
from .tools.python_api.raw import Edit as Edit
from .tools.python_api.study import Hypothesis as Hypothesis
from .tools.python_api.study import Study as Study

__version__: str
__all__ = [
    "ActivationPatching",
    "Activations",
    "AttentionEntropy",
    "AttentionPatterns",
    "AttributionPatching",
    "Baseline",
    "BlockInfluence",
    "CausalScrubbing",
    "CausalTracing",
    "CircuitDiscovery",
    "CircuitFaithfulness",
    "ComponentRoles",
    "DirectLogitAttribution",
    "Edit",
    "EmbeddingMap",
    "Experiment",
    "Found",
    "FreeRun",
    "HeadAblation",
    "HeadComposition",
    "HeadDetectors",
    "Hypothesis",
    "Interchange",
    "Intervene",
    "LayerProgram",
    "LinearShortcut",
    "Logged",
    "LogitLens",
    "MinimalSet",
    "MlpAblation",
    "Model",
    "NeuronAblation",
    "OvQk",
    "PathPatching",
    "Prompt",
    "PruningCurve",
    "Result",
    "Saliency",
    "SelfRepair",
    "Study",
    "Task",
    "TokenEffects",
    "Tracker",
    "TunedLens",
    "__version__",
    "errors",
    "load",
    "run",
    "study",
]

# Not in __all__: a star import would replace Python's own `open`.
def open(path: str | os.PathLike[str] | None = None) -> Tracker: ...
