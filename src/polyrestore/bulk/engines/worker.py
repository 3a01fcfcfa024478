"""What runs in a worker process: one file after another, as they come through a pipe."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from multiprocessing.connection import Connection


def run_worker(connection: Connection, task: bytes, threads: int) -> None:
    """Be a worker process, until the other end of the pipe is closed or its process has ended.

    Args:
        connection: see :func:`serve`.
        task: a pickled :class:`~polyrestore.bulk.one_file.RestoreTask`. To unpickle it is to import torch.
        threads: how many the libraries may use.
    """
    # Ctrl-C reaches all processes of a terminal. What becomes of a run is for its own process to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # Some libraries read this once, when they are loaded.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
    serve(connection, task)


def serve(connection: Connection, task: bytes) -> None:
    """Open a restorer, and restore the files that come through a pipe.

    Sent are: None once the restorer is open, or the error that kept it from being opened, which is the end;
    for each file a pair of numbers after each tile, how many are finished and how many there are; and its
    record.

    Args:
        connection: brings :class:`~polyrestore.bulk.one_file.SettledJob`; closed at the other end, it ends
            this.
        task: pickled.
    """
    from polyrestore.bulk.any_file import restore_any
    from polyrestore.errors import DeviceError, PolyrestoreError

    # The other end is closed when nobody waits for an answer any more.
    with connection, contextlib.suppress(EOFError, OSError):
        try:
            what = pickle.loads(task)
            restorer = what.open()
        except PolyrestoreError as error:
            connection.send(error)
            return
        except Exception as error:
            connection.send(DeviceError(f"a worker cannot begin: {type(error).__name__}: {error}"))
            return
        restorer.on_tile = lambda done, total: connection.send((done, total))
        connection.send(None)
        while True:
            connection.send(restore_any(what, connection.recv(), restorer))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # What lies beside its place is removed by the next run.
        os._exit(1)
