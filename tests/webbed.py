"""A tracker whose every text would like to be markup, and `agent web` over it as its own process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from lashley.db.write.store import Store
from lashley.experiments.kinds.head_ablation import HeadAblation
from lashley.experiments.result import Effect, Figure, Measurement, Result, Sample

from .recorded import ENVIRONMENT, RUN, recorded

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)> \"'&lt; {{7*7}} \x1b[31m\u202e E1"
SITES = [f"L{layer}.H{head}" for layer in range(12) for head in range(6)]
METHODS = ("zero", "mean")
REPORT = """# Which heads <b>add</b>

Without {{E6.top}} the logit difference changes by {{E6.effect[L3.H2]}}. [A link](javascript:alert())
<script>alert()</script>

{{E6.figure[heads]}}

{{E6.table}}
"""
CLAIMS = [{"sentence": "L3.H2 is <needed>: {{E6.effect[L3.H2]}}.", "conditions": ["E6.effect[L3.H2] < -0.5"]}]


def sweep(method: str) -> Result:
    """Every head of 12 layers, all of different effects, L3.H2 the strongest; under `mean` half of that."""
    share = 1.0 if method == "zero" else 0.5
    values = {site: share * (((7 * i) % 71) / 100 - 0.35) for i, site in enumerate(SITES)} | {"L3.H2": -4.0 * share}
    rows = [[values[f"L{layer}.H{head}"] for head in range(6)] for layer in range(12)]
    return Result(
        measurements=(Measurement(name="intact_logit_diff", value=5.25, low=3.0, high=7.5, n=16, unit="logits"),),
        effects=tuple(
            Effect(site=site, metric="logit_diff", value=value, low=value - 0.1, high=value + 0.1, n=16, p=0.01, q=0.02)
            for site, value in values.items()
        ),
        samples=(
            Sample(prompt=EVIL, expected=EVIL, said=" 5", changed=EVIL, condition="L3.H2", correct=True,
                   changed_correct=False, failure="off_by_one"),
        ),
        figures=(
            Figure(name="heads", kind="head_heatmap", title=f"Change <by> head ({method})", unit="logits", n=16,
                   data={"values": rows, "significant": [[True] * 6] * 12}),
            Figure(name="lens", kind="matrix", title="Lens", unit="probability", n=1,
                   data={"values": [[0.25, None]], "rows": [EVIL], "columns": ["␣When", EVIL], "row_label": "layer",
                         "column_label": "token", "texts": [["␣the", EVIL]], "scale": "sequential"}),
            Figure(name="layers", kind="layer_bars", title="Each layer", unit="logits", n=16,
                   data={"labels": ["L0", "L1"], "values": [0.125, -0.5], "low": [0, -1], "high": [0.5, 0]}),
            Figure(name="broken", kind="layer_bars", title="Broken", unit="logits", n=16,
                   data={"labels": ["L0"], "values": [0.1, 0.2]}),
        ),
        found=f"L3.H2 is the strongest site. {EVIL}",
    )  # fmt: skip


def tracker(path: Path) -> Path:
    """`recorded`, and R3: E6 and E7, a sweep under zero and under mean, every text of which is EVIL; N3, H3; E8 failed.
    R4 is a second opinion on R3."""
    recorded(path)
    with Store.open(path) as store:
        run = store.begin_run(**{**RUN, "goal": EVIL, "driver": "chat", "llm": EVIL})
        store.add_turn(run, 1, "assistant", {"text": EVIL, "calls": [{"id": "c", "name": EVIL, "arguments": EVIL}]})
        ids = [begin(store, run, method, sweep(method)) for method in METHODS]
        failed = begin(store, run, "resample", None)
        store.fail_experiment(failed, "BadTask", EVIL, 0.1)
        store.add_note(run, EVIL, f"What moves: {EVIL}", ["heads", EVIL], ids)
        hypothesis = store.add_hypothesis(run, EVIL, EVIL, EVIL)
        store.set_hypothesis_status(hypothesis, "refuted", EVIL, ids[:1])
        store.add_report(run, REPORT, CLAIMS)
        store.finish_run(run, status="finished", spent={"experiments": 3})
        review = store.begin_run(**{**RUN, "goal": "Second opinion on R3"}, reviews=run)
        store.finish_run(review, status="finished", spent={})
    return path


def begin(store: Store, run: int | None, method: Any, result: Result | None) -> int:
    kind = HeadAblation(model="tiny", n=16, method=method)
    number = store.begin_experiment(
        run=run, kind=kind.kind, model="tiny", task="arithmetic", split="explore", n=16, config=kind.config(),
        config_hash=kind.config_hash(), task_fingerprint="t1", code_version=EVIL, environment=ENVIRONMENT, reason=EVIL,
        subject={"name": "tiny", "fingerprint": "f1" * 8, "architecture": "llama", "anatomy": {"n_layers": 12}},
    )  # fmt: skip
    if result is not None:
        store.finish_experiment(number, result.model_dump(), 2.5, {"loss.npy": ("application/octet-stream", b"\1\2")})
    return number


class Answer(NamedTuple):
    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Site(NamedTuple):
    """A server of `agent web`: its address without the last slash, and its process."""

    url: str
    process: subprocess.Popen[str]

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """What is answered, whatever the status; a redirection is not followed."""
        asked = Request(self.url + path, method=method, headers=headers, data=b"x=1" if method == "POST" else None)
        try:
            with build_opener(_Stay).open(asked, timeout=60) as answer:
                return Answer(answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.headers.items()})
        except HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), {k.lower(): v for k, v in error.headers.items()})


@contextmanager
def serving(path: Path) -> Iterator[Site]:
    """`agent web` as somebody starts it, on a free port, until it is interrupted."""
    program = "import sys; sys.argv[0] = 'agent'; from lashley.agent.main import main; main()"
    words = [sys.executable, "-c", program, "web", "--port", "0", "--db", str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as on:
        try:
            assert on.stdout is not None
            first = on.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", first)
            assert address, first
            yield Site(address[0], on)
        finally:
            on.terminate()
