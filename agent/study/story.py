"""A study as steps, each with its decision and result, read from its conversation and its timeline."""

from __future__ import annotations

from collections.abc import Iterator

from ...db.records import Event, ExperimentSummary, Run


def steps_of(run: Run) -> Iterator[tuple[str, str, str, str]]:
    """Every step as (time, id, decision, result); a step that did two things gives two entries."""
    found = {e.id: e for e in run.experiments}
    answers: dict[int, str] = {}
    for turn in run.turns:
        if turn.role == "tool":
            answers.setdefault(turn.step, turn.content.get("text", ""))
    events = [row for row in run.timeline if row.what in ("experiment", "hypothesis", "note", "report")]
    # The page of the parent shows the steps that a fork shares with it.
    shared = run.forked_at or 0
    asked = [turn for turn in run.turns if turn.role == "assistant" and turn.step > shared]
    for event in events:
        if not asked or event.at < asked[0].created:
            yield _step(event.at, event, found, "")
    for place, turn in enumerate(asked):
        until = asked[place + 1].created if place + 1 < len(asked) else "~"
        own = [event for event in events if turn.created <= event.at < until]
        calls = ", ".join(call["name"] for call in turn.content.get("calls", ()))
        thought = on_one_line(turn.content.get("text") or "")
        if not own:
            yield turn.created, "", thought or calls, on_one_line(answers.get(turn.step, ""))
        for number, event in enumerate(own):
            step = _step(turn.created, event, found, calls)
            yield (*step[:2], (thought or step[2]) if number == 0 else "", step[3])


def _step(at: str, event: Event, experiments: dict[str, ExperimentSummary], calls: str) -> tuple[str, str, str, str]:
    name = event.id if event.what != "report" else ""
    e = experiments.get(name)
    if e is None:
        return at, name, calls or event.what, on_one_line(event.text or "")
    if e.status == "running":
        return at, name, on_one_line(e.reason or e.kind), "running …"
    outcome = e.found if e.status == "done" else f"{e.status}: {e.error or 'no result'}"
    return at, name, on_one_line(e.reason or e.kind), on_one_line(outcome or "")


def on_one_line(text: str) -> str:
    return " ".join(text.split())
