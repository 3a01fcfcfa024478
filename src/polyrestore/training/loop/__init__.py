"""The loop that every phase trains in: steps, optimisers, checkpoints and the log."""
