"""A real process, killed at a moment that nobody chose, loses nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from polyrestore.bundles import load_bundle
from polyrestore.training.loop.checkpoint import load_newest_checkpoint

STEPS = 12


def command(recipe: Path, folder: Path) -> list[str]:
    overrides = [f"steps={STEPS}", "checkpoint_every=3", "validate_every=100", "weighting.name=pcgrad"]
    settings = [part for override in overrides for part in ("--set", override)]
    return [sys.executable, "-m", "polyrestore", "train", str(recipe), "-o", str(folder), *settings]


def logged(folder: Path) -> list[tuple[int, dict[str, float]]]:
    path = folder / "log.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return [(record["step"], record["losses"]) for record in records if record["event"] == "losses"]


def test_a_run_killed_twice_ends_like_one_that_was_left_alone(workshop: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, killed, recipe = workshop / "whole", workshop / "killed", workshop / "pretraining.toml"
    run = subprocess.run(command(recipe, whole), env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    for moment in sorted(draw.sample(range(1, STEPS - 5), 2)):
        process = subprocess.Popen(
            command(recipe, killed), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and (not logged(killed) or logged(killed)[-1][0] < moment):
            time.sleep(0.002)
        time.sleep(draw.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run = subprocess.run(
        command(recipe, killed), env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert logged(killed) == logged(whole), f"seed {seed}"
    name = f"checkpoint-{STEPS:08d}.safetensors"
    first, second = load_file(whole / name), load_file(killed / name)
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    state = load_bundle(str(killed / "bundle")).backbone.state_dict()
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    assert "updates of" in run.stdout + run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as on POSIX systems")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_saves_the_step_it_was_at(workshop: Path, number: int, code: int) -> None:
    recipe, folder = workshop / "pretraining.toml", workshop / "interrupted"
    long = [*command(recipe, folder), "--set", "steps=100000", "--set", "checkpoint_every=100000"]
    process = subprocess.Popen(long, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not logged(folder):
        time.sleep(0.01)
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors[-2000:]
    assert "stopped after step" in errors
    assert "Traceback" not in errors
    saved, _ = load_newest_checkpoint(folder)
    assert saved is not None
    assert f"step {saved.step:,} of 100,000" in errors
