"""Intervals, p-values and ranks of paired effects."""

# The version of intervals and p-values: it changes when the same data give other numbers. Experiments log it.
# 1  percentile bootstrap with Student's tails, sign flip, max-T over the flips
# 2  intervals for skewed means, with a sign flip, min-p over the flips
VERSION = 2
