import pytest
import torch

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.backbones import Backbone, build_backbone
from polyrestore.backbones.airnet import AirNet
from polyrestore.errors import BackboneError
from tests.support.networks import TINY as TINY_OPTIONS

TINY = TINY_OPTIONS["airnet"]

PUBLISHED_SHAPES = {
    "R.head.0.weight": (64, 3, 3, 3),
    "R.body.0.body.0.dgm1.dcn.weight": (64, 64, 3, 3),
    "R.body.0.body.0.dgm1.dcn.conv_offset_mask.weight": (27, 128, 3, 3),
    "R.body.0.body.0.dgm1.dcn.conv_offset_mask.bias": (27,),
    "R.body.1.body.2.dgm2.sft.conv_gamma.0.weight": (64, 64, 1, 1),
    "R.body.4.body.4.dgm2.sft.conv_beta.2.weight": (64, 64, 1, 1),
    "R.body.2.body.3.conv1.weight": (64, 64, 3, 3),
    "R.body.2.body.3.conv2.bias": (64,),
    "R.body.4.body.5.weight": (64, 64, 3, 3),
    "R.body.5.bias": (64,),
    "R.tail.0.weight": (3, 64, 3, 3),
    "E.E.encoder_q.E_pre.backbone.0.weight": (64, 3, 3, 3),
    "E.E.encoder_q.E_pre.backbone.4.running_var": (64,),
    "E.E.encoder_q.E_pre.shortcut.1.num_batches_tracked": (),
    "E.E.encoder_q.E.0.backbone.0.weight": (128, 64, 3, 3),
    "E.E.encoder_k.E.1.shortcut.0.weight": (256, 128, 1, 1),
    "E.E.encoder_k.mlp.2.weight": (256, 256),
    "E.E.queue": (256, 4096),
    "E.E.queue_ptr": (1,),
}


def tiny(**options: object) -> AirNet:
    torch.manual_seed(0)
    backbone = build_backbone("airnet", **(TINY | options))
    assert isinstance(backbone, AirNet)
    with torch.no_grad():
        for parameter in backbone.R.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return backbone.eval()


@pytest.fixture(scope="module")
def published() -> Backbone:
    with torch.device("meta"):
        return build_backbone("airnet")


def test_parameter_counts_are_the_published_ones(published: Backbone) -> None:
    def count(prefix: str) -> int:
        return sum(p.numel() for name, p in published.named_parameters() if name.startswith(prefix))

    assert count("") == 8_930_313
    assert count("R.") == 6_290_441
    assert count("E.E.encoder_q.") == count("E.E.encoder_k.") == 1_319_936
    assert sum(p.numel() for p in published.parameters() if p.requires_grad) == 7_610_377


def test_state_dict_has_the_published_names(published: Backbone) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in published.state_dict().items()}
    assert {name: shapes.get(name) for name in PUBLISHED_SHAPES} == PUBLISHED_SHAPES
    # 25 blocks of 18 tensors, 5 + 1 + 2 convolutions; two encoders of 3 x 18 + 4 tensors; the queue.
    assert len(shapes) == 25 * 18 + 8 * 2 + 2 * (3 * 18 + 4) + 2


def test_a_published_state_dict_loads_strictly_but_for_its_queue() -> None:
    source, target = tiny(queue_length=24), tiny()
    state = source.state_dict()
    state = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    with pytest.raises(RuntimeError, match="queue"):
        target.load_state_dict(state)
    kept = {name: tensor for name, tensor in state.items() if name not in target.skippable_keys()}
    report = target.load_state_dict(kept, strict=False)
    assert set(report.missing_keys) == target.skippable_keys()
    assert not report.unexpected_keys
    loaded = target.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in kept.items())


def test_an_image_is_restored_by_itself_in_both_modes() -> None:
    backbone = tiny()
    images = torch.rand(3, 3, 12, 10)
    before = {name: buffer.clone() for name, buffer in backbone.named_buffers()}
    with torch.no_grad():
        together = backbone(images)
        alone = backbone(images[1:2])
        training = backbone.train()(images)
    torch.testing.assert_close(together[1:2], alone)
    torch.testing.assert_close(together, training)
    assert all(torch.equal(before[name], buffer) for name, buffer in backbone.named_buffers())


def test_the_degradation_map_conditions_the_restorer() -> None:
    backbone = tiny()
    image = torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        before = backbone(image)
        backbone.get_parameter("E.E.encoder_q.E_pre.shortcut.0.weight").mul_(2)
        after = backbone(image)
    assert float((after - before).abs().max()) > 1e-4


def test_small_offsets_stay_within_the_described_radius() -> None:
    backbone = tiny()
    radius = backbone.description.receptive_radius_px
    assert not backbone.description.exact_tiles
    for name, parameter in backbone.named_parameters():
        if "conv_offset_mask.bias" in name:
            torch.nn.init.uniform_(parameter, -0.9, 0.9)
    middle = radius + 4
    image = torch.rand(1, 3, 2 * middle, 2 * middle, requires_grad=True)
    backbone(image)[0, :, middle, middle].sum().backward()
    assert image.grad is not None
    reach = int((image.grad.abs().amax((0, 1)).nonzero() - middle).abs().max())
    assert radius // 2 < reach <= radius


def test_gradients_reach_everything_that_is_trained() -> None:
    backbone = tiny().train()
    restored, contrast = backbone.restore_and_contrast(torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8))
    torch.autograd.backward(restored.abs().mean() + 0.1 * contrast)
    for name, parameter in backbone.named_parameters():
        if name.startswith("E.E.encoder_k."):
            assert not parameter.requires_grad
        else:
            assert parameter.grad is not None, name
            assert float(parameter.grad.abs().max()) > 0, name


def test_contrastive_training_tells_degradations_apart() -> None:
    backbone = tiny(queue_length=32, momentum=0.9).train()
    generator = torch.Generator().manual_seed(3)
    optimiser = torch.optim.Adam([p for p in backbone.E.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(60):
        # Every image has a degradation of its own: a tint and a strength of noise.
        tint = torch.rand(8, 3, 1, 1, generator=generator)
        sigma = 0.3 * torch.rand(8, 1, 1, 1, generator=generator)
        crops = [tint + sigma * torch.randn(8, 3, 12, 12, generator=generator) for _ in range(2)]
        loss = backbone.contrastive_loss(*crops)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) / 10 < 0.7 * max(losses[:10])
    assert not backbone.E.training


def test_contrast_is_refused_where_it_would_do_harm() -> None:
    backbone = tiny()
    with pytest.raises(BackboneError, match=r"train\(\)"):
        backbone.contrastive_loss(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8))
    with pytest.raises(BackboneError, match="2 and 3"):
        backbone.train().contrastive_loss(torch.rand(2, 3, 8, 8), torch.rand(3, 3, 8, 8))


def test_lora_adapters_attach_and_act() -> None:
    backbone = tiny()
    image = torch.rand(1, 3, 10, 10)
    bare = backbone(image).detach()
    bank = AdapterBank(backbone)
    bank.create("haze", LoraConfig(rank=2), torch.Generator().manual_seed(0))
    bank.activate({"haze": 1.0})
    torch.testing.assert_close(backbone(image), bare)
    for parameter in bank.parameters("haze"):
        torch.nn.init.normal_(parameter, std=0.1)
    acting = backbone(image).detach()
    assert float((acting - bare).abs().max()) > 1e-3
    bank.merge({"haze": 1.0})
    torch.testing.assert_close(backbone(image), acting, rtol=1e-4, atol=1e-5)
