"""Reading and writing image files without losing what came with the pixels."""

from polyrestore.imaging.content import open_content, read_content, read_start, sniff_format
from polyrestore.imaging.formats.registry import (
    FORMATS,
    READABLE_SUFFIXES,
    WRITABLE_SUFFIXES,
    writable_format,
)
from polyrestore.imaging.image import DEFAULT_QUALITY, FormatDescription, Image, ImageMetadata
from polyrestore.imaging.in_memory import read_pillow
from polyrestore.imaging.read import read_image, read_size
from polyrestore.imaging.write import encode_image, write_image

__all__ = [
    "DEFAULT_QUALITY",
    "FORMATS",
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "FormatDescription",
    "Image",
    "ImageMetadata",
    "encode_image",
    "open_content",
    "read_content",
    "read_image",
    "read_pillow",
    "read_size",
    "read_start",
    "sniff_format",
    "writable_format",
    "write_image",
]
