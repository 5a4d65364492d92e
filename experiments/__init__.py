"""What can be done to a model, and how it is measured."""

import os

# torch's threads wait for each other by spinning, long enough to take the processor from other programs: two
# processes slow each other several times over. A short spin is as fast on an idle machine, within the noise. OpenMP
# reads this once, when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
