import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyrestore.backbones import BACKBONES
from polyrestore.bundles import load_bundle
from polyrestore.cli.main import run
from polyrestore.errors import PluginError
from polyrestore.plugins import load_plugin
from polyrestore.training.weighting import WEIGHTINGS

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "plain_network.py"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for registry in (BACKBONES, WEIGHTINGS):
        for name in list(registry):
            monkeypatch.setitem(registry, name, registry[name])
    yield
    for registry in (BACKBONES, WEIGHTINGS):
        registry.pop("plain", None)
    for name in [name for name in sys.modules if name.startswith("polyrestore_plugin_")]:
        del sys.modules[name]


def test_the_example_trains_adapts_and_restores(tmp_path: Path) -> None:
    plugin = ["--plugin", str(EXAMPLE)]
    recipe, out = str(ROOT / "recipes" / "quick.toml"), tmp_path / "out"
    settings = ["backbone=plain", "backbone_options={ width = 8, depth = 2 }", "joint_rank=0", "steps=3"]
    changes = [part for setting in settings for part in ("--set", setting)]
    assert run([*plugin, "train", recipe, "-o", str(out), *changes]) == 0
    assert load_bundle(str(out / "bundle")).backbone.options == {"width": 8, "depth": 2}
    photograph = ROOT / "examples" / "photographs" / "coffee.png"
    restored = tmp_path / "restored"
    command = ["restore", str(photograph), "-o", str(restored), "--bundle", str(out / "bundle")]
    assert run([*plugin, *command]) == 0
    assert (restored / "coffee.png").stat().st_size > 0
    assert run([*plugin, "train", recipe, "-o", str(tmp_path / "tiny"), "--tiny", *changes]) == 0


def test_a_bundle_of_an_unknown_network_is_refused_without_the_plugin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = str(ROOT / "recipes" / "quick.toml"), tmp_path / "out"
    changes = ["--set", "backbone=plain", "--set", "joint_rank=0", "--tiny"]
    assert run(["--plugin", str(EXAMPLE), "train", recipe, "-o", str(out), *changes]) == 0
    BACKBONES.pop("plain")
    capsys.readouterr()
    assert (
        run(
            [
                "restore",
                str(EXAMPLE.parent / "photographs"),
                "-o",
                str(tmp_path),
                "--bundle",
                str(out / "bundle"),
            ]
        )
        == 1
    )
    assert "plain" in capsys.readouterr().err


def test_a_plugin_is_run_once(tmp_path: Path) -> None:
    path = tmp_path / "counting.py"
    path.write_text(f"open({str(tmp_path / 'runs')!r}, 'a').write('x')\n")
    load_plugin(path)
    load_plugin(path)
    assert (tmp_path / "runs").read_text() == "x"


def test_missing_and_failing_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PluginError, match="no Python file"):
        load_plugin(tmp_path / "absent.py")
    (tmp_path / "bad.py").write_text("1 / 0\n")
    assert run(["--plugin", str(tmp_path / "bad.py"), "list", "backbones"]) == 1
    message = capsys.readouterr().err
    assert "ZeroDivisionError" in message
    assert len(message.strip().splitlines()) == 1
