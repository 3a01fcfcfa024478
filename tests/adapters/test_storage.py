"""Adapters on disk: exact, readable by PEFT, and refused when damaged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyrestore.adapters import Adapter, AdapterBank, AdapterConfig, LoraConfig, load_adapter, save_adapter
from polyrestore.adapters.storage import CONFIG_FILE, WEIGHTS_FILE
from polyrestore.errors import AdapterError
from tests.adapters.conftest import TinyNetwork


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "rain"


@pytest.fixture
def saved(folder: Path, trained: Callable[..., Adapter], config: AdapterConfig) -> Adapter:
    adapter = trained("rain", config, 4)
    save_adapter(folder, adapter, "tiny")
    return adapter


def test_saving_and_loading_are_exact(folder: Path, saved: Adapter) -> None:
    loaded = load_adapter(folder)
    assert (loaded.name, loaded.config) == ("rain", saved.config)
    assert sorted(loaded.tensors) == sorted(saved.tensors)
    assert all(torch.equal(loaded.tensors[key], saved.tensors[key]) for key in saved.tensors)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]


def test_saving_twice_gives_the_same_bytes(folder: Path, saved: Adapter) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    save_adapter(folder, load_adapter(folder), "tiny")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_half_precision_files_hold_the_rounded_values(folder: Path, saved: Adapter) -> None:
    save_adapter(folder, saved, "tiny", dtype=torch.float16)
    loaded = load_adapter(folder)
    assert all(tensor.dtype == torch.float32 for tensor in loaded.tensors.values())
    assert all(torch.equal(loaded.tensors[key], saved.tensors[key].half().float()) for key in saved.tensors)


def test_values_beyond_half_precision_are_refused(folder: Path, trained: Callable[..., Adapter]) -> None:
    adapter = trained("rain", LoraConfig(rank=1), 1)
    adapter.tensors["intro.lora_B.weight"][0] = 1e5
    with pytest.raises(AdapterError, match="not finite"):
        save_adapter(folder, adapter, "tiny", dtype=torch.float16)
    assert not folder.exists()


@pytest.mark.parametrize("targets", [None, ("intro", "levels.0.1.widen", "up", "context.0")])
def test_peft_reads_a_lora_and_computes_the_same(
    folder: Path,
    trained: Callable[..., Adapter],
    make_network: Callable[[], TinyNetwork],
    images: Tensor,
    targets: tuple[str, ...] | None,
) -> None:
    peft = pytest.importorskip("peft")
    network = make_network()
    # PEFT always pads its own convolution with zeros; see the next test for the layer that reflects.
    network.intro.padding_mode = "zeros"
    adapter = trained("rain", LoraConfig(rank=3, alpha=1.5, targets=targets), 4)
    bank = AdapterBank(network)
    bank.add(adapter)
    bank.activate({"rain": 1.0})
    expected = network(images)
    bank.detach()
    bare = network(images)
    save_adapter(folder, adapter, "tiny")

    model = peft.PeftModel.from_pretrained(network, str(folder))
    layers = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert len(layers) == len(adapter.config.targets or ())
    with torch.no_grad():
        assert (model(images) - expected).abs().max() < 1e-5
        assert (model.merge_and_unload()(images) - expected).abs().max() < 1e-5
    assert (bare - expected).abs().max() > 0.01


def test_a_lora_written_by_peft_is_read(
    folder: Path, make_network: Callable[[], TinyNetwork], images: Tensor
) -> None:
    peft = pytest.importorskip("peft")
    network = make_network()
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["widen", "up"], init_lora_weights=False)
    model = peft.get_peft_model(network, config)
    expected = model(images)
    model.save_pretrained(str(folder))

    bank = AdapterBank(make_network())
    bank.add(load_adapter(folder, name="from_peft"))
    bank.merge({"from_peft": 1.0})
    assert (bank.backbone(images) - expected).abs().max() < 1e-5
    assert (make_network()(images) - expected).abs().max() > 0.01


PATTERNS = {"rank_pattern": {"0.widen": 3, "widen": 5}, "alpha_pattern": {"^up": 3.5, "levels.1.0.widen": 9}}


@pytest.mark.parametrize("patterns", [{}, PATTERNS], ids=["plain", "patterns"])
@pytest.mark.parametrize("stabilised", [False, True])
def test_ranks_and_alphas_by_layer_and_rslora_are_those_of_peft(
    folder: Path,
    tmp_path: Path,
    make_network: Callable[[], TinyNetwork],
    images: Tensor,
    patterns: dict[str, dict[str, float]],
    stabilised: bool,
) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    model = peft.get_peft_model(
        make_network(),
        peft.LoraConfig(
            r=2, lora_alpha=6, target_modules=["widen", "up"], init_lora_weights=False,
            use_rslora=stabilised, **patterns,
        ),
    )  # fmt: skip
    expected = model(images)
    model.save_pretrained(str(folder))

    adapter = load_adapter(folder, name="from_peft")
    assert isinstance(adapter.config, LoraConfig)
    ranks = {path: adapter.config.at(path).rank for path in adapter.config.targets or ()}
    assert sorted(ranks.values()) == ([2, 3, 3, 5] if patterns else [2, 2, 2, 2])
    for act in ("merge", "activate"):
        bank = AdapterBank(make_network())
        bank.add(adapter)
        getattr(bank, act)({"from_peft": 1.0})
        assert (bank.backbone(images) - expected).abs().max() < 1e-5
    bank.activate_per_sample([{"from_peft": 1.0}] * len(images))
    assert (bank.backbone(images) - expected).abs().max() < 1e-5

    again = tmp_path / "again"
    save_adapter(again, bank.export("from_peft"), "tiny")
    assert load_adapter(again, name="from_peft").config == adapter.config
    read_back = peft.PeftModel.from_pretrained(make_network(), str(again))
    assert (read_back(images) - expected).abs().max() < 1e-5


def test_what_peft_writes_by_itself_is_all_known_to_be_harmless(
    folder: Path, make_network: Callable[[], TinyNetwork]
) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["up"], lora_dropout=0.1, init_lora_weights="gaussian")
    peft.get_peft_model(make_network(), config).save_pretrained(str(folder))
    written = json.loads((folder / CONFIG_FILE).read_text())
    # Whatever is not read makes no difference: switched on, each of the rest would be refused.
    switchable = {key for key, value in written.items() if value in (None, False, {}, [])}
    harmless = 0
    for key in sorted(switchable):
        edit_config(folder, {**written, key: {"some": "thing"}})
        try:
            load_adapter(folder)
        except AdapterError as error:
            assert key in str(error)  # noqa: PT017
        else:
            harmless += 1
    assert 0 < harmless < len(switchable) / 2
    edit_config(folder, written)
    assert load_adapter(folder).config == LoraConfig(rank=8, alpha=8.0, targets=("up",))


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(folder: Path, saved: Adapter, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(AdapterError, match=f"cannot read .*{name}"):
        load_adapter(folder)


def test_a_configuration_that_is_nested_without_end_is_refused(folder: Path, saved: Adapter) -> None:
    (folder / CONFIG_FILE).write_text("[" * 100_000)
    with pytest.raises(AdapterError, match=r"nested too deeply|not valid JSON"):
        load_adapter(folder)


@pytest.mark.parametrize("cut", [0, 5, 200])
@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_file_that_is_cut_short_is_refused(folder: Path, saved: Adapter, name: str, cut: int) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:cut] if cut < 200 else path.read_bytes()[:-9])
    with pytest.raises(AdapterError, match=name):
        load_adapter(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("use_dora", True, "use_dora = True is not supported"),
        ("bias", "all", "bias = 'all'"),
        ("rank_pattern", {"up": 2}, "up.lora_A.weight has rank 3, but the configuration says 2"),
        ("rank_pattern", {"up": 0}, "r must be a whole number of at least 1, not 0 for up"),
        ("rank_pattern", {"(": 3}, "rank_pattern has '\\(', which cannot be matched"),
        ("rank_pattern", [3], "rank_pattern must hold a value by layer"),
        ("alpha_pattern", {"up": "x"}, "lora_alpha must be a number, not 'x'"),
        ("use_rslora", 1, "use_rslora must be true or false, not 1"),
        ("init_lora_weights", "pissa_niter_4", "init_lora_weights = 'pissa_niter_4' is not supported"),
        ("init_lora_weights", "olora", "init_lora_weights"),
        ("modules_to_save", ["ending"], "modules_to_save"),
        ("trainable_token_indices", [1], "trainable_token_indices"),
        ("velora_config", {"rank": 1}, "velora_config"),
        ("of_tomorrow", "on", "of_tomorrow = 'on' is not supported"),
        ("lora_bias", 0, "lora_bias = 0"),
        ("peft_type", "LOHA", "'LOHA'"),
        ("r", 7, "rank 3, but the configuration says 7"),
        ("r", None, "r must be a whole number"),
        ("lora_alpha", "x", "lora_alpha"),
    ],
)
def test_what_would_compute_something_else_is_refused(
    folder: Path, trained: Callable[..., Adapter], key: str, value: object, message: str
) -> None:
    save_adapter(folder, trained("rain", LoraConfig(rank=3), 1), "tiny")
    edit_config(folder, {key: value})
    with pytest.raises(AdapterError, match=message):
        load_adapter(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reductoin": 3}, "did you mean 'reduction'"),
        ({"reduction": "4"}, "reduction must be"),
        ({"targets": ["up"]}, "name other layers"),
        ({"kind": "prefix"}, "unknown adapter kind"),
    ],
)
def test_a_wrong_bottleneck_configuration_is_refused(
    folder: Path, bank: AdapterBank, change: dict[str, object], message: str
) -> None:
    save_adapter(folder, bank.export("train"), "tiny")
    edit_config(folder, change)
    with pytest.raises(AdapterError, match=message):
        load_adapter(folder)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_stored_values_that_are_not_finite_are_refused(folder: Path, saved: Adapter, value: float) -> None:
    stored = load_file(folder / WEIGHTS_FILE)
    next(iter(stored.values())).view(-1)[0] = value
    save_file(stored, folder / WEIGHTS_FILE)
    with pytest.raises(AdapterError, match="not finite"):
        load_adapter(folder)


def test_tensors_without_pefts_prefix_are_refused(folder: Path, saved: Adapter) -> None:
    stored = {
        key.removeprefix("base_model."): value for key, value in load_file(folder / WEIGHTS_FILE).items()
    }
    save_file(stored, folder / WEIGHTS_FILE)
    with pytest.raises(AdapterError, match="does not start with"):
        load_adapter(folder)


def test_an_adapter_may_leave_its_targets_to_the_backbone(
    bank: AdapterBank, network: TinyNetwork, folder: Path
) -> None:
    exported = bank.export("rain")
    open_ended = Adapter("rain", LoraConfig(rank=3, alpha=5.0), exported.tensors)
    save_adapter(folder, open_ended, "tiny")
    assert load_adapter(folder).config == exported.config


def edit_config(folder: Path, change: dict[str, object]) -> None:
    path = folder / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_the_target_expression_matches_the_named_layers_only(
    folder: Path, trained: Callable[..., Adapter]
) -> None:
    adapter = trained("rain", LoraConfig(targets=("up", "levels.0.1.widen")), 1)
    save_adapter(folder, adapter, "tiny")
    expression = re.compile(json.loads((folder / CONFIG_FILE).read_text())["target_modules"])
    assert all(expression.fullmatch(path) for path in ("up", "levels.0.1.widen"))
    assert not any(expression.fullmatch(path) for path in ("levels.0.up", "levels.091.widen", "ups"))
