"""A bundle of tiny parts, and a process beside this one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.pool import Pool

import pytest

from polyrestore.bundles import save_bundle
from tests.support.tiny_bundle import tiny_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_bundle(tmp_path_factory.mktemp("bundles") / "tiny", tiny_bundle()))


@pytest.fixture(scope="session")
def worker() -> Iterator[Pool]:
    """A pool of one spawned process, which knows what it is told and no more."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool
