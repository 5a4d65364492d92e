"""A second opinion on a study: the tools of the reviewer, and what its tests say of each claim."""
