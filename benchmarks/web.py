"""What a page of `agent web` takes on a tracker of 10,000 experiments: from the request to the last byte, on loopback.

python -m benchmarks.web [--experiments 10000] [--no-write]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

from lashley.benchmarks.tracker import fill
from lashley.db.write.store import Store
from lashley.tests.recorded import RUN
from lashley.tests.webbed import Site, begin, serving, sweep

AIM = 0.5
PAGES = ("/", "/experiments", "/experiments?kind=head_ablation", "/experiments?status=running", "/hypotheses", "/notes",
         "/notes?q=heads", "/{run}", "/{one}", "/{other}", "/compare?one={one}&other={other}", "/N1", "/H1",
         "/{run}/live.json", "/lashley", "/lashley/experiments")  # fmt: skip


def large(path: Path, many: int) -> dict[str, str]:
    """So many experiments, and after them a run of two sweeps that cites and claims; its ids."""
    fill(path, many)
    with Store.open(path) as store:
        run = store.begin_run(**RUN)
        one, other = (begin(store, run, method, sweep(method)) for method in ("zero", "mean"))
        store.add_note(run, "Heads", f"E{one} and E{other}.", ["heads"], [one, other])
        store.add_report(run, f"# Heads\n\n{{{{E{one}.top}}}}\n\n{{{{E{one}.figure[heads]}}}}\n")
        store.finish_run(run, status="finished", spent={})
    return {"run": f"R{run}", "one": f"E{one}", "other": f"E{other}"}


def taken(site: Site, page: str, rounds: int) -> tuple[float, float]:
    """Seconds of the first request, which may draw figures, and the median of those after it."""
    times: list[float] = []
    for _ in range(rounds + 1):
        since = time.perf_counter()
        answer = site.get(page)
        times.append(time.perf_counter() - since)
        assert answer.status == 200, (page, answer.status)
    return times[0], statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the pages of `agent web` on a large tracker.")
    parser.add_argument("--experiments", type=int, default=10_000, help="how many the file holds")
    parser.add_argument("--rounds", type=int, default=5, help="how often each page is asked for, after the first time")
    parser.add_argument("--no-write", action="store_true", help="leave the file of results as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.db"
        ids = large(path, options.experiments)
        with serving(path) as site:
            rows = [
                f"| `{page}` | {first:.2f} s | {later:.2f} s | {AIM} s |"
                for page in (one.format(**ids) for one in PAGES)
                for first, later in [taken(site, page, options.rounds)]
            ]
    text = "\n".join(
        [
            "# The tracker in a browser",
            "",
            f"{options.experiments:,} experiments and {options.experiments // 10:,} notes. A page is measured "
            "from the request to its last byte: the first time, when figures are drawn, and the median of later times.",
            "",
            "| page | first | later | aim |",
            "|---|---|---|---|",
            *rows,
            "",
            f"{platform.machine()}, Python {platform.python_version()}. `python -m benchmarks.web` writes this page.",
        ]
    )
    print(text)
    if not options.no_write:
        (Path(__file__).parent / "WEB.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
