"""A video comes back with all but its pictures as it was, and what cannot be read is told in a line."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyrestore.errors import ImageError, MissingExtraError, OutputError
from polyrestore.video import joining, kinds, segments
from polyrestore.video.encoders import ENCODERS, choose_encoder, require_video_codec
from polyrestore.video.joining import FrameTimes
from polyrestore.video.reading import VideoReader
from tests.support.clips import decoded, make_clip, noisy, packets, scene
from tests.video.conftest import Restore

UNEVEN = [0, 40, 90, 100, 220, 260, 300, 345, 400, 480]


def codes(restored: Any) -> set[str]:
    return {note.code for note in restored.notes}


def test_times_sound_chapters_and_rotation_are_kept(restore: Restore, tmp_path: Path) -> None:
    import av

    source = make_clip(tmp_path / "a.mp4", 10, times=UNEVEN, rotation=90)
    restored = restore(source)
    assert restored.shots[0].weights
    made = tmp_path / "out" / "out.mp4"
    assert packets(made, "audio") == packets(source, "audio")
    before, after = decoded(source), decoded(made)
    assert after[0] == before[0] == UNEVEN
    assert after[2].rotation == before[2].rotation == 90
    with av.open(str(source)) as given, av.open(str(made)) as kept:
        assert kept.duration == given.duration
        assert kept.metadata["title"] == "a clip"
        assert kept.chapters()[0]["metadata"] == {"title": "first"}
    assert not np.array_equal(np.stack(before[1]), np.stack(after[1]))


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_ffprobe_sees_the_same_streams(restore: Restore, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", 8, rotation=-90)
    restore(source)
    own = ("bit_rate", "size", "filename", "extradata_size", "has_b_frames", "nb_read", "TAG:encoder")

    def seen(path: Path) -> list[str]:
        done = subprocess.run(
            ["ffprobe", "-v", "error", "-show_streams", "-show_format", path],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line for line in done.stdout.splitlines() if not line.startswith(own)]

    assert seen(tmp_path / "out" / "out.mp4") == seen(source)


@pytest.mark.parametrize(
    ("pixel_format", "tags"),
    [("yuv420p10le", (9, 16, 9, 1)), ("yuv444p", (1, 13, 1, 2)), ("yuvj420p", (5, 6, 5, 2))],
)
def test_depth_sampling_and_colour_tags_are_kept(
    restore: Restore, tmp_path: Path, pixel_format: str, tags: tuple[int, int, int, int]
) -> None:
    names = ("color_primaries", "color_trc", "colorspace", "color_range")
    settings = {**dict(zip(names, tags, strict=True)), "sample_aspect_ratio": Fraction(4, 3)}
    source = make_clip(tmp_path / "a.mkv", 3, pixel_format=pixel_format, settings=settings)
    restored = restore(source, "out.mkv")
    facts, made = VideoReader(source).facts(), VideoReader(tmp_path / "out" / "out.mkv").facts()
    assert made.samples == facts.samples == restored.facts.samples
    assert made.colour_tags == facts.colour_tags == tags
    assert made.pixel_aspect == Fraction(4, 3)
    assert ("hdr" in codes(restored)) == (tags[1] == 16)


def test_a_strength_of_0_and_clean_shots_change_no_sample(restore: Restore, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", 4, sound=False)
    assert codes(restore(source, "same.mkv", strength=0)) == {"unchanged"}
    assert (tmp_path / "out" / "same.mkv").read_bytes() == source.read_bytes()
    assert codes(restore(source, "other.mov", strength=0)) == set()
    kept = restore(source, "exact.mkv", codec="ffv1", as_="noise=1", strength=1e-6)
    assert codes(kept) == set()
    assert np.array_equal(np.stack(decoded(tmp_path / "out" / "exact.mkv")[1]), np.stack(decoded(source)[1]))


def test_each_shot_has_its_composition_and_is_timed(restore: Restore, tmp_path: Path) -> None:
    frames = noisy(scene(1), 10) + noisy(scene(2), 10)
    restored = restore(make_clip(tmp_path / "a.mp4", frames, sound=False))
    assert [(shot.start, shot.stop) for shot in restored.shots] == [(0, 10), (10, 20)]
    assert restored.times_s == pytest.approx((0, 0.4, 0.8))
    weights = [shot.weights for shot in restored.shots]
    mean = restored.mean_weights()
    assert mean.keys() == weights[0].keys() | weights[1].keys()
    assert sum(mean.values()) == pytest.approx(1)


def test_a_static_scene_does_not_flicker(restore: Restore, tmp_path: Path) -> None:
    restore(
        make_clip(tmp_path / "a.mkv", noisy(scene(level=40), 16, 20), sound=False), "out.mkv", codec="ffv1"
    )
    levels = [float(frame.mean()) for frame in decoded(tmp_path / "out" / "out.mkv")[1]]
    assert max(levels) - min(levels) < 0.3 + 0.5


def test_what_a_container_cannot_hold_is_told(restore: Restore, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", 3)
    restored = restore(source, "out.webm", codec="libvpx-vp9")
    assert codes(restored) == {"streams_lost"}
    assert packets(tmp_path / "out" / "out.webm", "audio") == []
    assert len(decoded(tmp_path / "out" / "out.webm")[0]) == 3
    ten = make_clip(tmp_path / "ten.mkv", 2, pixel_format="yuv422p10le", sound=False)
    assert codes(restore(ten, "few.mp4", codec="mpeg4")) == {"samples_reduced"}


def test_times_that_milliseconds_cannot_hold_are_told(tmp_path: Path) -> None:
    facts = VideoReader(make_clip(tmp_path / "a.mp4", 1, sound=False)).facts()
    thirds = replace(facts, time_base=Fraction(1, 30))
    for container, expected in (("matroska", ["times_rounded"]), ("mp4", [])):
        assert [
            note.code for note in joining._notes([], container, thirds, FrameTimes([0, 1], [1, 1]))
        ] == expected
    assert joining._notes([], "matroska", thirds, FrameTimes([0, 3], [3, 3])) == ()


def test_a_video_that_is_cut_is_restored_as_far_as_it_goes(restore: Restore, tmp_path: Path) -> None:
    frames = noisy(scene(), 24, 30)
    source = make_clip(tmp_path / "a.mp4", frames, container_options={"movflags": "faststart"})
    content = source.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) * 6 // 10])
    restored = restore(cut)
    count = len(decoded(tmp_path / "out" / "out.mp4")[0])
    assert 4 < count < 24
    assert "video_cut" in codes(restored)
    assert any("of 1.0 s" in note for note in restored.notes)
    cut.write_bytes(content[:200])
    with pytest.raises(ImageError, match=r"cut\.mp4: not a readable video|holds no video"):
        restore(cut)


def test_no_sound_and_odd_sizes(restore: Restore, tmp_path: Path) -> None:
    restore(make_clip(tmp_path / "a.mp4", 2, sound=False))
    assert packets(tmp_path / "out" / "out.mp4", "audio") == []
    odd = [np.ascontiguousarray(frame[:37, :51]) for frame in noisy(scene(), 2)]
    source = make_clip(tmp_path / "odd.mkv", odd, codec="ffv1", sound=False)
    restore(source, "odd.mkv")
    assert decoded(tmp_path / "out" / "odd.mkv")[1][0].shape == (37, 51, 3)
    with pytest.raises(OutputError, match="libx264 takes no odd sizes such as 51x37"):
        restore(source, "odd.mp4", codec="libx264")


def test_sizes_that_change_are_refused(restore: Restore, tmp_path: Path) -> None:
    parts = [
        make_clip(
            tmp_path / f"{number}.ts", noisy(scene(size_px=size), 3), codec="mpeg2video", sound=False
        ).read_bytes()
        for number, size in enumerate([(64, 48), (80, 64)])
    ]
    joined = tmp_path / "a.ts"
    joined.write_bytes(b"".join(parts))
    with pytest.raises(
        ImageError, match=r"a\.ts: its size changes from 64x48 to 80x64 at frame \d; split it"
    ):
        restore(joined)


def test_interlaced_videos_are_refused(restore: Restore, tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "a.ts", 3, codec="mpeg2video", options={"flags": "+ildct+ilme"}, sound=False
    )
    with pytest.raises(ImageError, match=r"a\.ts: interlaced, and only whole frames are restored"):
        restore(source)


def test_what_is_no_video_or_holds_no_frame_is_refused(restore: Restore, tmp_path: Path) -> None:
    junk = tmp_path / "a.mp4"
    junk.write_bytes(b"no video at all" * 30)
    with pytest.raises(ImageError, match="not a readable video"):
        restore(junk)
    with pytest.raises(ImageError, match="not a readable video"):
        restore(tmp_path / "missing.mp4")
    alone = make_clip(tmp_path / "b.mkv", 2)
    _keep_sound_only(alone, tmp_path / "sound.mka")
    with pytest.raises(ImageError, match="holds no video, but audio"):
        restore(tmp_path / "sound.mka")
    _keep_head_only(make_clip(tmp_path / "c.mkv", 2, sound=False))
    with pytest.raises(ImageError, match="holds no frame that can be decoded|not a readable video"):
        restore(tmp_path / "c.mkv")


def _keep_sound_only(source: Path, target: Path) -> None:
    import av

    with av.open(str(source)) as given, av.open(str(target), "w", format="matroska") as made:
        copy = made.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(given.streams.audio[0]):
            if packet.size:
                packet.stream = copy
                made.mux(packet)


def _keep_head_only(path: Path) -> None:
    content = path.read_bytes()
    # The first cluster begins here, in which all frames are.
    path.write_bytes(content[: content.index(b"\x1fC\xb6u")])


def test_pixel_formats_and_codecs_that_are_not_known_are_refused(restore: Restore, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", 2, codec="ffv1", pixel_format="yuva420p", sound=False)
    with pytest.raises(ImageError, match="its pixel format is yuva420p; restored are yuv420p"):
        restore(source)
    with pytest.raises(OutputError, match="unknown video codec 'x264'; did you mean 'libx264'"):
        require_video_codec("x264", None)
    for name, quality in (("libx264", 52), ("ffv1", 3), (None, -1)):
        with pytest.raises(OutputError, match="quality"):
            require_video_codec(name, quality)
    with pytest.raises(OutputError, match="libx264 does not go into webm; take mp4, mov, matroska"):
        choose_encoder("libx264", "webm", "yuv420p", (64, 48))


def test_encoders_are_chosen_by_what_they_hold() -> None:
    assert choose_encoder(None, "mp4", "yuv420p", (64, 48)).name == "libx264"
    assert choose_encoder(None, "webm", "yuv444p", (64, 48)).name == "libvpx-vp9"
    assert choose_encoder(None, "webm", "yuv420p10le", (64, 48)).name == "libsvtav1"
    assert choose_encoder(None, "matroska", "yuv420p10le", (63, 48)).name == "ffv1"
    assert ENCODERS["mpeg4"].options_for(4)["global_quality"] == "472"
    assert ENCODERS["libx264"].options_for(None)["crf"] == "17"
    assert ENCODERS["mpeg4"].stored_format("yuv422p10le") == "yuv420p"


@pytest.mark.parametrize("codec", ["libx265", "libvpx-vp9", "libsvtav1", "mpeg4"])
def test_every_encoder_gives_a_frame_for_a_frame(restore: Restore, tmp_path: Path, codec: str) -> None:
    source = make_clip(tmp_path / "a.mp4", 5)
    restore(source, codec=codec, strength=0.5)
    assert decoded(tmp_path / "out" / "out.mp4")[0] == decoded(source)[0]


def test_without_the_library_the_extra_is_named(
    restore: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "a.mp4", 2)
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"a\.mp4: .* needs PyAV: pip install 'polyrestore\[video\]'"):
        restore(source)


def test_a_full_disk_is_told_and_what_is_finished_goes_on(
    restore: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(segments, "SEGMENT_FRAMES", 4)
    monkeypatch.setattr("polyrestore.video.restoring.SEGMENT_FRAMES", 4)
    source = make_clip(tmp_path / "a.mkv", noisy(scene(), 12, 40), sound=False)
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    done = []

    def on_frame(number: int, total: int) -> None:
        done.append(number)
        if number == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (300, most))

    try:
        with pytest.raises(OutputError, match=f"cannot write .*: {_said(errno.EFBIG)}"):
            restore(source, "out.mkv", on_frame=on_frame)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    kept = tmp_path / ".kept"
    assert [path.name for path in sorted(kept.iterdir())] == ["000000.mkv", "plan.json"]
    assert json.loads((kept / "plan.json").read_text())["plan"]["shots"]
    done.clear()
    restore(source, "out.mkv", on_frame=lambda number, total: done.append(number))
    assert done == list(range(5, 13))
    assert decoded(tmp_path / "out" / "out.mkv")[0] == decoded(source)[0]


def _said(code: int) -> str:
    import os

    return os.strerror(code)
