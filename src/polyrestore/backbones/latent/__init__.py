"""A latent diffusion model as the frozen backbone, in one step or in few."""

from polyrestore.backbones.latent.network import Latent

__all__ = ["Latent"]
