"""Many files: found, restored one after another, and accounted for."""
