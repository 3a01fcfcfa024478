import pytest
import torch

from polyrestore.adapters import AdapterBank, LoraConfig
from polyrestore.backbones import Backbone, build_backbone
from polyrestore.errors import BackboneError
from tests.support.networks import TINY as TINY_OPTIONS

TINY = TINY_OPTIONS["transweather"]
UNUSED = ("Tenc.mini_patch_embed4.", "convtail.conv_output.")

PUBLISHED_SHAPES = {
    "Tenc.patch_embed1.proj.weight": (64, 3, 7, 7),
    "Tenc.patch_embed4.norm.bias": (512,),
    "Tenc.mini_patch_embed1.proj.weight": (128, 64, 3, 3),
    "Tenc.mini_patch_embed3.proj.weight": (512, 320, 3, 3),
    "Tenc.mini_patch_embed4.proj.weight": (512, 64, 3, 3),
    "Tenc.block1.1.attn.q.weight": (64, 64),
    "Tenc.block1.0.attn.sr.weight": (64, 64, 4, 4),
    "Tenc.block2.0.attn.norm.weight": (128,),
    "Tenc.block3.1.attn.kv.bias": (640,),
    "Tenc.block4.0.mlp.dwconv.dwconv.weight": (1024, 1, 3, 3),
    "Tenc.patch_block1.0.attn.sr.weight": (128, 128, 4, 4),
    "Tenc.patch_block3.0.attn.sr.weight": (512, 512, 2, 2),
    "Tenc.patch_block3.0.mlp.fc1.weight": (1024, 512),
    "Tenc.norm3.weight": (320,),
    "Tenc.pnorm1.weight": (128,),
    "Tdec.patch_embed1.proj.weight": (512, 512, 3, 3),
    "Tdec.block1.2.attn.task_query": (1, 48, 512),
    "Tdec.block1.0.mlp.fc2.weight": (512, 2048),
    "Tdec.norm1.bias": (512,),
    "convtail.convd32x.conv2d.weight": (512, 512, 4, 4),
    "convtail.convd1x.conv2d.weight": (16, 8, 4, 4),
    "convtail.dense_4.0.conv1.conv2d.weight": (320, 320, 3, 3),
    "convtail.dense_1.0.conv2.conv2d.bias": (16,),
    "convtail.conv_output.conv2d.weight": (3, 8, 3, 3),
    "clean.conv2d.weight": (3, 8, 3, 3),
}


def tiny() -> Backbone:
    torch.manual_seed(0)
    backbone = build_backbone("transweather", **TINY)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return backbone.eval()


@pytest.fixture(scope="module")
def published() -> Backbone:
    with torch.device("meta"):
        return build_backbone("transweather")


def test_parameter_counts_are_the_published_ones(published: Backbone) -> None:
    counts = {name: parameter.numel() for name, parameter in published.named_parameters()}
    assert sum(counts.values()) == 38_052_078
    assert sum(n for name, n in counts.items() if name.startswith(UNUSED[0])) == 296_448
    assert sum(n for name, n in counts.items() if name.startswith(UNUSED[1])) == 219


def test_state_dict_has_the_published_names(published: Backbone) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in published.state_dict().items()}
    assert {name: shapes.get(name) for name in PUBLISHED_SHAPES} == PUBLISHED_SHAPES
    # 9 embeddings; 9 blocks with reduced keys, 2 without, 3 with queries; 8 norms; 6 + 8 + 2 convolutions.
    assert len(shapes) == 9 * 4 + (9 * 20 + 2 * 16 + 3 * 17) + 8 * 2 + 16 * 2


def test_a_published_state_dict_loads_strictly() -> None:
    target = tiny()
    state = {name: tensor + 1 for name, tensor in tiny().state_dict().items()}
    target.load_state_dict(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in target.state_dict().items())
    assert not target.skippable_keys()
    del state["Tenc.mini_patch_embed4.norm.weight"]
    with pytest.raises(RuntimeError, match="mini_patch_embed4"):
        target.load_state_dict(state)


def test_an_image_is_restored_by_itself_and_alike_in_both_modes() -> None:
    backbone, images = tiny(), torch.rand(2, 3, 128, 64)
    with torch.no_grad():
        together = backbone(images)
        torch.testing.assert_close(together[1:], backbone(images[1:]))
        torch.testing.assert_close(together, backbone.train()(images))


def test_the_input_is_centred_and_the_output_is_the_tanh_itself() -> None:
    backbone = tiny()
    seen = []
    backbone.get_submodule("Tenc").register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    backbone.get_submodule("clean").register_forward_hook(lambda *_call: torch.full((1, 3, 64, 64), 0.5))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        restored = backbone(image)
    torch.testing.assert_close(seen[0], 2 * image - 1)
    torch.testing.assert_close(restored, torch.full_like(image, 0.46211716))


def test_images_are_mirrored_at_the_border() -> None:
    image = torch.rand(1, 3, 100, 70)
    padded = torch.nn.functional.pad(image, (0, 58, 0, 28), mode="reflect")
    backbone = tiny()
    with torch.no_grad():
        assert torch.equal(backbone(image), backbone(padded)[..., :100, :70])


def test_attention_reaches_across_the_image() -> None:
    backbone = tiny()
    assert not backbone.description.exact_tiles
    image = torch.rand(1, 3, 64, 320, requires_grad=True)
    backbone(image)[..., :4].sum().backward()
    radius = backbone.description.receptive_radius_px
    assert image.grad is not None
    assert float(image.grad[..., radius + 64 :].abs().max()) > 0


def test_gradients_reach_everything_that_is_trained() -> None:
    backbone = tiny().train()
    backbone(torch.rand(2, 3, 128, 128)).square().mean().backward()
    for name, parameter in backbone.named_parameters():
        if name.startswith(UNUSED):
            assert not parameter.requires_grad
        else:
            assert parameter.grad is not None, name
            assert float(parameter.grad.abs().max()) > 0, name


def test_lora_adapters_attach_and_act() -> None:
    backbone, image = tiny(), torch.rand(1, 3, 64, 128)
    bare = backbone(image).detach()
    bank = AdapterBank(backbone)
    bank.create("snow", LoraConfig(rank=2), torch.Generator().manual_seed(0))
    bank.activate({"snow": 1.0})
    torch.testing.assert_close(backbone(image), bare)
    for parameter in bank.parameters("snow"):
        torch.nn.init.normal_(parameter, std=0.3)
    acting = backbone(image).detach()
    assert float((acting - bare).abs().max()) > 1e-3
    bank.merge({"snow": 1.0})
    torch.testing.assert_close(backbone(image), acting, rtol=1e-4, atol=1e-5)


def test_options_that_cannot_be_built_are_refused() -> None:
    with pytest.raises(BackboneError, match="dims must be a list of 4 whole numbers"):
        build_backbone("transweather", dims=(8, 8))
    with pytest.raises(BackboneError, match="queries must be a whole number from 1"):
        build_backbone("transweather", **(TINY | {"queries": 0}))
