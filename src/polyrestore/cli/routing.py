"""``polyrestore route``: a bundle that recognises with CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyrestore.cli.common import (
    AsJson,
    Bundle,
    Normalisation,
    Temperature,
    TopK,
    print_json,
    print_table,
    recognition_settings,
    require_bundle,
)
from polyrestore.cli.terminal import say


def route_command(
    clip: Annotated[
        str, typer.Option("--clip", metavar="FOLDER|NAME", help="A CLIP of transformers, or its hub name.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the bundle; it must be new.")],
    da_clip: Annotated[
        Path | None,
        typer.Option("--da-clip", metavar="CHECKPOINT", help="DA-CLIP's weights; --clip then tokenizes."),
    ] = None,
    bundle: Bundle = "default",
    words: Annotated[
        Path | None, typer.Option("--words", metavar="FILE", help="TOML file with the words of degradations.")
    ] = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    normalisation: Normalisation = None,
    name: Annotated[str | None, typer.Option(help="Of the bundle.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle that compares images with words, by CLIP or DA-CLIP, to choose its adapters.

    Nothing is trained. The encoder stays where it is, and the bundle refers to it.
    """
    require_bundle(bundle)

    from polyrestore.bundles import route_bundle

    routed = route_bundle(
        bundle,
        output,
        clip=clip,
        da_clip=da_clip,
        words=words,
        settings=recognition_settings(temperature, top_k, normalisation),
        name=name,
    )
    if as_json:
        print_json(**{**vars(routed), "folder": str(routed.folder)})
        return
    print_table(("prototype", "words"), [(key, ", ".join(value)) for key, value in routed.words.items()])
    settings = ", ".join(f"{key} {value}" for key, value in routed.settings.items())
    say(f"{routed.folder}: {routed.kind} at {routed.encoder}; {settings}")
