"""Recipes: what they may hold, and the batches that are made as they say."""
