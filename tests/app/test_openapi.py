"""The interface keeps what its own OpenAPI document says, whatever it is sent."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from tests.app.conftest import Site, picture

CASES = 8


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_requests_of_all_kinds_are_answered_as_described(site: Site, mode: GenerationMode) -> None:
    schema: Any = schemathesis.openapi.from_url(f"{site.url}api/openapi.json")
    # Which names there are, and that bytes are an image, no document can say.
    left_out: Any = CHECKS.get_by_names(["positive_data_acceptance"])
    image = picture()
    count, without = 0, 0
    for found in schema.get_all_operations():
        operation = found.ok()
        count += 1

        @settings(
            max_examples=CASES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            case.call_and_validate(excluded_checks=left_out)
            if mode is GenerationMode.POSITIVE and case.method == "POST":
                case.body = image
                case.call_and_validate(excluded_checks=left_out)

        try:
            check()
        except Unsatisfiable:
            # Where nothing is asked for, nothing can be wrong.
            assert mode is GenerationMode.NEGATIVE
            without += 1
    assert count == 8
    assert without <= 3


def test_documents_load_no_scripts_from_elsewhere(site: Site) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert site.ask(path).status == 404
    assert site.ask("/api/openapi.json").json["info"]["title"] == "polyrestore"
