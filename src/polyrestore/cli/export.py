"""``polyrestore export``: one composition of a bundle as a model that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyrestore.cli.common import AsJson, Bundle, print_json, require_bundle, weights_text
from polyrestore.cli.terminal import say


def export_command(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="onnx, openvino or torch.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file: .onnx, .xml for OpenVINO, .pt for torch.")
    ],
    as_: Annotated[
        str,
        typer.Option("--as", metavar="NAMES", help="What it restores: rain,noise or rain=0.7,noise=0.3."),
    ],
    bundle: Bundle = "default",
    as_json: AsJson = False,
) -> None:
    """Write a stand-alone model with the adapters merged, for images of any size.

    It is run once on a picture of another size than it was made with, and kept only where its result is the
    restorer's within 1/255. How images are to be handed to it stands in its metadata.
    """
    require_bundle(bundle, as_)

    from polyrestore.restoration.exporting import export_model
    from polyrestore.restoration.opening import load

    restorer = load(bundle, "cpu")
    exported = export_model(restorer, format_, restorer.named(as_), output)
    if as_json:
        print_json(
            files=[str(file) for file in exported.files],
            weights=dict(exported.weights),
            difference=exported.difference,
        )
        return
    say(
        f"{exported.files[0]}: {weights_text(exported.weights)}; differs from the restorer by at most "
        f"{exported.difference * 255:.4f} of 255 levels"
    )
