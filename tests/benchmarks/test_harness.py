"""What the benchmarks share, and that all of them have it."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.harness import make_parser, run_reported, write_results
from polyrestore.errors import DataError

BENCHMARKS = [
    "backbones", "composition.__main__", "recognition", "settings", "engine", "test_sets",
    "weighting.__main__",
]  # fmt: skip


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_says_where_its_figures_go(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(SystemExit) as left:
        import_module(f"benchmarks.{name}").main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "--output" in shown
    assert "--name" in shown


def test_one_bundle_is_a_name_and_several_are_a_list() -> None:
    assert make_parser("First.\n\nMore.", "x").parse_args([]).bundle == "default"
    several = make_parser(None, "x", bundles=True, device=True).parse_args(["--bundle", "a", "--bundle", "b"])
    assert (several.bundle, several.device) == (["a", "b"], None)
    assert not hasattr(make_parser(None, "x", bundle=False).parse_args([]), "bundle")


def test_what_goes_wrong_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise DataError("no images\nin there")

    assert run_reported(fail) == 1
    assert capsys.readouterr().err == "error: no images in there\n"
    assert run_reported(lambda: None) == 0


def test_figures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    options = argparse.Namespace(output=tmp_path / "results", name="speed")
    write_results(options, {"seconds": 1.5})
    assert [path.name for path in options.output.iterdir()] == ["speed.json"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(options, {"seconds": float("nan")}, "# Speed\n")
    assert json.loads((options.output / "speed.json").read_text()) == {"seconds": 1.5}
    write_results(options, [], "# Speed\n")
    assert (options.output / "speed.md").read_text() == "# Speed\n"
