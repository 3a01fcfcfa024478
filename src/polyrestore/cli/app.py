"""``polyrestore app``: a web page on this machine."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from polyrestore.cli.common import Bundle, Device, require_bundle
from polyrestore.cli.terminal import say, stdout
from polyrestore.errors import needs_extra
from polyrestore.plugins import loaded_plugins


def app_command(
    bundle: Bundle = "default",
    device: Device = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; others than this machine need --token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 7860,
    token: Annotated[
        str | None,
        typer.Option(envvar="POLYRESTORE_TOKEN", help="What has to be known to use the page."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    max_mb: Annotated[float, typer.Option(metavar="N", help="Take files up to this size.")] = 200,
    max_megapixels: Annotated[float, typer.Option(metavar="N", help="Take images up to this size.")] = 100,
    queue: Annotated[int, typer.Option(metavar="N", help="Images that may wait; more are sent away.")] = 16,
    seconds: Annotated[float, typer.Option(metavar="S", help="That restoring an image may take.")] = 1800,
    receive_s: Annotated[float, typer.Option(metavar="S", help="That receiving a file may take.")] = 120,
) -> None:
    """Show a web page that restores photographs, until Ctrl-C ends it.

    Nothing that is dropped on it is kept, and nothing leaves this machine. docs/app.md says more.
    """
    require_bundle(bundle)
    with needs_extra("the web page", "app"):
        from polyrestore.app import server
    from polyrestore.app.limits import Limits

    limits = Limits(max_mb, max_megapixels, queue, seconds, receive_s)
    server.require_token(host, token)
    # Before what takes seconds.
    with server.open_socket(host, port) as bound:
        from polyrestore.app.engine import Engine
        from polyrestore.bulk.one_file import RestoreTask
        from polyrestore.bundles import pin_bundle

        task = RestoreTask(bundle=pin_bundle(bundle), device=device, plugins=loaded_plugins())
        engine = Engine(task, limits)
        address = _address(host, bound.getsockname()[1])
        say(f"polyrestore is at {address} (Ctrl-C ends it)")
        stdout.flush()
        if open_:
            import webbrowser

            webbrowser.open(address)
        # A signal is how it is meant to end.
        with contextlib.suppress(KeyboardInterrupt):
            server.make_server(engine, bound, token=token).run(sockets=[bound])
        say("closed")


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
