"""Reading and writing image files without losing what came with the pixels."""

from polyrestore.imaging.content import open_content, read_content, read_start, sniff_format
from polyrestore.imaging.image import FORMATS, READABLE_SUFFIXES, FormatDescription, Image, ImageMetadata
from polyrestore.imaging.pillow import read_pillow
from polyrestore.imaging.read import read_image
from polyrestore.imaging.write import DEFAULT_QUALITY, encode_image, write_image

__all__ = [
    "DEFAULT_QUALITY",
    "FORMATS",
    "READABLE_SUFFIXES",
    "FormatDescription",
    "Image",
    "ImageMetadata",
    "encode_image",
    "open_content",
    "read_content",
    "read_image",
    "read_pillow",
    "read_start",
    "sniff_format",
    "write_image",
]
