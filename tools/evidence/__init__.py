"""Evidence: what a number of an experiment is, what was predicted of it, and what the intervals say."""
