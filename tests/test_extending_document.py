"""Every plugin of docs/extending.md is loaded and passes its check, and the commands run with it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from polyrestore.adapters import ADAPTER_KINDS
from polyrestore.backbones import BACKBONES
from polyrestore.bundles import load_bundle, shipped
from polyrestore.cli.main import run
from polyrestore.degradations import DEGRADATIONS
from polyrestore.evaluation.scores import METRICS
from polyrestore.imaging import ImageMetadata, write_image
from polyrestore.installed_plugins import GROUP
from polyrestore.plugins import PLUGIN_PREFIX, load_plugin
from polyrestore.recognition import RECOGNISERS
from polyrestore.registries import Registry
from polyrestore.training.weighting import WEIGHTINGS, build_weighting
from tests.support.tiny_bundle import save_tiny_bundle
from tests.test_readme import ROOT, commands, fenced

DOCUMENT = "docs/extending.md"
REGISTRIES: dict[str, Registry[Any]] = {
    "DEGRADATIONS": DEGRADATIONS,
    "ADAPTER_KINDS": ADAPTER_KINDS,
    "BACKBONES": BACKBONES,
    "WEIGHTINGS": WEIGHTINGS,
    "RECOGNISERS": RECOGNISERS,
    "METRICS": METRICS,
}


def plugins() -> dict[str, str]:
    """Return the files of the page by name: the code that follows the last file that was named."""
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    found = re.findall(r"(?s)`(\w+\.py)`(?:(?!```|`\w+\.py`).)*```python\n(.*?)```", text)
    return dict(found)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's files and a reader's images; registries are as before afterwards."""
    before = {name: dict(registry) for name, registry in REGISTRIES.items()}
    save_tiny_bundle(tmp_path / "shipped" / "default")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "shipped")
    for name, code in plugins().items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    for index in range(2):
        pixels = torch.rand(3, 24, 30, generator=torch.Generator().manual_seed(index))
        write_image(tmp_path / "photographs" / f"{index}.png", pixels, ImageMetadata())
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name, registry in REGISTRIES.items():
        for added in set(registry) - set(before[name]):
            del registry[added]
    for module in [name for name in sys.modules if name.startswith(PLUGIN_PREFIX)]:
        del sys.modules[module]


def test_every_plugin_does_what_the_page_says(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = plugins()
    assert list(files) == ["vignette.py", "shift.py", "root.py", "colour.py", "exchange.py", "mae.py"]
    for name in ("vignette.py", "shift.py"):
        load_plugin(place / name)
    load_plugin(ROOT / "examples" / "plain_network.py")
    exec(fenced(DOCUMENT, "python")[-1], {})
    load_plugin(place / "root.py")
    weights = build_weighting("root", 3).weights(
        torch.tensor([0.04, 0.01, 0.5]), torch.tensor([True, True, False])
    )
    assert weights.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    exec(files["exchange.py"], {})
    assert load_bundle("my-bundle").recogniser.kind == "mean-colour"  # type: ignore[union-attr]
    for program, *arguments in commands(DOCUMENT, "console"):
        assert program == "polyrestore"
        assert run(arguments) == 0, f"{shlex.join(arguments)}: {capsys.readouterr().err}"
    assert "MAE (lower is better) / SSIM" in capsys.readouterr().out
    assert len(list((place / "pairs" / "input").iterdir())) == 2


def test_the_table_names_each_registry_and_the_group_is_right() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| a[^|]*\| `([\w.]+)\.(\w+)` \|", text, re.MULTILINE))
    assert sorted(named.values()) == sorted(REGISTRIES)
    for module, name in named.items():
        assert getattr(sys.modules[module], name) is REGISTRIES[name]
    assert f'entry-points."{GROUP}"' in text
