"""The core of a network as ONNX Runtime runs it on a CPU."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch

from polyrestore.errors import needs_extra
from polyrestore.runtimes.graph import Engine, GraphRuntime
from polyrestore.runtimes.tracing import Core

_PURPOSE = "the runtime onnx"
_OPSET = 17


class OnnxRuntime(GraphRuntime):
    """Runs the core of a backbone in ONNX Runtime; see :class:`~polyrestore.runtimes.graph.GraphRuntime`."""

    name = "onnx"

    @classmethod
    def engine_version(cls) -> str:
        """Return ONNX Runtime's version.

        Raises:
            MissingExtraError: it is not installed, or what it takes to convert a network for it.
        """
        with needs_extra(_PURPOSE, "onnx"):
            import onnx
            import onnxruntime
        return f"{onnxruntime.__version__}, onnx {onnx.__version__}"

    def convert(self, core: Core) -> dict[str, bytes]:
        """Return the core as an ONNX file."""
        names = ["images", "context", *(f"weight{number}" for number in range(len(core.changing)))]
        sizes = {"images": {0: "batch", 2: "height", 3: "width"}, "context": {0: "batch"}}
        return {"model.onnx": export_trace(core.trace(), core.examples, names, sizes)}

    def load(self, parts: Mapping[str, bytes], threads: int) -> Engine:
        """Return what runs the graph with so many threads."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        try:
            session = onnxruntime.InferenceSession(
                parts["model.onnx"], settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # Its errors have no base but this one.
            raise ValueError(str(error)) from error
        names = [given.name for given in session.get_inputs()]

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            (result,) = session.run(None, dict(zip(names, inputs, strict=True)))
            return cast(np.ndarray, result)

        return run


def export_trace(
    traced: torch.jit.ScriptModule,
    examples: Sequence[torch.Tensor],
    names: Sequence[str],
    sizes: Mapping[str, Mapping[int, str]],
) -> bytes:
    """Return a trace as the bytes of an ONNX file with one output, ``restored``.

    The exporter of traces takes a second or two, the newer one half a minute and more.

    Args:
        traced: the trace.
        examples: what it was traced with.
        names: of the inputs.
        sizes: by input, the axes that may have any length, and what each is called.
    """
    restored = {axis: name for axis, name in next(iter(sizes.values())).items()}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        place = Path(folder) / "model.onnx"
        warnings.simplefilter("ignore")
        torch.onnx.export(
            traced,
            tuple(examples),
            place,
            input_names=list(names),
            output_names=["restored"],
            dynamic_axes={**sizes, "restored": restored},
            opset_version=_OPSET,
            dynamo=False,
        )
        return place.read_bytes()
