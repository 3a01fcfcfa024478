"""Options under which every registered backbone is tiny: real networks, and fast enough for tests."""

from __future__ import annotations

TINY_BACKBONES: dict[str, dict[str, object]] = {
    "airnet": {"width": 4, "groups": 1, "blocks": 1, "queue_length": 12},
    "compact": {
        "width": 8, "encoder_blocks": (1,), "middle_blocks": 1, "decoder_blocks": (1,), "context_dim": 8,
    },
    "nafnet": {"width": 4, "encoder_blocks": (1,), "middle_blocks": 1, "decoder_blocks": (1,)},
    "promptir": {
        "dim": 4, "blocks": (1, 1, 1, 1), "refinement_blocks": 1, "heads": (1, 2, 2, 4),
        "prompt_widths": (2, 4, 6), "prompt_sizes": (6, 5, 4),
    },
    "restormer": {"dim": 4, "blocks": (1, 1, 1, 1), "refinement_blocks": 1, "heads": (1, 2, 2, 4)},
    "transweather": {
        "dims": (4, 4, 8, 8), "depths": (1, 1, 1, 1), "heads": (1, 2, 2, 2), "decoder_depth": 1,
        "decoder_heads": 2, "queries": 4, "tail_dims": (4, 4),
    },
}  # fmt: skip
