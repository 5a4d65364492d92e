"""Reruns logged experiments and whole runs, and compares their measurements."""
