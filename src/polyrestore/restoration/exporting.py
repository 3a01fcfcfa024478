"""A stand-alone model: one composition of a bundle as a file that other programs run without this package.

What restores an image is in the file, padding and the context of the whole image included, so that it takes
images of any size. What this package does around it is described in the file instead: see ``DESCRIPTION``.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from polyrestore import __version__
from polyrestore.adapters import AdapterBank
from polyrestore.bundles.fingerprint import fingerprint
from polyrestore.errors import BackboneError, OutputError, UnknownRuntimeError, needs_extra, unknown_name
from polyrestore.files import atomic_path, write_bytes
from polyrestore.restoration.restorer import Restorer
from polyrestore.runtimes.graph import graph_obstacle
from polyrestore.runtimes.onnx import OnnxRuntime, export_trace
from polyrestore.runtimes.openvino import OpenVinoRuntime, convert_trace, serialise

DESCRIPTION: Mapping[str, str] = {
    "input": "image: float32 (1, 3, H, W), RGB with the transfer curve of the file (sRGB), levels divided by "
    "the largest one (255 or 65535), so in [0, 1]; H and W from 1",
    "output": "restored: float32 (1, 3, H, W), RGB in [0, 1], clipped",
    "orientation": "of EXIF, to be applied first",
    "transparency": "to be left out: restore RGB, and keep the alpha channel",
    "grey": "give the three channels one value, and take their mean of the result",
    "range": "in the package, a picture whose brightest value is below 0.25 is stretched to 0.9 before, and "
    "back afterwards, where only noise, blur and other damage of the camera or the file is restored",
    "size": "the whole image is run at once, with memory in proportion; there are no tiles",
}
"""What stands in an exported file beside the network, by subject."""

LARGEST_DIFFERENCE = 1 / 255
"""A file whose result differs more from the restorer's is not kept."""

_TRACED_PX = (72, 104)
_CHECKED_PX = (131, 90)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: the files, the first of which is opened.
        weights: the composition that they hold.
        difference: the largest to the restorer's result on an image of another size than was traced.
    """

    files: tuple[Path, ...]
    weights: Mapping[str, float]
    difference: float


class Standalone(nn.Module):
    """Restores whole images (1, 3, H, W) of any size with one composition, padding and clipping included."""

    def __init__(self, restorer: Restorer, weights: Mapping[str, float]) -> None:
        super().__init__()
        bundle = restorer.bundle
        bank = AdapterBank(copy.deepcopy(bundle.backbone).cpu().eval())
        for name in weights:
            bank.add(bundle.adapters[name])
        bank.merge(weights)
        self.network = bank.backbone.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Return (1, 3, H, W) in [0, 1] for an image (1, 3, H, W) in [0, 1]."""
        restored: Tensor = self.network(image)
        return restored.clamp(0, 1)


Run = Callable[[np.ndarray], np.ndarray]


def export_model(restorer: Restorer, format_: str, weights: Mapping[str, float], output: Path) -> Exported:
    """Write one composition as a stand-alone model, and compare it with the restorer.

    Args:
        restorer: of the bundle.
        format_: one of :data:`EXPORT_FORMATS`.
        weights: by adapter, as :meth:`~polyrestore.Restorer.named` returns them.
        output: the file; its ending is the format's own. It must not be there.

    Raises:
        UnknownNameError: there is no such format.
        BackboneError: no graph can be made of the network, or what was made gives something else; nothing is
            left of it then.
        MissingExtraError: the format's library is not installed.
        OutputError: the file is there, has another ending, or cannot be written.
    """
    if format_ not in EXPORT_FORMATS:
        raise unknown_name("export format", format_, EXPORT_FORMATS, UnknownRuntimeError)
    ending, write, opener = EXPORT_FORMATS[format_]
    obstacle = graph_obstacle(restorer.bundle.backbone, torch.device("cpu"), "float32")
    if obstacle is not None:
        raise BackboneError(f"{obstacle}, so it cannot be exported")
    if output.suffix != ending:
        raise OutputError(f"{output} does not end in {ending}, as a model of this format has to")
    files = (output,) if format_ != "openvino" else (output, output.with_suffix(".bin"))
    for file in files:
        if file.exists():
            raise OutputError(f"{file} is there already; name another file")
    example = torch.rand(1, 3, *_TRACED_PX, generator=torch.Generator().manual_seed(0))
    traced = _trace(Standalone(restorer, weights), example)
    write(traced, example, _metadata(restorer, weights), files)
    difference = float("inf")
    try:
        difference = _difference(restorer, weights, opener(output))
        if not difference <= LARGEST_DIFFERENCE:
            raise BackboneError(
                f"the {format_} model differs from the restorer by {difference * 255:.1f} of 255 levels, "
                "so it was not kept"
            )
    finally:
        if not difference <= LARGEST_DIFFERENCE:
            for file in files:
                file.unlink(missing_ok=True)
    return Exported(files, weights, difference)


