"""Adapters and bundles on the hub from the command line: shared, or one line and nothing half installed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from polyrestore.bundles import load_bundle, pin_bundle, save_bundle
from polyrestore.storage import hub as client
from tests.cli.conftest import Outcome
from tests.cli.test_json import printed
from tests.support.hub import TOKEN, Hub
from tests.support.hub import hub as hub
from tests.support.tiny_bundle import tiny_bundle

Call = Callable[..., Outcome]


def refused(outcome: Outcome, reason: str) -> None:
    assert outcome.code == 1, outcome.out
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1


def test_an_adapter_goes_from_one_bundle_to_another(
    call: Call, bundle: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    other, strange = tmp_path / "other", save_bundle(tmp_path / "strange", tiny_bundle({}, seed=1))
    push = ("adapters", "push", "rain", "--from", bundle, "--to", "me/wet.glass", "--json")
    pushed = printed(call(*push), "adapters push")
    assert (pushed["commit"], pushed["private"]) == (hub.repositories["me/wet.glass"].head, False)
    files = hub.repositories["me/wet.glass"].commits[pushed["commit"]]
    card = files["README.md"].decode()
    assert "polyrestore adapters pull me/wet.glass --name rain --into my-bundle" in card
    assert TOKEN not in card
    hub.repositories["me/wet.glass"].add({**files, "setup.py": b"1 / 0", "adapter_model.bin": b"\x80"})
    pull = ("adapters", "pull", "me/wet.glass", "--to", other, "--json")
    refused(call(*pull), "give another one with --name")
    refused(call(*pull, "--name", "drops", "--bundle", strange), "was trained beside the base")
    assert not other.exists()
    values = printed(call(*pull, "--name", "drops", "--bundle", bundle), "adapters pull")
    assert values["recognised"] is True
    assert values["source"] == f"me/wet.glass@{hub.repositories['me/wet.glass'].head}"
    found = load_bundle(other)
    mine = load_bundle(bundle)
    assert all(
        found.adapters["drops"].tensors[key].equal(value)
        for key, value in mine.adapters["rain"].tensors.items()
    )
    assert found.prototypes["drops"].equal(mine.prototypes["rain"])
    assert found.adapters["drops"].record["source"] == values["source"]
    assert not list((tmp_path / "hub-cache").rglob("setup.py"))
    # Of the commit that was pushed first, without asking what is the newest.
    first = ("adapters", "pull", "me/wet.glass", "--into", other, "--name", "first", "--revision")
    assert "[hub_not_found]" in call(*first, "v2").err
    assert call(*first, pushed["commit"]).out == f"first: added, written to {other}\n"


def test_what_cannot_be_shared_is_one_line(
    call: Call, bundle: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    folder = Path(bundle) / "adapters" / "rain"
    hub.publish("you/rain", folder)
    hub.publish("you/bundle", Path(bundle))
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "adapter_config.json").write_bytes((folder / "adapter_config.json").read_bytes())
    (tmp_path / "peft" / "adapter_model.bin").write_bytes(b"\x80")
    hub.publish("you/pickled", tmp_path / "peft")
    pull = ("adapters", "pull", "you/rain", "--into", own, "--bundle", bundle, "--name", "drizzle")
    for fault, code in (("half", "hub_incomplete"), ("damaged", "hub_damaged"), ("silent", "hub_timeout")):
        hub.fault = fault
        refused(call(*pull), f"[{code}]")
    hub.fault = ""
    refused(call(*pull[:2], "you/pickled", *pull[3:]), "is no adapter: it has no adapter_model.safetensors")
    refused(call(*pull[:2], "you/gone", *pull[3:]), "the hub has no model repository you/gone")
    refused(call(*pull[:2], "you", *pull[3:]), "'you' names no repository")
    push = ("adapters", "push", "rain", "--from", bundle, "--to")
    refused(call(*push, "me/rain"), "or set HF_TOKEN [hub_denied]")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    refused(call(*push, "you/bundle"), "belongs to no adapter")
    refused(call("adapters", "push", "rian", *push[3:], "me/rain"), "did you mean 'rain'?")
    assert sorted(hub.repositories) == ["you/bundle", "you/pickled", "you/rain"]
    assert not own.exists()


def test_a_bundle_is_taken_from_the_hub_once(
    call: Call, bundle: str, hub: Hub, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commit = hub.publish("you/tiny", Path(bundle))
    assert call("list", "adapters", "--bundle", "you/tiny").code == 0
    assert hub.requests
    hub.requests.clear()
    restore = ("restore", photographs, "-o", "out", "--as", "rain", "--bundle")
    assert call(*restore, "you/tiny").code == 0
    assert hub.requests == []
    # The same weights from elsewhere: there is nothing to be done again.
    assert "2 skipped" in call(*restore, bundle).out
    assert pin_bundle("you/tiny@main") == f"you/tiny@{commit}"
    assert pin_bundle(bundle) == bundle
    assert hub.requests == [
        "GET /api/models/you/tiny/revision/main",
        "HEAD /you/tiny/resolve/main/model.json",
    ]
    (tmp_path / "you" / "tiny").mkdir(parents=True)
    refused(call("list", "adapters", "--bundle", "you/tiny"), "is not a bundle: it has no model.json")


def test_a_mistyped_folder_is_told_at_once(hub: Hub, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from polyrestore.cli.main import run\n"
        "assert run(['list', 'adapters', '--bundle', 'defolt']) == 1\n"
        "assert 'huggingface_hub' not in sys.modules\n"
        "assert run(['list', 'adapters', '--bundle', 'runs/gone']) == 1\n"
        "assert run(['list', 'adapters', '--bundle', './runs/gone']) == 1\n"
        "assert 'torch' not in sys.modules\n"
        "sys.modules['huggingface_hub'] = None\n"
        "assert run(['list', 'adapters', '--bundle', 'runs/gone']) == 1\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": str(tmp_path / "home")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert "did you mean 'default'?" in lines[0]
    assert "there is no folder runs/gone here, and the hub cannot be reached" in lines[1]
    assert lines[1].endswith("[hub_unreachable]")
    assert "there is no bundle folder at runs/gone" in lines[2]
    assert "there is no folder runs/gone" in lines[3]
    assert lines[3].endswith("needs huggingface_hub: pip install 'polyrestore[hub]'")
    assert time.monotonic() - began < 30


def test_a_token_is_no_option(call: Call) -> None:
    for command in ("push", "pull"):
        assert "token" not in call("adapters", command, "--help").out.lower()
