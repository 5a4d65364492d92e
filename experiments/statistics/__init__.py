"""Intervals, p-values and ranks of paired effects."""

# Which intervals and p-values: another number says that the same changes give others. An experiment is logged with it.
# 1  percentile bootstrap with Student's tails, sign flip, max-T over the flips
# 2  intervals for skewed means, sign flip beside them, min-p over the flips
VERSION = 2
