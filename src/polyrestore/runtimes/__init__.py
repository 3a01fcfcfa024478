"""What runs a network with its adapters: one file for each engine that does the arithmetic."""
