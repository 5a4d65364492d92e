"""The typed functions that a language model may call."""
