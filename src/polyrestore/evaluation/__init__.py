"""Measuring how good a restoration is, each figure with the protocol it was computed by."""
