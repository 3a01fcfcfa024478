"""File formats: each in a module of its own, and with one line in the registry."""
