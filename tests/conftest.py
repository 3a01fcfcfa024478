"""What holds for every test."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several workers that each take all cores are slower than one. This is read when torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
