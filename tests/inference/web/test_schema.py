"""Requests that schemathesis draws from the API's own schema, sound and broken: every answer is one that the schema
names, and none is a fault of the server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

schemathesis = pytest.importorskip("schemathesis")
"""Its own plugin does not know this pytest: operations are gone through here."""

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis import GenerationMode, checks  # noqa: E402
from schemathesis.specs.openapi import checks as openapi_checks  # noqa: E402

from tests.inference.web.sites import over_http  # noqa: E402

CHECKS = (
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
)
EXAMPLES = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def url(archive: Path, detector: Path) -> Iterator[str]:
    with over_http(archive, detector=detector, min_score=0.0, max_upload_mb=1.0, max_body_mb=1.0) as address:
        yield address


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["sound", "broken"])
def test_every_answer_is_one_of_the_schema(url: str, mode: Any) -> None:
    key = str(httpx.post(url + "/api/search", json={}).json()["hits"][0]["key"])
    schema = schemathesis.openapi.from_url(url + "/openapi.json")
    seen: dict[str, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        @EXAMPLES
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            # Of keys that are drawn none is one of the archive: that of a sound request is.
            if mode is GenerationMode.POSITIVE and "key" in (case.path_parameters or {}):
                case.path_parameters["key"] = key
            case.call_and_validate(checks=CHECKS, timeout=60)
            seen[case.operation.label] = seen.get(case.operation.label, 0) + 1

        try:
            ask()
        except Exception as error:
            if "Unsatisfiable" not in type(error).__name__:  # nothing can be broken in a request without parameters
                raise
    assert len(seen) >= (14 if mode is GenerationMode.POSITIVE else 8), seen
