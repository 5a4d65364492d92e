"""What all tests share: one thread per worker, and nothing of the user's own surroundings."""

from __future__ import annotations

import os

# Two workers with two threads each on two cores spend their time waiting for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MKL_NUM_THREADS"] = "1"

for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LASHLEY_DB"):
    os.environ.pop(name, None)
os.environ["HF_HUB_OFFLINE"] = "1"