def _trace(module: nn.Module, example: Tensor) -> torch.jit.ScriptModule:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace = cast(Callable[..., torch.jit.ScriptModule], torch.jit.trace)
        return trace(module.eval(), (example,), check_trace=False)


def _difference(restorer: Restorer, weights: Mapping[str, float], run: Run) -> float:
    """Return the largest difference to the restorer's result on a generated picture."""
    height, width = _CHECKED_PX
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    smooth = torch.stack([rows * columns, (rows + columns) / 2, (1 - rows).expand(height, width)])
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
    image = 0.8 * smooth + 0.2 * noise
    (wanted,) = restorer.apply([image.to(restorer.device)], weights)
    return float((torch.from_numpy(run(image[None].numpy()))[0] - wanted.cpu()).abs().max())


def _metadata(restorer: Restorer, weights: Mapping[str, float]) -> dict[str, str]:
    bundle = restorer.bundle
    return {
        "made_by": f"polyrestore {__version__}",
        "bundle": bundle.name,
        "bundle_sha256": fingerprint(bundle),
        "licence": bundle.info.licence or "not stated",
        "composition": json.dumps(dict(weights)),
        **DESCRIPTION,
    }


def _write_torch(
    traced: torch.jit.ScriptModule, example: Tensor, metadata: Mapping[str, str], files: Sequence[Path]
) -> None:
    with atomic_path(files[0]) as temporary:
        traced.save(str(temporary), _extra_files={"metadata.json": json.dumps(metadata)})


def _open_torch(file: Path) -> Run:
    network = torch.jit.load(str(file))  # type: ignore[no-untyped-call]
    return lambda image: cast(np.ndarray, network(torch.from_numpy(image)).detach().numpy())


def _write_openvino(
    traced: torch.jit.ScriptModule, example: Tensor, metadata: Mapping[str, str], files: Sequence[Path]
) -> None:
    OpenVinoRuntime.engine_version()
    model = convert_trace(traced, (example,), [[1, 3, -1, -1]])
    model.inputs[0].get_tensor().set_names({"image"})
    model.outputs[0].get_tensor().set_names({"restored"})
    for name, value in metadata.items():
        model.set_rt_info(value, ["polyrestore", name])
    parts = serialise(model)
    for file, name in zip(files[::-1], ("model.bin", "model.xml"), strict=True):
        write_bytes(file, parts[name])


def _open_openvino(file: Path) -> Run:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(file), "CPU", settings)
    return lambda image: np.asarray(compiled([image])[0])


def _write_onnx(
    traced: torch.jit.ScriptModule, example: Tensor, metadata: Mapping[str, str], files: Sequence[Path]
) -> None:
    OnnxRuntime.engine_version()
    import onnx

    content = export_trace(traced, (example,), ["image"], {"image": {2: "height", 3: "width"}})
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, dict(metadata))
    write_bytes(files[0], model.SerializeToString())


def _open_onnx(file: Path) -> Run:
    with needs_extra("checking an ONNX file", "onnx"):
        import onnxruntime
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda image: cast(np.ndarray, session.run(None, {"image": image})[0])


EXPORT_FORMATS: dict[str, tuple[str, Callable[..., None], Callable[[Path], Any]]] = {
    "onnx": (".onnx", _write_onnx, _open_onnx),
    "openvino": (".xml", _write_openvino, _open_openvino),
    "torch": (".pt", _write_torch, _open_torch),
}
"""By name, the ending of a format's file, what writes it, and what opens it to be run."""
