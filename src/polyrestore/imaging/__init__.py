"""Reading and writing image files without losing what came with the pixels."""

from polyrestore.imaging.image import FORMATS, READABLE_SUFFIXES, FormatDescription, Image, ImageMetadata
from polyrestore.imaging.read import read_image, sniff_format
from polyrestore.imaging.write import DEFAULT_QUALITY, write_image

__all__ = [
    "DEFAULT_QUALITY",
    "FORMATS",
    "READABLE_SUFFIXES",
    "FormatDescription",
    "Image",
    "ImageMetadata",
    "read_image",
    "sniff_format",
    "write_image",
]
