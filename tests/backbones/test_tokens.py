import math

import pytest
import torch
from torch import Tensor

from polyrestore.backbones.tokens import Attention, PatchEmbedding, to_map, to_tokens


def attention(**options: int) -> Attention:
    torch.manual_seed(0)
    return Attention(**({"dim": 4, "heads": 2, "reduction": 1} | options))


def written_out(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attend by loops over samples and heads of two channels each."""
    result = torch.zeros(len(keys), queries.shape[1], 4)
    for sample in range(len(keys)):
        for part in (slice(0, 2), slice(2, 4)):
            scores = queries[sample][:, part] @ keys[sample][:, part].T / math.sqrt(2)
            result[sample][:, part] = scores.softmax(-1) @ values[sample][:, part]
    return result


def test_tokens_and_maps_are_the_same_pixels() -> None:
    features = torch.rand(2, 3, 4, 5)
    assert torch.equal(to_map(to_tokens(features), 4, 5), features)
    assert torch.equal(to_tokens(features)[0, 7], features[0, :, 1, 2])


def test_attention_is_softmax_of_scaled_products() -> None:
    module, tokens = attention(), torch.rand(2, 6, 4)
    keys, values = module.kv(tokens)[..., :4], module.kv(tokens)[..., 4:]
    expected = module.proj(written_out(module.q(tokens), keys, values))
    torch.testing.assert_close(module(tokens, 2, 3), expected)


def test_reduced_keys_come_from_squares_of_tokens() -> None:
    module, tokens = attention(reduction=2), torch.rand(2, 16, 4)
    assert module.norm is not None
    assert module.sr is not None
    seen = module.norm(to_tokens(module.sr(to_map(tokens, 4, 4))))
    assert seen.shape == (2, 4, 4)
    keys, values = module.kv(seen)[..., :4], module.kv(seen)[..., 4:]
    expected = module.proj(written_out(module.q(tokens), keys, values))
    torch.testing.assert_close(module(tokens, 4, 4), expected)


@pytest.mark.parametrize(("count", "nearest"), [(2, [0, 1]), (1, [0]), (6, [0, 0, 1, 1, 2, 2])])
def test_learned_queries_are_stretched_to_the_tokens(count: int, nearest: list[int]) -> None:
    module, tokens = attention(queries=3), torch.rand(2, count, 4)
    asked = module.q(module.task_query)[:, nearest].expand(2, -1, -1)
    keys, values = module.kv(tokens)[..., :4], module.kv(tokens)[..., 4:]
    torch.testing.assert_close(module(tokens, 1, count), module.proj(written_out(asked, keys, values)))


def test_patches_overlap_and_shrink() -> None:
    tokens, height, width = PatchEmbedding(3, 5, patch_px=7, stride=4)(torch.rand(1, 3, 16, 32))
    assert (height, width) == (4, 8)
    assert tokens.shape == (1, 32, 5)


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="cannot be shared by 3 heads"):
        attention(heads=3)
