"""``polyrestore adapters`` and the refusals of ``teach``: one line, and nothing half installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from polyrestore.bundles import load_bundle, shipped_folder
from tests.cli.conftest import Outcome
from tests.cli.test_json import printed

Call = Callable[..., Outcome]


def test_an_adapter_is_added_shown_and_removed(call: Call, bundle: str, tmp_path: Path) -> None:
    folder, own = Path(bundle) / "adapters" / "rain", tmp_path / "own"
    added = ("adapters", "add", folder, "--into", own, "--name", "drizzle", "--json")
    assert printed(call(*added, "--bundle", bundle), "adapters add")["recognised"] is True
    listed = printed(call("adapters", "list", "--bundle", own, "--json"), "adapters list")["adapters"]
    assert [entry["name"] for entry in listed] == ["drizzle", "noise", "rain"]
    shown = printed(call("adapters", "show", "drizzle", "--bundle", own, "--json"), "adapters show")
    assert (
        shown["base_sha256"]
        == printed(call("adapters", "show", folder, "--json"), "adapters show")["base_sha256"]
    )
    assert load_bundle(own).name == "own"
    (own / "adapters" / "drizzle" / "README.md").write_text("A card is for people, and may be edited.")
    for arguments, reason in (
        ((*added, "--bundle", bundle), "leave --bundle away"),
        (added, "has an adapter 'drizzle' already"),
        (("adapters", "add", folder, "--into", own, "--name", "clean"), "'clean' cannot name"),
        (("adapters", "add", tmp_path, "--into", own), "not an adapter folder?"),
        (("adapters", "add", folder, "--into", tmp_path / "new", "--name", "a"), "trained beside the base"),
        (("adapters", "remove", "drizle", "--from", own), "did you mean 'drizzle'?"),
        (("adapters", "remove", "rain", "--from", shipped_folder() / "default"), "stays as it is"),
        (("adapters", "show", "nothing", "--bundle", own), "has no adapter 'nothing'"),
        (
            ("adapters", "add", folder, "--into", folder / "adapter_config.json" / "x", "--name", "a"),
            "cannot write",
        ),
        (("adapters", "add", folder, "--into", folder), "holds other files and no bundle"),
    ):
        outcome = call(*arguments)
        assert outcome.code == 1, arguments
        assert reason in outcome.err
        assert outcome.err.count("\n") == 1
    assert not (tmp_path / "new").exists()
    assert printed(call("adapters", "remove", "drizzle", "--from", own, "--json"), "adapters remove")
    assert sorted(load_bundle(own).adapters) == ["noise", "rain"]


def test_what_cannot_be_taught_is_one_line(
    call: Call, bundle: str, photographs: Path, tmp_path: Path
) -> None:
    for side in ("input", "target"):
        shutil.copytree(photographs, tmp_path / "pairs" / side)
    own, pairs = tmp_path / "own", tmp_path / "pairs"
    for name, folder, reason in (
        ("mist", pairs, "at least 48x48 px are needed"),
        ("mist", photographs, "no folder"),
        ("rain", pairs, "has an adapter 'rain' already"),
        ("../rain", pairs, "cannot name a degradation"),
    ):
        outcome = call("teach", name, "--pairs", folder, "--into", own, "--bundle", bundle)
        assert outcome.code == 1
        assert reason in outcome.err
        assert outcome.err.count("\n") == 1
    assert not own.exists()
