import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyrestore import devices
from polyrestore.devices import has_fast_bfloat16
from polyrestore.training.loop.events import Started
from polyrestore.training.loop.optimisers import Muon, orthogonalised
from polyrestore.training.recipes.precision import Precision, resolve_precision
from polyrestore.training.run import run_recipe

QUICK = Path(__file__).parents[3] / "recipes" / "quick.toml"
CPU = torch.device("cpu")


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a function that pretends a processor with or without bfloat16 instructions."""

    def pretend(**found: bool) -> None:
        monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
        monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
        monkeypatch.setattr(devices, "cpu_capabilities", lambda: found)

    return pretend


@pytest.mark.parametrize(
    ("found", "resolved"), [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "no")]
)
def test_auto_takes_bfloat16_only_where_the_processor_has_it(
    processor: Callable[..., None], found: dict[str, object], resolved: str
) -> None:
    processor(**found)
    assert resolve_precision("auto", CPU) == resolved


@pytest.mark.parametrize(("level", "fast"), [("AVX2", False), ("AVX512_CORE_AMX", True), ("DEFAULT", True)])
def test_a_limit_on_the_instructions_counts(
    processor: Callable[..., None], monkeypatch: pytest.MonkeyPatch, level: str, fast: bool
) -> None:
    processor(avx512_bf16=True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", level)
    assert has_fast_bfloat16(CPU) is fast


@pytest.mark.parametrize("named", ["no", "bf16", "fp16"])
def test_a_named_precision_is_taken_as_it_is(processor: Callable[..., None], named: Precision) -> None:
    processor()
    assert resolve_precision(named, CPU) == named


def test_the_processor_of_this_machine_is_asked() -> None:
    found = devices.cpu_capabilities()
    assert set(found) <= {"avx512_bf16", "amx_bf16"}
    assert all(isinstance(value, bool) for value in found.values())


def test_newton_schulz_in_bfloat16_and_in_float32_agree_to_a_few_percent() -> None:
    matrices = torch.randn(2, 24, 40, generator=torch.Generator().manual_seed(0))
    exact = orthogonalised(matrices, torch.float32)
    error = (orthogonalised(matrices, torch.bfloat16) - exact).norm() / exact.norm()
    assert 0 < float(error) < 0.05


def test_the_optimiser_follows_the_hardware_unless_told(processor: Callable[..., None]) -> None:
    def step(**options: Any) -> Tensor:
        weight = torch.nn.Parameter(torch.eye(16))
        weight.grad = torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
        Muon([weight], 0.1, **options).step()
        return weight.detach()

    processor()
    assert torch.equal(step(), step(precision="no"))
    assert not torch.equal(step(), step(precision="bf16"))
    processor(avx512_bf16=True)
    assert torch.equal(step(), step(precision="bf16"))


def test_a_run_says_and_logs_its_precision(processor: Callable[..., None], tmp_path: Path) -> None:
    processor()
    events: list[object] = []
    short = ["steps=1", "log_every=1", "data.batch_size=1", "data.patch_px=32"]
    run_recipe(QUICK, output_folder=tmp_path, overrides=short, on_event=events.append)
    assert isinstance(events[0], Started)
    assert "float32" in events[0].summary
    start = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert (start["recipe"]["precision"], start["precision"]) == ("auto", "no")
