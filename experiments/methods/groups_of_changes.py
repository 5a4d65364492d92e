"""The setting by which a kind also gives its largest changes group by group; see `by_group`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

GroupsOfChanges = Annotated[str | None, Field(description="Groups, as in baseline, for the 3 largest changes.")]
