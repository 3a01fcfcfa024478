"""The model card: what a bundle is, made of, trained on and worth, written from the bundle itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from polyrestore.adapters import bare_state_dict, base_sha256, layer_count
from polyrestore.backbones.capabilities import reference_of
from polyrestore.bundles.bundle import UNKNOWN_LICENCE, Bundle, BundleInfo


def model_card(bundle: Bundle, dtype: torch.dtype = torch.float16) -> str:
    """Return the Markdown of a bundle's ``README.md``.

    Args:
        bundle: what to describe.
        dtype: of the weights on disk, for the sizes.
    """
    info = bundle.info
    sections = [
        _front_matter(info.licence),
        f"# {bundle.name}\n",
        _paragraph(
            info.summary or "A bundle of polyrestore: restores photographs whose degradation it recognises."
        ),
        "## Architecture\n",
        _architecture(bundle, dtype),
        "## Adapters\n",
        _adapters(bundle, dtype),
        "## Recognition\n",
        _recognition(bundle),
        "## Training data\n",
        _provenance(info.provenance),
        "## Measured results\n",
        _results(bundle),
        "## Licence\n",
        _paragraph(_licence(info)),
        "## How to use\n",
        _usage(),
    ]
    return "\n".join(sections)


def licence_text(licence: str) -> str:
    """Return the text of a bundle's ``LICENSE`` for an SPDX identifier."""
    if licence == UNKNOWN_LICENCE:
        return (
            "The licence of the weights in this folder is not known here.\n"
            "Ask those who published them before you pass them on.\n"
        )
    return (
        f"The weights in this folder are licensed under {licence}.\n\n"
        f"SPDX-License-Identifier: {licence}\n"
        f"The full text is at https://spdx.org/licenses/{licence}.html\n"
    )


def _licence(info: BundleInfo) -> str:
    if info.licence == UNKNOWN_LICENCE:
        return f"The licence of the weights, version {info.version}, is not known here; see `LICENSE`."
    return f"The weights, version {info.version}, are under {info.licence}; see `LICENSE`."


def _front_matter(licence: str) -> str:
    return (
        f"---\nlicense: {licence.lower()}\nlibrary_name: polyrestore\npipeline_tag: image-to-image\n"
        "tags:\n- image-restoration\n---\n"
    )


def _architecture(bundle: Bundle, dtype: torch.dtype) -> str:
    description = bundle.backbone.description
    rows = [("backbone", f"`{description.name}`")]
    rows += [(f"option `{key}`", f"`{value}`") for key, value in sorted(bundle.backbone.options.items())]
    reference = reference_of(bundle.backbone)
    if reference is not None:
        rows.append(("base model, not in the bundle", f"`{reference.model}`"))
    rows.append(("SHA-256 that adapters name as their base", f"`{base_sha256(bundle.backbone)}`"))
    parameters = sum(tensor.numel() for tensor in bare_state_dict(bundle.backbone).values())
    rows += [
        ("parameters of the backbone", f"{parameters:,}"),
        ("size multiple", f"{description.size_multiple} px"),
        ("reach of a pixel", f"{description.receptive_radius_px} px"),
        ("weights on disk", str(dtype).removeprefix("torch.")),
    ]
    return _table(("what", "value"), rows)


def _adapters(bundle: Bundle, dtype: torch.dtype) -> str:
    if not bundle.adapters:
        return _paragraph("None.")
    rows = [
        (
            f"`{name}`",
            adapter.config.kind,
            adapter.config.size_text(),
            str(layer_count(adapter)),
            f"{adapter.parameter_count:,}",
            f"{adapter.size_bytes(dtype) / 1e6:.2f} MB",
        )
        for name, adapter in sorted(bundle.adapters.items())
    ]
    return _table(("adapter", "kind", "size", "layers", "parameters", "on disk"), rows)


def _recognition(bundle: Bundle) -> str:
    if bundle.recogniser is None and not bundle.adapters:
        return _paragraph("None: the backbone restores every image alone.")
    if bundle.recogniser is None:
        return _paragraph("None: name the degradation yourself.")
    parameters = sum(tensor.numel() for tensor in bundle.recogniser.state_dict().values())
    rows = [("parameters of the recogniser", f"{parameters:,}")]
    source = bundle.recogniser.reference()
    if source is not None:
        # Where it lay on one machine helps nobody else.
        place = source.path if source.revision else Path(source.path).name
        rows.append((f"{bundle.recogniser.kind} encoder, not in this folder", f"`{place}`"))
    rows += [(f"option `{key}`", f"`{value}`") for key, value in sorted(bundle.recogniser.options.items())]
    rows += [(f"setting `{key}`", f"`{value}`") for key, value in sorted(bundle.recognition_settings.items())]
    rows.append(("prototypes", ", ".join(f"`{name}`" for name in sorted(bundle.prototypes)) or "none"))
    return _table(("what", "value"), rows)


def _provenance(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) + "\n" if lines else _paragraph("Not recorded.")


def _results(bundle: Bundle) -> str:
    if not bundle.info.results:
        return _paragraph("None recorded.")
    rows = [
        (
            result.data,
            result.metric,
            result.protocol,
            "" if result.before is None else f"{result.before:.2f}",
            f"{result.after:.2f}",
        )
        for result in bundle.info.results
    ]
    return _table(("data", "metric", "protocol", "before", "after"), rows)


def _usage() -> str:
    return (
        "```\npolyrestore restore photo.jpg -o restored --bundle PATH/TO/THIS/FOLDER\n```\n\n"
        "```python\nimport polyrestore\n\n"
        'restorer = polyrestore.load("PATH/TO/THIS/FOLDER")\n'
        'restored = restorer.restore("photo.jpg")\n```\n\n'
        "Every weight file has its SHA-256 in `model.json` and is checked before use. LoRA adapters are in\n"
        "PEFT's layout. This page was written when the bundle was saved.\n"
    )


def _paragraph(text: str) -> str:
    return text.strip() + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"

    return "\n".join([line(header), line(["---"] * len(header)), *(line(row) for row in rows)]) + "\n"
