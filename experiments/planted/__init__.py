"""Subjects whose answer is known, because they were built with it."""
