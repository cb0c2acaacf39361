"""Merge patches, RFC 7396: an object merges into an object, null removes, anything else replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from iotc_admin.emulator import problems
from iotc_admin.emulator.records import fresh_etag

if TYPE_CHECKING:
    from iotc_admin.contract.wire import Wire

W = TypeVar("W", bound="Wire")


def merged(thing: W, patch: Wire, *, read_only: set[str]) -> W:
    """`thing` after the patch, except what is read-only; 422 when no valid thing would be left."""
    changes = patch.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=read_only)
    try:
        return type(thing).model_validate(merge_patch(thing.to_wire(), changes), by_alias=True, by_name=False)
    except ValidationError as failure:
        raise problems.invalid_body(failure) from failure


def with_fresh_etag(thing: W) -> W:
    return thing.model_copy(update={"etag": fresh_etag()})


def merge_patch(target: Any, patch: Any) -> Any:
    """What the patch makes of a JSON value."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result
