"""Lashley: an autonomous research agent for the interpretability of language models."""

__version__ = "0.1.0"
