"""Images that resemble damaged ones and with which nothing is wrong, drawn for training and measuring."""

from polyrestore.data.negatives.registry import NEGATIVES, draw_negative

__all__ = ["NEGATIVES", "draw_negative"]
