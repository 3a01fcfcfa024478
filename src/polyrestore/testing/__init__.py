"""Checks for networks, adapter kinds and degradations of one's own: the ones that the package's own pass.

Each runs what others rely on, and raises :class:`~polyrestore.errors.ContractError` with a sentence about the
first thing that is not so:

    >>> from polyrestore.testing import check_backbone
    >>> check_backbone("compact")
"""

from polyrestore.errors import ContractError
from polyrestore.testing.adapters import check_adapter
from polyrestore.testing.backbones import check_backbone
from polyrestore.testing.degradations import check_degradation

__all__ = ["ContractError", "check_adapter", "check_backbone", "check_degradation"]
