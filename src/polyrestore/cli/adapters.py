"""``polyrestore adapters``: add adapters to a bundle of your own, remove them, look at them, share them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyrestore.cli.common import AsJson, Bundle, CopiedBundle, print_json, print_table
from polyrestore.cli.terminal import say

if TYPE_CHECKING:
    from polyrestore.adapters import Adapter

adapters_app = typer.Typer(
    name="adapters",
    help="Add adapters to a bundle of your own, take them away, look at them, and share them.",
    rich_markup_mode=None,
)

Own = Annotated[
    Path, typer.Option("--into", "-o", metavar="BUNDLE", help="Your own bundle; made if missing.")
]
NewName = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Another name for the adapter.")]


@adapters_app.command("add")
def add_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An adapter's folder.")],
    into: Own,
    bundle: CopiedBundle = None,
    name: NewName = None,
    as_json: AsJson = False,
) -> None:
    """Add an adapter that somebody trained beside the same network; nothing in its folder is ever run."""
    from polyrestore.adapters import load_adapter
    from polyrestore.bundles import save_bundle
    from polyrestore.bundles.installing import open_own, with_adapter

    adapter = load_adapter(folder, name)
    own = open_own(into, bundle)
    save_bundle(into, with_adapter(own, adapter))
    recognised = adapter.prototype is not None and own.recogniser is not None
    if as_json:
        print_json(name=adapter.name, bundle=str(into), recognised=recognised)
        return
    _tell_added(adapter.name, into, recognised)


@adapters_app.command("remove")
def remove_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the adapter.")],
    bundle: Annotated[Path, typer.Option("--from", metavar="BUNDLE", help="Your own bundle.")],
    as_json: AsJson = False,
) -> None:
    """Take an adapter out of a bundle of your own, with all that it was recognised by."""
    from polyrestore.bundles import load_bundle, save_bundle
    from polyrestore.bundles.installing import require_own, without_adapter

    require_own(bundle)
    save_bundle(bundle, without_adapter(load_bundle(bundle), name))
    if as_json:
        print_json(name=name, bundle=str(bundle))
        return
    say(f"{name}: removed from {bundle}")


@adapters_app.command("pull")
def pull_command(
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="An adapter's repository on the Hugging Face hub.")
    ],
    into: Annotated[
        Path,
        typer.Option("--into", "--to", "-o", metavar="BUNDLE", help="Your own bundle; made if missing."),
    ],
    revision: Annotated[
        str | None, typer.Option(metavar="REVISION", help="A branch, tag or commit; the newest by default.")
    ] = None,
    bundle: CopiedBundle = None,
    name: NewName = None,
    as_json: AsJson = False,
) -> None:
    """Add an adapter from the Hugging Face hub; nothing in its repository is ever run."""
    from polyrestore.bundles import save_bundle
    from polyrestore.bundles.installing import open_own, with_adapter
    from polyrestore.bundles.sharing import pull_adapter

    adapter = pull_adapter(repository, revision, name)
    own = open_own(into, bundle)
    save_bundle(into, with_adapter(own, adapter))
    recognised = adapter.prototype is not None and own.recogniser is not None
    if as_json:
        print_json(
            name=adapter.name, bundle=str(into), recognised=recognised, source=adapter.record["source"]
        )
        return
    _tell_added(adapter.name, into, recognised)


@adapters_app.command("push")
def push_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the adapter.")],
    repository: Annotated[
        str,
        typer.Option(
            "--to", metavar="OWNER/NAME", help="Repository on the Hugging Face hub; made if missing."
        ),
    ],
    bundle: Annotated[
        str, typer.Option("--from", metavar="BUNDLE", help="The bundle that has it; default.")
    ] = "default",
    private: Annotated[
        bool, typer.Option("--private", help="Make a repository that others cannot see.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish an adapter on the Hugging Face hub, with how it is recognised and a card for people."""
    from polyrestore.bundles import load_bundle
    from polyrestore.bundles.sharing import push_adapter

    done = push_adapter(load_bundle(bundle), name, repository, private=private)
    if as_json:
        print_json(name=name, repository=repository, commit=done.commit, private=done.private, url=done.url)
        return
    seen = "private" if done.private else "to be seen by everybody"
    say(f"{name}: at {repository} now, {seen} ({done.url})")


@adapters_app.command("list")
def list_command(bundle: Bundle = "default", as_json: AsJson = False) -> None:
    """List the adapters of a bundle: their sizes, whether they are recognised, and what was gained."""
    entries = [_entry(adapter) for adapter in _adapters(bundle)]
    if as_json:
        print_json(bundle=bundle, adapters=entries)
    elif entries:
        print_table(tuple(entries[0]), [tuple(_cell(value) for value in entry.values()) for entry in entries])
    else:
        say("no adapters")


@adapters_app.command("show")
def show_command(
    adapter: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="An adapter's name, or its folder.")],
    bundle: Bundle = "default",
    as_json: AsJson = False,
) -> None:
    """Show all that an adapter states: its base, how it is recognised, how it was made, what it is worth."""
    from polyrestore.adapters import load_adapter
    from polyrestore.adapters.card import flat_record
    from polyrestore.errors import AdapterError, nearest_names

    place = Path(adapter)
    if place.is_dir():
        found = load_adapter(place)
    else:
        known = {each.name: each for each in _adapters(bundle)}
        if adapter not in known:
            hint = nearest_names(adapter, known) if known else "it has none"
            raise AdapterError(f"{bundle} has no adapter {adapter!r}, and there is no such folder; {hint}")
        found = known[adapter]
    prototype = found.prototype
    facts = {
        **_entry(found),
        "base_sha256": found.base_sha256,
        "recogniser_sha256": "" if prototype is None else prototype.recogniser_sha256,
        "supersedes": [] if prototype is None else list(prototype.supersedes),
        "least_change": None if prototype is None else prototype.least_change,
        "beside_share": None if prototype is None else prototype.beside_share,
        "record": dict(found.record),
    }
    if as_json:
        print_json(**facts)
        return
    plain = {key: _cell(value) for key, value in facts.items() if key not in ("record", "supersedes")}
    plain["supersedes"] = ", ".join(facts["supersedes"])
    rows = [(key.replace("_", " "), value) for key, value in plain.items() if value]
    print_table(("what", "value"), [*rows, *flat_record(found.record)])


def _tell_added(name: str, into: Path, recognised: bool) -> None:
    if not recognised:
        say(f"note: {name} is not recognised by itself; name it: --as {name}")
    say(f"{name}: added, written to {into}")


def _adapters(bundle: str) -> list[Adapter]:
    """Return the adapters of a bundle with their prototypes, by name."""
    from polyrestore.bundles import load_bundle
    from polyrestore.bundles.stating import stated_adapters

    return [adapter for _, adapter in sorted(stated_adapters(load_bundle(bundle)).items())]


def _entry(adapter: Adapter) -> dict[str, Any]:
    prototype = adapter.prototype
    taught = adapter.record.get("taught")
    return {
        "name": adapter.name,
        "kind": adapter.config.kind,
        "size": adapter.config.size_text(),
        "parameters": adapter.parameter_count,
        "recognised": prototype is not None,
        "least_share": None if prototype is None else prototype.least_share,
        "gain_db": taught.get("gain") if isinstance(taught, dict) else None,
    }


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    )
