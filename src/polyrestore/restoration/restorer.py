"""The object that users hold: a backbone, its adapters and a recogniser, ready to restore photographs.

Restoring is one straight line: recognise once per image, compose, run the backbone in tiles, blend.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyrestore.bundles import Bundle
from polyrestore.devices import usable_device
from polyrestore.errors import BundleError, CompositionError
from polyrestore.imaging import Image
from polyrestore.imaging.levels import LARGEST_LEVEL, convert_levels, to_floats
from polyrestore.plugins import WithPlugins
from polyrestore.recognition import Recognition, RecognitionSettings, recognise
from polyrestore.restoration.canvas import Canvas
from polyrestore.restoration.composed import Composed
from polyrestore.restoration.confirming import change_in, confirmed
from polyrestore.restoration.enlarging import ENLARGED_AS, enlarge, enlarge_metadata, require_scale
from polyrestore.restoration.explanation import Explanation, explained
from polyrestore.restoration.hidden import fill_hidden
from polyrestore.restoration.inputs import ImageLike, as_image
from polyrestore.restoration.naming import named_composition
from polyrestore.restoration.pages import as_pages, restore_pages
from polyrestore.restoration.restored import Restored
from polyrestore.restoration.settings import recognition_settings, with_settings
from polyrestore.restoration.tiling import DEFAULT_TILE_PX
from polyrestore.restoration.views import require_quality
from polyrestore.runtimes.registry import open_runtime


class Restorer:
    """Restores images with one bundle on one device. May be shared by threads; images take turns.

    Example:
        >>> import polyrestore
        >>> restorer = polyrestore.load()                            # doctest: +SKIP
        >>> restorer.restore("holiday.jpg").save("restored.jpg")     # doctest: +SKIP

    Pickled, it takes the bundle and the plugins of the process along, so that it opens in a worker as well.

    Attributes:
        bundle: what it was made from; it is not changed. With ``settings``, a copy with them in place of the
            bundle's own: fields of :class:`~polyrestore.recognition.RecognitionSettings`, such as
            ``{"top_k": 1, "temperature": 0.05}``.
        device: where it computes.
        tile_px: largest side of a tile; where None was given, what suits the network, but for images that
            :meth:`tile_px_for` takes whole, or in smaller tiles.
        runtime: what runs the network: one of :data:`~polyrestore.runtimes.registry.RUNTIMES`, or ``"auto"``
            for the fastest one here; in one of :data:`~polyrestore.runtimes.base.PRECISIONS`.
        quality: in how many views an image is restored, one of
            :data:`~polyrestore.restoration.views.QUALITIES`.
        scale: how many times as wide and high as the input a result is, see
            :mod:`polyrestore.restoration.enlarging`.
        on_tile: called after each tile of an image with how many are finished and how many there are; for
            each view anew.

    Raises:
        BundleError: the bundle's settings do not fit, or there is no recogniser for the given ones.
        RecognitionError: a given setting is unknown or outside its range.
        UnknownNameError: there is no such runtime, precision or quality.
        CompositionError: there is no such scale, or the bundle cannot enlarge.
        BackboneError: the network or the device does not support the precision.
        DeviceError: the device is not there.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str | torch.device | None = None,
        *,
        tile_px: int | None = None,
        settings: Mapping[str, Any] | None = None,
        runtime: str = "torch",
        precision: str = "float32",
        quality: str = "normal",
        scale: int = 1,
    ) -> None:
        require_quality(quality)
        require_scale(scale, bundle.adapters)
        self.on_tile: Callable[[int, int], None] | None = None
        self.quality = quality
        self.scale = scale
        self.bundle = with_settings(bundle, settings) if settings else bundle
        self.device = usable_device(device)
        self._tiles_asked_for = tile_px is not None
        self.tile_px = tile_px or bundle.backbone.description.tile_px or DEFAULT_TILE_PX
        adapters = bundle.adapters.values()
        self.runtime = open_runtime(runtime, bundle.backbone, adapters, self.device, precision)
        self._recogniser = None
        if bundle.recogniser is not None:
            self._recogniser = copy.deepcopy(bundle.recogniser).eval().requires_grad_(False).to(self.device)
        self._prototypes = {name: tensor.to(self.device) for name, tensor in bundle.prototypes.items()}
        self._settings = recognition_settings(self.bundle)
        # A composition changes what every image runs through.
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        how = {
            "tile_px": self.tile_px if self._tiles_asked_for else None,
            "runtime": self.runtime.name,
            "precision": self.runtime.precision,
            "quality": self.quality,
            "scale": self.scale,
        }
        return _unpickled, (WithPlugins(self.bundle), str(self.device), how)

    @property
    def is_bare(self) -> bool:
        """True when there is the backbone alone: it restores every image, and nothing is recognised."""
        return not self.adapters and self._recogniser is None

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters, sorted."""
        return self.runtime.adapters

    @property
    def recognition_settings(self) -> RecognitionSettings:
        """How this bundle turns similarities into weights."""
        return self._settings

    def tile_px_for(self, height_px: int, width_px: int) -> int:
        """Return the largest side of a tile for an image of this size.

        A network that has to see the whole image anyway takes it at once where the memory allows it, unless
        a size of tiles was asked for.
        """
        if not self._tiles_asked_for and self.runtime.runs_whole(height_px, width_px):
            return max(height_px, width_px)
        return self.tile_px

    def recognise(self, image: ImageLike, settings: RecognitionSettings | None = None) -> Recognition:
        """Say which degradations an image shows, and with which weights the adapters should act.

        Args:
            image: a path, bytes, Pillow image, array or tensor, as for :meth:`restore`.
            settings: to see what others than the bundle's own would do.

        Raises:
            ImageError: the image cannot be read or is malformed.
            BundleError: the bundle has no recogniser.
        """
        return self._recognise(fill_hidden(as_image(image, as_levels=True)), settings)

    def restore(
        self,
        image: ImageLike,
        as_: str | Mapping[str, float] | None = None,
        strength: float = 1.0,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Restored:
        """Restore one image.

        With neither adapters nor a recogniser in the bundle, as after an import, the backbone does it alone.
        Pixels under full transparency take no part, and stay as they are. Of a file with several pages or
        frames it is the first one, and a note says so; :meth:`restore_pages` restores them all.

        Args:
            image: a path; an image file's bytes, or a binary file object; a Pillow image; an array (H, W) or
                (H, W, C), uint8, uint16 or floats in [0, 1]; or a tensor (C, H, W) or (1, C, H, W) in
                [0, 1]. C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).
            as_: the composition to use instead of the recognised one: ``"rain,noise"``,
                ``"rain=0.7,noise=0.3"`` or ``{"rain": 0.7}``.
            strength: 0 gives the input, 1 the restored image, values between blend the two.
            dtype: of the result: float32 in [0, 1], or uint8 or uint16, rounded as a file of 8 or 16 bits
                would be. A large image then takes a quarter or half of the memory.

        Raises:
            ImageError: the image cannot be read or is malformed.
            CompositionError: an unknown adapter, weights that do not add up, or a strength outside [0, 1].
            NotationError: ``as_`` is a text that is not written so.
            BundleError: no composition is named and the bundle has adapters but no recogniser.
            BackboneError: the network cannot be run on the image.
        """
        if not 0 <= strength <= 1:
            raise CompositionError(f"strength must be between 0 and 1, not {strength:g}")
        named = None if as_ is None else self.named(as_)
        source = as_image(image, as_levels=True)
        started = time.perf_counter()
        shown = fill_hidden(source)
        recognition, weights = None, dict(named or {})
        if named is None and not self.is_bare:
            recognition = self._recognise(shown)
            weights = dict(recognition.weights)
        if self.scale > 1:
            weights[ENLARGED_AS] = 1.0
        pixels = self._restore(source, shown, weights, strength, dtype)
        seconds = time.perf_counter() - started
        metadata = enlarge_metadata(source.metadata, self.scale)
        return Restored(pixels, weights, recognition, seconds, metadata, source.notes, bare=self.is_bare)

    def restore_alike(
        self,
        image: ImageLike,
        first: Restored,
        strength: float = 1.0,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Restored:
        """Restore an image with the composition that another one was restored with.

        Args:
            image: as in :meth:`restore`, like the rest.
            first: the other one.
            strength: as in :meth:`restore`.
            dtype: as in :meth:`restore`.

        Raises:
            PolyrestoreError: as in :meth:`restore`.
        """
        source = as_image(image, as_levels=True)
        started = time.perf_counter()
        pixels = self._restore(source, fill_hidden(source), first.weights, strength, dtype)
        seconds = time.perf_counter() - started
        metadata = enlarge_metadata(source.metadata, self.scale)
        return replace(first, pixels=pixels, seconds=seconds, metadata=metadata, notes=source.notes)

    def restore_pages(
        self, image: ImageLike, as_: str | Mapping[str, float] | None = None, strength: float = 1.0
    ) -> Iterator[Restored]:
        """Restore all pages of a file, or frames of an animation, with what is recognised in the first one.

        Only one of them is in memory at a time; :func:`polyrestore.write_pages` takes them as they come.

        Example:
            >>> pages = restorer.restore_pages("album.tif")              # doctest: +SKIP
            >>> polyrestore.write_pages("restored/album.tif", pages)     # doctest: +SKIP

        Args:
            image: as in :meth:`restore`; of a file, all its pictures.
            as_: as in :meth:`restore`.
            strength: as in :meth:`restore`.

        Yields:
            each of them, restored.

        Raises:
            PolyrestoreError: as in :meth:`restore`.
        """
        return restore_pages(
            lambda page: self.restore(page, as_, strength),
            lambda page, first: self.restore_alike(page, first, strength),
            as_pages(image),
        )

    def named(self, as_: str | Mapping[str, float]) -> dict[str, float]:
        """Return the composition that a user names, as :meth:`restore` takes it.

        Raises:
            NotationError: the text is not written as :meth:`restore` shows it.
            CompositionError: an unknown adapter, or weights that do not add up.
        """
        return named_composition(as_, self.adapters, full=self._settings.in_full)

    def explain(
        self, image: ImageLike, as_: str | Mapping[str, float] | None = None, strength: float = 1.0
    ) -> Explanation:
        """Restore one image, and show what each adapter at work does alone and adds to the result.

        With K adapters at work the network runs 2 K times more than in :meth:`restore`, less where two of
        the compositions are the same.

        Args:
            image: as in :meth:`restore`.
            as_: as in :meth:`restore`.
            strength: as in :meth:`restore`; the intermediates are blended with the input likewise.

        Raises:
            PolyrestoreError: as in :meth:`restore`.
            CompositionError: results are enlarged.
        """
        if self.scale > 1:
            raise CompositionError("what adapters do is shown at an image's own size; leave out the scale")
        source = as_image(image, as_levels=True)
        restored = self.restore(source, as_, strength)
        shown = fill_hidden(source)
        given, dtype = convert_levels(source.pixels, torch.float32), torch.float32
        return explained(given, restored, lambda only: self._compose(source, shown, only, strength, dtype))

    @contextmanager
    def composed(self, weights: Mapping[str, float]) -> Iterator[Composed]:
        """Let one composition act for the length of a block, merged once for all the images in it.

        Nothing is recognised or enlarged. Weights need not add up to 1; without any, the bare backbone runs.
        Other threads wait until the block has ended; recognising does not, unless an adapter has to be tried.

        Example:
            >>> with restorer.composed({"noise": 0.7}) as run:    # doctest: +SKIP
            ...     frames = [run(frame) for frame in frames]

        Args:
            weights: by adapter, at least 0.

        Yields:
            what restores an image (3, H, W) in [0, 1] of any size, on its device; it raises BackboneError
            where the network cannot be run on it.

        Raises:
            CompositionError: an unknown adapter, or a weight that is negative or not finite.
        """
        with self._lock, self.runtime.composed(weights):
            yield self._composed()

    def apply(self, images: Sequence[Tensor], weights: Mapping[str, float]) -> list[Tensor]:
        """Run images through one composition as it is given, merged once for all of them.

        Args:
            images: (3, H, W) in [0, 1] each, of any sizes.
            weights: as for :meth:`composed`.

        Returns:
            (3, H, W) in [0, 1] for each image, on its device.

        Raises:
            CompositionError: an unknown adapter, or a weight that is negative or not finite.
            BackboneError: the network cannot be run on an image.
        """
        with self.composed(weights) as run:
            return [run(pixels) for pixels in images]

    def change_in(self, pixels: Tensor, name: str, beside: Mapping[str, float]) -> float:
        """Return by how many grey levels (root mean square) an adapter changes what is made of an image.

        Args:
            pixels: (3, H, W) in [0, 1], of which four parts are tried.
            name: of the adapter.
            beside: the weights of others that act; without any, the image itself is changed.

        Raises:
            CompositionError: an unknown adapter.
        """
        return change_in(self.composed, pixels, name, beside)

    def confirmed(
        self, recognition: Recognition, image: Tensor, settings: RecognitionSettings | None = None
    ) -> Recognition:
        """Return a recognition without the adapters that find too little to do in an image (3, H, W)."""
        settings = settings or self._settings
        return confirmed(recognition, settings, partial(self.change_in, image))

    def _restore(
        self, source: Image, shown: Tensor, weights: Mapping[str, float], strength: float, dtype: torch.dtype
    ) -> Tensor:
        if self.scale > 1:
            return self._enlarge(source, shown, weights, strength, dtype)
        if not weights and not self.is_bare:
            return convert_levels(source.pixels, dtype)
        return self._compose(source, shown, weights, strength, dtype)

    def _enlarge(
        self, source: Image, shown: Tensor, weights: Mapping[str, float], strength: float, dtype: torch.dtype
    ) -> Tensor:
        # Between the two steps, levels of 8 bits would be too coarse.
        kept = torch.uint16 if dtype in LARGEST_LEVEL else dtype
        before = {name: weight for name, weight in weights.items() if name != ENLARGED_AS}
        pixels = self._compose(source, shown, before, strength, kept) if before else source.pixels
        own = replace(source, pixels=convert_levels(pixels, kept))
        large = Image(enlarge(own.pixels, self.scale), enlarge_metadata(source.metadata, self.scale))
        filled = fill_hidden(own)
        seen = large.pixels if filled is own.pixels else enlarge(filled, self.scale)
        return self._compose(large, seen, {ENLARGED_AS: 1.0}, strength, dtype)

    def _compose(
        self, source: Image, shown: Tensor, weights: Mapping[str, float], strength: float, dtype: torch.dtype
    ) -> Tensor:
        with self._lock, self.runtime.composed(weights):
            return self._composed().paint(Canvas(shown, dtype, image=source, strength=strength), weights)

    def _composed(self) -> Composed:
        return Composed(self.runtime, self.quality, self.tile_px_for, self.on_tile)

    def _recognise(self, pixels: Tensor, settings: RecognitionSettings | None = None) -> Recognition:
        if self._recogniser is None:
            raise BundleError(f"bundle {self.bundle.name!r} has no recogniser; name the degradations instead")
        image = to_floats(pixels.unsqueeze(0).to(self.device))
        settings = settings or self._settings
        with torch.inference_mode():
            seen = recognise(self._recogniser, self._prototypes, image, settings)
        return self.confirmed(seen, image[0], settings)


def _unpickled(bundle: WithPlugins, device: str, how: Mapping[str, Any]) -> Restorer:
    return Restorer(bundle.value, device, **how)
