"""Reading and writing image files without losing what came with the pixels.

The names are loaded on first use: what files there are is known before torch is.
"""

from typing import TYPE_CHECKING

from polyrestore.lazy import load_on_use

if TYPE_CHECKING:
    from polyrestore.imaging.content import open_content, read_content, read_start, sniff_format
    from polyrestore.imaging.formats.registry import (
        FORMATS,
        READABLE_SUFFIXES,
        WRITABLE_SUFFIXES,
        format_named,
        writable_format,
    )
    from polyrestore.imaging.image import (
        DEFAULT_QUALITY,
        FormatDescription,
        Frame,
        Image,
        ImageMetadata,
        Quality,
    )
    from polyrestore.imaging.in_memory import read_pillow
    from polyrestore.imaging.page_files import encode_pages, holds_pages, write_pages
    from polyrestore.imaging.pages import Pages, open_pages
    from polyrestore.imaging.read import read_image, read_sizes
    from polyrestore.imaging.write import encode_image, require_quality, write_image

__all__ = [
    "DEFAULT_QUALITY",
    "FORMATS",
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "FormatDescription",
    "Frame",
    "Image",
    "ImageMetadata",
    "Pages",
    "Quality",
    "encode_image",
    "encode_pages",
    "format_named",
    "holds_pages",
    "open_content",
    "open_pages",
    "read_content",
    "read_image",
    "read_pillow",
    "read_sizes",
    "read_start",
    "require_quality",
    "sniff_format",
    "writable_format",
    "write_image",
    "write_pages",
]

_PLACES = {
    "DEFAULT_QUALITY": "polyrestore.imaging.image",
    "FORMATS": "polyrestore.imaging.formats.registry",
    "READABLE_SUFFIXES": "polyrestore.imaging.formats.registry",
    "WRITABLE_SUFFIXES": "polyrestore.imaging.formats.registry",
    "FormatDescription": "polyrestore.imaging.image",
    "Frame": "polyrestore.imaging.image",
    "Image": "polyrestore.imaging.image",
    "ImageMetadata": "polyrestore.imaging.image",
    "Pages": "polyrestore.imaging.pages",
    "Quality": "polyrestore.imaging.image",
    "encode_image": "polyrestore.imaging.write",
    "encode_pages": "polyrestore.imaging.page_files",
    "format_named": "polyrestore.imaging.formats.registry",
    "holds_pages": "polyrestore.imaging.page_files",
    "open_content": "polyrestore.imaging.content",
    "open_pages": "polyrestore.imaging.pages",
    "read_content": "polyrestore.imaging.content",
    "read_image": "polyrestore.imaging.read",
    "read_pillow": "polyrestore.imaging.in_memory",
    "read_sizes": "polyrestore.imaging.read",
    "read_start": "polyrestore.imaging.content",
    "require_quality": "polyrestore.imaging.write",
    "sniff_format": "polyrestore.imaging.content",
    "writable_format": "polyrestore.imaging.formats.registry",
    "write_image": "polyrestore.imaging.write",
    "write_pages": "polyrestore.imaging.page_files",
}

if not TYPE_CHECKING:
    __getattr__ = load_on_use(__name__, _PLACES)
