"""A study that most tests of reports read, its writer's text, and what a browser makes of a page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from lashley.db.write.store import Store
from lashley.experiments.result import Effect, Figure, Measurement, Note, Result, Sample

ENVIRONMENT = {"python": "3.11", "torch": "2.13.0", "threads": 2}
SUBJECT = {"name": "smollm2-135m", "fingerprint": "ab12" * 16, "architecture": "llama", "anatomy": {"layers": 30}}
SOURCE = """# How SmolLM2 adds

The intact model answers {{E1.accuracy}} of the questions. Without {{E2.top}} the loss rises by
{{E2.effect[L7.H3]}}; layer 7 matters most, and H1 is **{{H1.status}}**.

## What was seen

{{E2.figure}}

{{E2.table}}
"""


def sweep(say: str = " 7") -> Result:
    """What a small head sweep finds; `say` is the damaged model's answer."""
    effects = [
        ("L7.H3", 0.3125, 0.22, 0.4, 1e-4),
        ("L0.H1", -0.5, -0.6, -0.4, 0.001),
        ("L2.H0", 0.01, -0.02, 0.03, 0.7),
    ]
    return Result(
        measurements=(
            Measurement(name="accuracy_drop", value=0.31, low=0.22, high=0.4, n=32),
            Measurement(name="loss", value=1.5, unit="nats"),
        ),
        effects=tuple(
            Effect(
                site=site, metric=metric, value=value * scale, low=low * scale, high=high * scale, n=32, p=p, q=2 * p
            )
            for metric, scale in (("answer_loss", 1), ("logit_diff", -2))
            for site, value, low, high, p in effects
        ),
        samples=(
            Sample(
                prompt="2 + 3 =", expected=" 5", said=" 5", changed=say, condition="L7.H3 zero", failure="off_by_one"
            ),
        ),
        figures=(
            Figure(
                name="heads",
                kind="head_heatmap",
                title="Effect of each head",
                unit="nats",
                n=32,
                data={"values": [[0.1, None], [-0.3, 0.2]], "significant": [[True, False], [False, False]]},
            ),
            Figure(
                name="failures",
                kind="pie",
                title="How answers fail",
                unit="answers",
                n=32,
                data={"labels": ["off_by_one", "incomplete"], "counts": [3, 1]},
            ),
        ),
        found="L0.H1 is the strongest site.\nTwo of three sites have q < 0.05.",
        notes=(Note(code="zero", text="Zero ablation leaves the distribution that the model was trained on."),),
    )


def add(store: Store, run: int, kind: str, result: Result | None, *, error: str = "", **config: Any) -> int:
    config = {"kind": kind, "task": "arithmetic", "split": "explore", "n": 32, "seed": 2026, **config}
    experiment = store.begin_experiment(
        run=run,
        kind=kind,
        model="smollm2-135m",
        task=config["task"],
        split=config["split"],
        n=config["n"],
        config=config,
        config_hash=str(sorted(config.items())),
        subject=SUBJECT,
        task_fingerprint="t1",
        code_version="0.1.0",
        environment=ENVIRONMENT,
        reason="to see which heads matter",
    )
    if error:
        store.fail_experiment(experiment, "BadConfiguration", error, 0.1)
    elif result is not None:
        store.finish_experiment(experiment, result.model_dump(), 2.5)
    return experiment


def study(path: Path, *, goal: str = "Which heads add?", driver: str = "autopilot", say: str = " 7") -> Path:
    """A run R1 with E1 (baseline), E2 (sweep), E3 (failed), E4 (unfinished), E5 (E2 again), H1 and H2; E6 is of R2."""
    with Store.open(path) as store:
        about: dict[str, Any] = {"model": "smollm2-135m", "task": "arithmetic", "seed": 0, "budget": {}}
        llm = None if driver == "autopilot" else "gpt-9"
        run = store.begin_run(goal=goal, driver=driver, llm=llm, environment=ENVIRONMENT, **about)
        accuracy = Measurement(name="accuracy", value=0.9375, low=0.84, high=1.0, n=32)
        add(store, run, "baseline", Result(measurements=(accuracy,), found="The model can do it."))
        two = add(store, run, "head_ablation", sweep(say), method="zero", sites=["L7.H3"], options={"depth": 2})
        add(store, run, "head_ablation", None, error="There is no layer 99.", method="zero", sites=["L99.H3"])
        add(store, run, "layer_program", None)
        add(store, run, "head_ablation", sweep(), method="zero", sites=["L7.H3"], options={"depth": 2})
        supported = store.add_hypothesis(run, "One head <adds>.", "It copies | digits.", "Its effect is below 0.1.")
        store.set_hypothesis_status(supported, "supported", "It does.", [two])
        refuted = store.add_hypothesis(run, "Layers do not matter.", "", "")
        store.set_hypothesis_status(refuted, "refuted", "They do.", [two])
        other = store.begin_run(goal="Another", driver="chat", llm="gpt-9", environment=ENVIRONMENT, **about)
        add(store, other, "baseline", Result(found="Elsewhere."))
    return path


class Page(HTMLParser):
    """The tags, addresses and ids of a page; it fails on a tag that is closed out of turn."""

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        self.ids += [value for value in [values.get("id")] if value]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        if tag == "a":
            assert self.open.count("a") == 1, "a link inside a link"
            self.links.append(values)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
