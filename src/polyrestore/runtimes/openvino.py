"""The core of a network as OpenVINO runs it on a CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyrestore.errors import needs_extra
from polyrestore.runtimes.graph import Engine, GraphRuntime
from polyrestore.runtimes.tracing import Core

_PURPOSE = "the runtime openvino"


class OpenVinoRuntime(GraphRuntime):
    """Runs the core of a backbone in OpenVINO; see :class:`~polyrestore.runtimes.graph.GraphRuntime`."""

    name = "openvino"

    @classmethod
    def engine_version(cls) -> str:
        """Return OpenVINO's version.

        Raises:
            MissingExtraError: it is not installed.
        """
        with needs_extra(_PURPOSE, "openvino"):
            import openvino
        return str(openvino.__version__)

    def convert(self, core: Core) -> dict[str, bytes]:
        """Return the core in OpenVINO's own format."""
        shapes = [list(example.shape) for example in core.examples]
        shapes[0] = [-1, shapes[0][1], -1, -1]
        shapes[1] = [-1, shapes[1][1]]
        return serialise(convert_trace(core.trace(), core.examples, shapes))

    def load(self, parts: Mapping[str, bytes], threads: int) -> Engine:
        """Return what runs the graph with so many threads."""
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            # Other threads of the process would have to move aside.
            "ENABLE_CPU_PINNING": False,
        }
        library = openvino.Core()
        model = library.read_model(parts["model.xml"], parts["model.bin"])
        request = library.compile_model(model, "CPU", settings).create_infer_request()

        def run(inputs: Sequence[np.ndarray]) -> np.ndarray:
            (result,) = request.infer(list(inputs), share_inputs=True).to_tuple()
            return np.asarray(result)

        return run


def convert_trace(
    traced: torch.jit.ScriptModule, examples: Sequence[torch.Tensor], shapes: Sequence[Sequence[int]]
) -> Any:
    """Return the OpenVINO model of a trace.

    ``openvino.convert_model`` would take ten times as long, and would send word of it over the network.

    Args:
        traced: the trace.
        examples: what it was traced with.
        shapes: of the inputs; -1 for what may be of any length.
    """
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    # What is read of it is read while it is converted: it has to live as long.
    decoder = TorchScriptPythonDecoder(traced, example_input=tuple(examples))
    loaded = frontend.load(decoder)
    model = frontend.convert(loaded)
    for given, shape in zip(model.inputs, shapes, strict=True):
        given.get_node().set_element_type(openvino.Type.f32)
        given.get_node().set_partial_shape(openvino.PartialShape(list(shape)))
    model.validate_nodes_and_infer_types()
    return model


def serialise(model: Any) -> dict[str, bytes]:
    """Return an OpenVINO model as its two files."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model.xml"
        openvino.serialize(model, str(place))
        return {name: (Path(folder) / name).read_bytes() for name in ("model.xml", "model.bin")}
