"""Ids as people write them, and where the tracker is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lashley.db.errors import TrackerError
from lashley.db.ids import LETTERS, parse_id, show_id
from lashley.db.location import tracker_path


@given(st.sampled_from(sorted(LETTERS)), st.integers(0, 10**18 - 1), st.booleans())
def test_an_id_is_read_as_it_is_shown_in_any_case(what: str, number: int, lower: bool) -> None:
    shown = show_id(what, number)
    assert parse_id(f" {shown.lower() if lower else shown} ") == (what, number)


@pytest.mark.parametrize("text", ["", "E", "12", "X1", "E1.5", "E-1", "E1 E2", "E٣", "E" + "9" * 19, "E1\n; drop"])
def test_what_is_no_id_is_said_in_one_line(text: str) -> None:
    with pytest.raises(TrackerError) as error:
        parse_id(text)
    assert "E12" in str(error.value)
    assert "\n" not in str(error.value)


def test_the_path_is_the_option_then_the_variable_then_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASHLEY_DB", "~/studies.db")
    assert tracker_path("given.db") == Path("given.db")
    assert tracker_path() == Path.home() / "studies.db"
    monkeypatch.setenv("LASHLEY_DB", "")
    assert tracker_path() == Path("lashley.db")
