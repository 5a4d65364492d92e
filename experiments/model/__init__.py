"""A subject: loading, checking and describing a causal language model, and copies of one that serve as controls."""
