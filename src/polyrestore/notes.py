"""What of a file is not as it was: sentences for people, each with a code for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MEANINGS: dict[str, str] = {
    "alpha_lost": "alpha channel lost",
    "alpha_reduced": "alpha written as transparent or opaque",
    "behind_lost": "what lay behind the end of the picture lost",
    "bilevel_to_grey": "1-bit image written as 8-bit grey",
    "bits_reduced": "fewer bits per channel than before",
    "changed": "result changed after it had been written, kept as it is",
    "channels_kept": "channels beside colour and alpha left as they are",
    "channels_lost": "channels beside colour and alpha lost",
    "colour_meaning_lost": "how the colours are meant lost",
    "colours_converted": "colours converted to RGB",
    "colours_reduced": "fewer colours than the picture has",
    "comments_lost": "comments, XMP, IPTC or other descriptions lost",
    "crashed": "the process that restored it ended, twice",
    "end_missing": "the end of the file was missing, but none of the picture",
    "exif_lost": "EXIF lost",
    "frames_lost": "only the first frame used",
    "frames_undecoded": "frames of a video that could not be decoded left out",
    "grey_to_rgb": "grey image written as RGB",
    "hdr": "HDR video restored as if it were not",
    "name_differs": "the name's ending is not that of the content",
    "not_explained": "video restored without explaining it",
    "pages_lost": "reduced copies or masks of pages lost",
    "palette_expanded": "palette expanded to full colour",
    "parts_lost": "what describes old pixels, or is damaged or unknown, lost",
    "pixels_missing": "a small part of the picture was missing",
    "profile_lost": "colour profile lost",
    "range_scaled": "the range of the values taken for black to white",
    "raw_developed": "camera raw developed to 16-bit sRGB",
    "renamed": "written under another name",
    "resolution_lost": "resolution in dpi lost",
    "samples_reduced": "samples of a video written in fewer bits or with fewer colours",
    "storage": "not fetched from its store, or not brought to one",
    "streams_lost": "streams of a video that its new kind of file cannot hold lost",
    "timeout": "took longer than a file may",
    "times_rounded": "times of frames rounded to milliseconds",
    "timing_lost": "how long frames are shown lost",
    "uncertain": "may have a degradation that was not acted on",
    "unchanged": "nothing to restore, copied byte for byte",
    "unknown": "other notes, see the report",
    "video_cut": "the end of a video was missing, restored up to there",
}
"""What each code says of several files at once; codes never change their meaning, and none is used again."""


class Note(str):
    """A sentence about something that a reader should know, and the code of what it is about.

    Attributes:
        code: a key of :data:`MEANINGS`; of a note that a later version wrote, perhaps another.
    """

    __slots__ = ("code",)
    code: str

    def __new__(cls, code: str, sentence: str) -> Note:
        """Return the note.

        Args:
            code: a key of :data:`MEANINGS`.
            sentence: what is so with one file, without a full stop.
        """
        note = super().__new__(cls, sentence)
        note.code = code
        return note

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """Return what a copy is made from."""
        return self.code, str(self)

    def __repr__(self) -> str:
        """Return the note as code."""
        return f"Note({self.code!r}, {str(self)!r})"


class NoteCounts:
    """How many files have notes of each code, in memory that does not grow with the files."""

    def __init__(self) -> None:
        self._files: Counter[str] = Counter()
        self._sentence: dict[str, str | None] = {}

    def add(self, notes: Iterable[Note]) -> None:
        """Count the notes of one file."""
        for note in notes:
            # None stands for sentences that differ.
            if self._sentence.setdefault(note.code, str(note)) != note:
                self._sentence[note.code] = None
        self._files.update({note.code for note in notes})

    def files(self) -> dict[str, int]:
        """Return how many files have notes of each code."""
        return dict(sorted(self._files.items()))

    def lines(self) -> list[str]:
        """Return "3 files: EXIF lost" for each code, the most frequent first.

        What all of them say in the same words is said in those words.
        """
        ordered = sorted(self._files.items(), key=lambda entry: (-entry[1], entry[0]))
        return [
            f"{count} file{'s' * (count != 1)}: {self._sentence[code] or MEANINGS.get(code, code)}"
            for code, count in ordered
        ]
