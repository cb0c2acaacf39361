"""schemathesis judges the running emulator by the published contract."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from iotc_admin.contract import operations as op
from iotc_admin.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

_PUBLISHED = Path(__file__).parents[1] / "contract" / "iot-central-2022-07-31.yaml"
_SERVED = sorted(thing.name for thing in vars(op).values() if isinstance(thing, op.Operation))
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(throttle="off") as running:
        yield running


@pytest.fixture(scope="module")
def published() -> Any:
    return schemathesis.openapi.from_dict(yaml.safe_load(_PUBLISHED.read_text()))


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", _SERVED)
def test_the_emulator_keeps_the_published_contract(
    emulator: Emulator, published: Any, operation: str, mode: schemathesis.GenerationMode
) -> None:
    strategy = published.find_operation_by_id(operation).as_strategy(generation_mode=mode)

    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=strategy)
    def judge(case: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": emulator.api_token}
        if mode is schemathesis.GenerationMode.POSITIVE:
            case.query = {**(case.query or {}), "api-version": op.API_VERSION}
        response = case.call(base_url=f"{emulator.app}/api", verify=str(emulator.ca_file))
        case.validate_response(response, checks=_CHECKS)
        assert response.status_code != HTTPStatus.UNAUTHORIZED

    judge()
