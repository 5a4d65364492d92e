"""The texts that a language model reads before it begins."""
