"""``polyrestore restore`` on videos: results, reports, going on, and one line for what cannot be done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polyrestore.bulk import one_video
from polyrestore.video import kinds, restoring, segments
from tests.support.clips import decoded, make_clip, noisy, packets, scene

ROOT = Path(__file__).parents[2]
Call = Callable[..., Any]


def lines(folder: Path) -> dict[str, Any]:
    found = map(json.loads, (folder / "report.jsonl").read_text().splitlines())
    return {Path(line["input"]).name: line for line in found}


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith((".video", ".part"))]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", noisy(scene(1), 8) + noisy(scene(2), 8))


def test_a_video_becomes_a_file_with_a_line_of_its_shots(call: Call, bundle: str, clip: Path) -> None:
    out = clip.with_name("out.mp4")
    outcome = call("restore", clip, "-o", out, "--bundle", bundle, "--as", "noise=0.7,rain=0.3")
    assert outcome.code == 0, outcome.err
    assert "1 found: 1 restored, 0 skipped, 0 failed" in outcome.out
    assert decoded(out)[0] == decoded(clip)[0]
    assert packets(out, "audio") == packets(clip, "audio")
    line = lines(clip.parent)["clip.mp4"]
    assert (line["output"], line["width"], line["height"]) == ("out.mp4", 64, 48)
    assert [shot["frames"] for shot in line["shots"]] == [8, 8]
    assert [shot["start_s"] for shot in line["shots"]] == [0, 0.32]
    assert line["shots"][1]["weights"] == {"noise": 0.7, "rain": 0.3}
    assert line["weights"] == pytest.approx({"noise": 0.7, "rain": 0.3})
    assert hidden(clip.parent) == []
    again = call("restore", clip, "-o", out, "--bundle", bundle, "--as", "noise=0.7,rain=0.3")
    assert "0 restored, 1 skipped" in again.out
    planned = call("restore", clip, "-o", out, "--bundle", bundle, "--as", "noise", "--dry-run", "--json")
    assert json.loads(planned.out)["files"][0]["action"] == "restore"


def test_videos_of_folders_are_restored_beside_images(
    call: Call, bundle: str, photographs: Path, tmp_path: Path
) -> None:
    make_clip(photographs / "one.mov", 2, rotation=90)
    make_clip(photographs / "two.avi", 4, codec="mpeg4", options={"bf": "2"}, sound=False)
    (photographs / "three.mkv").write_bytes(b"no video")
    out = tmp_path / "out"
    options = ("--bundle", bundle, "--as", "noise", "--explain", "--keep-times")
    outcome = call("restore", photographs, "-o", out, *options)
    assert outcome.code == 1
    assert "three.mkv: not a readable video" in outcome.err
    assert "5 found: 4 restored, 0 skipped, 1 failed" in outcome.out
    found = lines(out)
    assert found["two.avi"]["output"] == "two.mkv"
    assert set(found["two.avi"]["note_codes"]) == {"renamed", "not_explained"}
    assert len(decoded(out / "two.mkv")[0]) == 4
    assert (out / "one.mov").stat().st_mtime_ns == (photographs / "one.mov").stat().st_mtime_ns
    assert decoded(out / "one.mov")[2].rotation == 90


def test_without_the_library_videos_are_told_like_other_kinds(
    call: Call, bundle: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(photographs / "one.mp4", 2)
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    outcome = call("restore", photographs, "-o", tmp_path / "out", "--bundle", bundle, "--as", "noise")
    assert outcome.code == 0
    assert "1 file of another kind left out (1 .mp4)" in outcome.out
    named = call("restore", clip, "-o", tmp_path / "a.mp4", "--bundle", bundle)
    assert named.code == 1
    assert named.err.count("\n") == 1
    assert "needs PyAV: pip install 'polyrestore[video]'" in named.err


def test_no_file_is_lost_to_a_result(call: Call, bundle: str, clip: Path) -> None:
    content = clip.read_bytes()
    own = call("restore", clip, "-o", clip, "--bundle", bundle)
    assert own.code == 1
    assert "is an input and is not overwritten" in own.err
    assert clip.read_bytes() == content
    other = call("restore", clip, "-o", clip.with_name("a.avi"), "--bundle", bundle)
    assert other.code == 1
    assert "videos are not written as .avi; use .mp4, .m4v, .mov, .mkv or .webm" in other.err
    taken = clip.with_name("taken.mp4")
    taken.write_bytes(b"somebody's")
    refused = call("restore", clip, "-o", taken, "--bundle", bundle)
    assert refused.code == 1
    assert "is there already and no earlier run wrote it" in refused.err
    options = ("--bundle", bundle, "--strength", "0")
    assert call("restore", clip, "-o", taken, *options, "--overwrite").code == 0
    assert taken.read_bytes() == content
    second = make_clip(clip.with_name("second.mp4"), 1)
    kept = call("restore", second, "-o", taken, *options)
    assert kept.code == 1
    assert f"is the result of {clip}; name another file or allow overwriting" in kept.err
    codec = call("restore", clip, "-o", taken, "--bundle", bundle, "--video-codec", "x264")
    assert codec.code == 1
    assert "did you mean 'libx264'" in codec.err


def test_a_run_that_was_stopped_goes_on_to_the_same_file(
    call: Call, bundle: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (segments, restoring):
        monkeypatch.setattr(module, "SEGMENT_FRAMES", 5)
    whole = clip.with_name("whole.mp4")
    options = ("--bundle", bundle, "--as", "noise")
    assert call("restore", clip, "-o", whole, *options).code == 0
    begun: list[int] = []
    write = segments.SegmentFolder.write

    def stop_at_third(self: Any, number: int, *given: Any) -> None:
        begun.append(number)
        if number == 2 and len(begun) == 3:
            raise KeyboardInterrupt
        write(self, number, *given)

    monkeypatch.setattr(segments.SegmentFolder, "write", stop_at_third)
    out = clip.with_name("out.mp4")
    assert call("restore", clip, "-o", out, *options).code == 130
    assert not out.exists()
    assert len(hidden(clip.parent)) == 1
    assert call("restore", clip, "-o", out, *options).code == 0
    assert begun == [0, 1, 2, 2, 3]
    assert out.read_bytes() == whole.read_bytes()
    assert hidden(clip.parent) == []


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_process_leaves_no_result_and_its_segments(call: Call, bundle: str, clip: Path) -> None:
    out = clip.with_name("out.mp4")
    code = (
        "import sys\nfrom polyrestore.video import segments, restoring\n"
        "segments.SEGMENT_FRAMES = restoring.SEGMENT_FRAMES = 3\n"
        "from polyrestore.cli.main import main\nmain()"
    )
    arguments = ["restore", clip, "-o", out, "--bundle", bundle, "--as", "noise", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 200
        while not list(clip.parent.glob(".video-*/000000.mkv")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists() or process.returncode == 0
    assert call(*arguments).code == 0
    assert decoded(out)[0] == decoded(clip)[0]
    assert hidden(clip.parent) == []


def test_a_video_that_was_worked_on_since_is_kept(call: Call, bundle: str, clip: Path) -> None:
    out = clip.with_name("out.mp4")
    options = ("--bundle", bundle, "--strength", "0")
    assert call("restore", clip, "-o", out, *options).code == 0
    make_clip(out, 3)
    content = out.read_bytes()
    assert "1 file: the result was changed" in call("restore", clip, "-o", out, *options).out
    assert call("restore", clip, "-o", out, "--bundle", bundle, "--as", "noise").code == 1
    assert out.read_bytes() == content


def test_the_hidden_folder_has_a_name_of_its_own_for_each_result() -> None:
    names = {one_video._folder_of(Path(name)).name for name in ("a.mp4", "b.mp4", "x" * 250 + ".mp4")}
    assert len(names) == 3
    assert max(map(len, names)) < 40
