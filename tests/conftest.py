"""What all tests share: one thread per worker, nothing of the user's own surroundings, and what several look at."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lashley.db.read.reader import Reader
    from lashley.tests.webbed import Site
    from lashley.tests.wire import Wire
    from lashley.tools.report.render import Report

# Two workers with two threads each on two cores spend their time waiting for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MKL_NUM_THREADS"] = "1"

KEPT = ("LASHLEY_CACHE", "LASHLEY_DEVICE")
for name in list(os.environ):
    if name in ("OPENAI_API_KEY", "OPENAI_BASE_URL") or (name.startswith("LASHLEY_") and name not in KEPT):
        os.environ.pop(name)
# The settings of whoever runs the tests are none of theirs.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="lashley-no-settings-")
os.environ["HF_HUB_OFFLINE"] = "1"
# A shell in the background starts its programs deaf to Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """The bundled subject is loaded once per worker: nothing changes a subject, and a load takes seconds."""
    from lashley.experiments.model import loading
    from lashley.experiments.model.subject import Subject

    whole, kept = loading.load, dict[str, Subject]()

    def load(name: str, *more: Any, **named: Any) -> Subject:
        if name != "smollm2-135m" or more or named.keys() - {"progress"}:
            return whole(name, *more, **named)
        return kept.get(name) or kept.setdefault(name, whole(name))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load", load)
        yield


# What the tests of `agent web` look at, asked and clicked: a tracker whose every text would like to be markup.
@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lashley.tests.webbed import tracker

    return tracker(tmp_path_factory.mktemp("web") / "lashley.db")


@pytest.fixture(scope="module")
def site(db: Path) -> Iterator[Site]:
    from lashley.tests.webbed import serving

    with serving(db) as site:
        yield site


# What the tests of reports read: see `reported.study`.
@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    from lashley.db.read.reader import Reader
    from lashley.tests.reported import study

    with Reader.open(study(tmp_path_factory.mktemp("tracker") / "lashley.db")) as reader:
        yield reader


@pytest.fixture(scope="module")
def report(reader: Reader) -> Report:
    from lashley.tests.reported import SOURCE
    from lashley.tools.report.render import render

    return render(SOURCE, reader, 1)


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A real HTTP server that answers as it is told to."""
    from lashley.tests.wire import serving

    with serving() as server:
        yield server
