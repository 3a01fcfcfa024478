"""Several processes do what one does with a batch as large as all of theirs."""

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from polyrestore.training.weighting import WEIGHTINGS

SCRIPT = Path(__file__).with_name("halves.py")


def run(*command: str, **variables: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr + done.stdout


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a run in one process and of one in two, with every strategy."""
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    run(sys.executable, str(SCRIPT), str(alone), *WEIGHTINGS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What torchrun tells the processes that it starts, without the seconds that it takes itself.
    facts = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    with ThreadPoolExecutor(2) as pool:
        ranks = [{"RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1")]
        list(
            pool.map(
                lambda rank: run(sys.executable, str(SCRIPT), str(together), *WEIGHTINGS, **facts, **rank),
                ranks,
            )
        )
    return alone, together


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_two_processes_agree_with_each_other_and_with_a_doubled_batch(
    outcomes: tuple[Path, Path], name: str
) -> None:
    alone, together = outcomes
    expected = load_file(alone / name / "rank-0.safetensors")
    ranks = [load_file(together / name / f"rank-{rank}.safetensors") for rank in (0, 1)]
    for key, value in expected.items():
        assert torch.equal(ranks[0][key], ranks[1][key]), key
        assert torch.allclose(ranks[0][key].float(), value.float(), atol=1e-5), key
    if name == "art":
        assert float((expected["state:average"] - 0.1).abs().max()) > 1e-4


def test_the_log_tells_the_effective_batch(outcomes: tuple[Path, Path]) -> None:
    for folder, processes in zip(outcomes, (1, 2), strict=True):
        start = json.loads((folder / "art" / "log.jsonl").read_text().splitlines()[0])
        assert (start["processes"], start["effective_batch"], start["updates"]) == (processes, 8, 5)


def test_the_phase_of_adapters_finds_the_other_processes(tmp_path: Path) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "adapters.toml"
    run(
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone",
        "-m", "polyrestore", "train", str(recipe), "--tiny", "-o", str(tmp_path / "out"),
    )  # fmt: skip
    start = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[0])
    assert (start["processes"], start["effective_batch"]) == (2, 8)
    assert (tmp_path / "out" / "bundle" / "model.json").exists()
