"""Restoring photographs: recognise, compose, plan tiles, run the backbone, blend."""
