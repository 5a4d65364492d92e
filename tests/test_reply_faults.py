"""What docs/faults.md says of every odd reply is what happens, and nothing is lost by any."""

from __future__ import annotations

import pytest

from .reply_faults import APIS, FAULTS, PAGE, Fault, happens, table

ROWS = table(PAGE.read_text(encoding="utf-8"))
PERSISTENT = ("A web page with 200", "500")


# Each fault over one of the two APIs everywhere, over the other one in the long run of the tests.
ONCE = [
    pytest.param(fault, api, marks=() if (at + which) % 2 else pytest.mark.slow, id=f"{fault.name}-{api}")
    for at, fault in enumerate(FAULTS)
    for which, api in enumerate(APIS)
]


@pytest.mark.parametrize(("fault", "api"), ONCE)
def test_an_odd_reply_loses_nothing(fault: Fault, api: str) -> None:
    happened = happens(fault, api, for_ever=False)
    assert happened.words == ROWS[fault.name, api].once
    assert happened.notes.count("before") == 1
    assert happened.notes.count("after") == (happened.status == "finished")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=[] if f.name in PERSISTENT else [pytest.mark.slow]) for f in FAULTS],
    ids=lambda fault: fault.name,
)
def test_a_server_that_stays_odd_ends_nothing_badly(fault: Fault, api: str) -> None:
    happened = happens(fault, api, for_ever=True)
    assert happened.words == ROWS[fault.name, api].always
    assert happened.notes.count("before") == 1


def test_the_page_names_every_fault_and_no_other() -> None:
    assert set(ROWS) == {(fault.name, api) for fault in FAULTS for api in APIS}
