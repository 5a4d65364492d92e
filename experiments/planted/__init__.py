"""Subjects whose answer is known, since they were built with it."""
