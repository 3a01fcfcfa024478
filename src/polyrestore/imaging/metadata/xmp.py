"""XMP packets: kept byte for byte, but for what they say about old pixels and parts of the old file.

Specification: ISO 16684-1 (XMP), Part 3 for JPEG; Google's Motion Photo 1.0, Ultra HDR 1.1 and Dynamic Depth
1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias
from xml.dom import minidom
from xml.parsers.expat import ExpatError

_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_GOOGLE = "http://ns.google.com/photos/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_CAMERA = _GOOGLE + "1.0/camera/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

# Whole vocabularies that describe second pictures, videos and depths behind or inside the old file.
_FOREIGN_PARTS = {
    _GOOGLE + "1.0/container/": "the list of what lies behind the picture",
    "http://ns.adobe.com/hdr-gain-map/1.0/": "the description of a gain map",
    "http://ns.apple.com/HDRGainMap/1.0/": "the description of a gain map",
    "http://ns.apple.com/pixeldatainfo/1.0/": "the description of a depth map",
    "http://ns.apple.com/depthData/1.0/": "the description of a depth map",
    _GOOGLE + "1.0/depthmap/": "a depth map",
    _GOOGLE + "1.0/image/": "an earlier version of the picture",
    _GOOGLE + "1.0/audio/": "a sound",
    _GOOGLE + "dd/1.0/": "depth maps and their description",
}
_SINGLE_PARTS = {
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails"): "an XMP thumbnail of the old picture",
    ("http://purl.org/dc/terms/", "provenance"): "the reference to content credentials",
}
# As a tree, a packet takes tens of times its bytes.
_LARGEST_PARSED = 1 << 23
_MOTION = re.compile(r"(MicroVideo|MotionPhoto)\w*")
# These lie at places in the picture, which are others once it has been turned.
_PLACES = {
    ("http://www.metadataworkinggroup.com/schemas/regions/", "Regions"): "marked faces",
    ("http://ns.microsoft.com/photo/1.2/", "RegionInfo"): "marked faces",
    (_EXIF, "SubjectArea"): "the place of the subject",
    (_EXIF, "SubjectLocation"): "the place of the subject",
}
_PANORAMA = _GOOGLE + "1.0/panorama/"
_Node: TypeAlias = "minidom.Attr | minidom.Element"
_TELLTALES = re.compile(
    rb"Orientation|Image(?:Width|Length)|Pixel[XY]Dimension|Thumbnails|MicroVideo|MotionPhoto|Region|Subject"
    rb"|HasExtendedXMP|provenance|hdr-gain-map|ns\.google\.com|ns\.apple\.com"
)


@dataclass(frozen=True)
class CorrectedXmp:
    """An XMP packet that is true of the new file.

    Attributes:
        packet: the bytes; None when nothing could be kept.
        lost: what was taken out, in words.
    """

    packet: bytes | None
    lost: tuple[str, ...] = ()


def correct_xmp(
    packet: bytes, width: int, height: int, *, turned: bool, keeps_extension: bool = False
) -> CorrectedXmp:
    """Return a packet with the size and orientation of the new pixels, and without what describes old ones.

    A packet that says nothing of the kind stays byte for byte as it is.

    Args:
        packet: XML, with or without its ``xpacket`` wrapper.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        turned: True when the pixels were turned by their orientation.
        keeps_extension: True when the second part of the packet, in segments of its own, is kept.
    """
    # UTF-16 and UTF-32 are allowed; the names that are looked for are ASCII.
    if not _TELLTALES.search(packet.replace(b"\x00", b"")):
        return CorrectedXmp(packet)
    if len(packet) > _LARGEST_PARSED:
        return CorrectedXmp(None, (f"XMP of more than {_LARGEST_PARSED} bytes that describes old pixels",))
    if re.search(rb"<!\s*(DOCTYPE|ENTITY)", packet):
        return CorrectedXmp(None, ("XMP with a document type",))
    try:
        document = minidom.parseString(packet.strip(b"\x00"))
    except (ExpatError, ValueError, LookupError):
        return CorrectedXmp(None, ("damaged XMP that describes old pixels",))
    sizes = {
        (_TIFF, "Orientation"): "1",
        (_TIFF, "ImageWidth"): str(width),
        (_TIFF, "ImageLength"): str(height),
        (_EXIF, "PixelXDimension"): str(width),
        (_EXIF, "PixelYDimension"): str(height),
    }
    lost: list[str] = []
    changed = False
    for owner, node in list(_properties(document)):
        name = (node.namespaceURI or "", node.localName or "")
        if name in sizes:
            changed |= _set(node, sizes[name])
            continue
        if name == (_NOTE, "HasExtendedXMP"):
            what: str | None = None if keeps_extension else ""
        else:
            what = _untrue_part(*name, turned=turned)
        if what is not None:
            _remove(owner, node)
            changed = True
            lost += [what] if what else []
    if not changed:
        return CorrectedXmp(packet)
    text = "".join(child.toxml() for child in document.childNodes)
    return CorrectedXmp(text.encode("utf-8"), tuple(dict.fromkeys(lost)))


def describes_old_pixels(packet: bytes) -> bool:
    """Say whether the second part of a packet holds depths, pictures or sounds of the old file."""
    return bool(re.search(rb"ns\.google\.com|ns\.apple\.com|Thumbnails", packet))


def _untrue_part(namespace: str, name: str, *, turned: bool) -> str | None:
    """Return in words what a property was that is not true any more, None for others."""
    for prefix, what in _FOREIGN_PARTS.items():
        if namespace.startswith(prefix):
            return what
    if namespace == _CAMERA and _MOTION.fullmatch(name):
        return "the place of a video behind the picture"
    if (namespace, name) in _SINGLE_PARTS:
        return _SINGLE_PARTS[namespace, name]
    if turned and namespace == _PANORAMA:
        return "the place of the picture in a panorama"
    return _PLACES.get((namespace, name)) if turned else None


def _properties(
    document: minidom.Document,
) -> Iterator[tuple[minidom.Element, minidom.Attr | minidom.Element]]:
    """Yield the properties of the resource, each with the element that it hangs on."""
    for description in document.getElementsByTagNameNS(_RDF, "Description"):
        if not _is_outermost(description):
            continue
        attributes = description.attributes
        for index in range(attributes.length):
            attribute = attributes.item(index)
            if isinstance(attribute, minidom.Attr) and attribute.namespaceURI not in (None, _RDF, _XMLNS):
                yield description, attribute
        for child in description.childNodes:
            if isinstance(child, minidom.Element):
                yield description, child


def _is_outermost(description: minidom.Element) -> bool:
    parent = description.parentNode
    return isinstance(parent, minidom.Element) and (parent.namespaceURI, parent.localName) == (_RDF, "RDF")


def _set(node: _Node, value: str) -> bool:
    if isinstance(node, minidom.Attr):
        changed = node.value != value
        node.value = value
        return changed
    text = "".join(child.data for child in node.childNodes if isinstance(child, minidom.Text))
    if text == value:
        return False
    for child in list(node.childNodes):
        node.removeChild(child)
    document = node.ownerDocument
    assert document is not None
    node.appendChild(document.createTextNode(value))
    return True


def _remove(owner: minidom.Element, node: _Node) -> None:
    if isinstance(node, minidom.Attr):
        owner.removeAttributeNode(node)
    else:
        owner.removeChild(node)


_XMLNS = "http://www.w3.org/2000/xmlns/"
