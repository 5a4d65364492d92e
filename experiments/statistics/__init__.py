"""Intervals, p-values and ranks of paired effects."""
