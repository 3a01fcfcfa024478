"""Descriptions beside the pixels: found in each format, set right, and written again or told."""
