"""A network of one's own as a plugin: a stack of convolutions, known as "plain" once this file is loaded.

polyrestore --plugin examples/plain_network.py train recipes/quick.toml --set backbone=plain ...
"""

from torch import Tensor, nn

from polyrestore.backbones import BACKBONES, Backbone, BackboneDescription


class Plain(Backbone):
    """Convolutions between two 3x3 ones, with an input residual.

    Args:
        width: channels.
        depth: convolutions in the middle.
    """

    tiny_options = {"width": 4, "depth": 1}

    def __init__(self, width: int = 32, depth: int = 6) -> None:
        super().__init__()
        self.options = {"width": width, "depth": depth}
        # Says how to feed and to tile it: a pixel reaches one pixel further with each 3x3 convolution.
        self.description = BackboneDescription(
            name="plain",
            size_multiple=1,
            minimum_size_px=1,
            receptive_radius_px=depth + 2,
            global_context=False,
        )
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        for _ in range(depth):
            layers += [nn.GELU(), nn.Conv2d(width, width, 3, padding=1)]
        self.body = nn.Sequential(*layers)
        self.ending = nn.Conv2d(width, 3, 3, padding=1)

    def output_layer(self) -> nn.Conv2d:
        """Return the last convolution."""
        return self.ending

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Restore (B, 3, H, W), RGB in [0, 1]."""
        restored: Tensor = image + self.ending(self.body(image))
        return restored


BACKBONES["plain"] = Plain
