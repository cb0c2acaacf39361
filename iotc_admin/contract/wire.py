"""The base of all wire models: camelCase names, lenient in, exact out."""

from __future__ import annotations

from typing import Any, Final, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator
from pydantic.alias_generators import to_camel

STRICT: Final = "strict"

T = TypeVar("T")


class Wire(BaseModel):
    """A JSON object of the service.

    Read leniently, unknown fields are kept: a newer service must not break an older client. Written
    exactly: only the fields that were set go out.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="allow",
        defer_build=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """The JSON object with the fields that were set, under the service's names."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    @classmethod
    def read_leniently(cls, data: bytes) -> Self:
        """What the client does with an answer. Raises pydantic's `ValidationError`."""
        return cls.model_validate_json(data, by_alias=True, by_name=False)

    @classmethod
    def read_strictly(cls, data: bytes) -> Self:
        """What the emulator does with a request: no unknown field, no type bent to fit, no stray null.

        Raises pydantic's `ValidationError`.
        """
        return cls.model_validate_json(
            data, strict=True, extra="forbid", context=STRICT, by_alias=True, by_name=False
        )

    @model_validator(mode="after")
    def _null_means_removal(self, info: ValidationInfo) -> Self:
        # In a merge patch null removes a field; nowhere else does the published contract know null.
        if info.context == STRICT and not isinstance(self, Patch):
            nulls = [name for name in self.model_fields_set if getattr(self, name) is None]
            if nulls:
                message = f"null is not a value of {', '.join(sorted(nulls))}"
                raise ValueError(message)
        return self


class Patch(Wire):
    """A merge patch (RFC 7396): fields left out stay as they are, null removes."""


class OneOf(Wire):
    """An object whose `type` names the one other field that belongs to it.

    Read leniently, a type that this version does not know stays as it came.
    """

    type: str

    @model_validator(mode="after")
    def _type_and_field_agree(self, info: ValidationInfo) -> Self:
        if info.context != STRICT:
            return self
        arms = {to_camel(name): name for name in type(self).model_fields if name != "type"}
        if self.type not in arms:
            message = f"type {self.type!r} is none of {', '.join(arms)}"
            raise ValueError(message)
        strangers = self.model_fields_set - {"type", arms[self.type]}
        if strangers:
            message = f"{', '.join(sorted(strangers))} does not belong to type {self.type!r}"
            raise ValueError(message)
        return self


class Page(Wire, Generic[T]):
    """One page of a list. `next_link` is absolute, followed verbatim, and absent on the last page."""

    value: tuple[T, ...]
    next_link: str | None = None
