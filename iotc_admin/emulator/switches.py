"""The questions about the real service that nobody could answer yet, as switches.

Each default is the less convenient answer; where documents or clients tell otherwise, theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

from iotc_admin.errors import SettingsError


def _switch(default: str, question: str) -> Any:
    return field(default=default, metadata={"question": question})


@dataclass(frozen=True, kw_only=True)
class Switches:
    """How the emulator behaves where the real service's behaviour is not known."""

    same_put: Literal["resets", "keeps"] = _switch(
        "resets", "What a PUT of the identical certificate does to `verified`."
    )
    code: Literal["fresh", "stable"] = _switch(
        "fresh", "Whether a second verification code is a new one, which ends the first."
    )
    code_lifetime: Literal["endless", "hour"] = _switch(
        "endless", "How long a verification code is good for."
    )
    duplicate_name: Literal["409", "422"] = _switch(
        "409", "The answer to a second enrollment group of the same display name."
    )
    shared_ca: Literal["409", "422", "allowed"] = _switch(
        "409", "The answer to a certificate that another group holds already."
    )
    patch_json: Literal["accepted", "refused"] = _switch(
        "accepted", "Whether PATCH takes application/json beside application/merge-patch+json."
    )
    retry_after: Literal["absent", "sent"] = _switch("absent", "Whether a 429 carries Retry-After.")
    both_slots: Literal["refused", "allowed"] = _switch(
        "refused", "Whether one certificate may be in both slots of a group."
    )
    group_limit: Literal["100", "none"] = _switch(
        "100", "How many X.509 enrollment groups an application may have."
    )
    delete_missing: Literal["404", "204"] = _switch(
        "404", "The answer to the deletion of a thing that does not exist."
    )
    long_ids: Literal["refused", "accepted"] = _switch(
        "refused", "Whether a device id beyond 64 characters, the limit of a CN, may have X.509 attestation."
    )
    put_verified: Literal["works", "ignored"] = _switch(
        "works", "Whether `verified: true` in a slot PUT skips proof of possession."
    )
    device_cn: Literal["stored", "checked"] = _switch(
        "stored", "Whether an attestation's subject and issuer CN are compared with the device id at once."
    )
    reads: Literal["immediate", "delayed"] = _switch(
        "immediate", "Whether a slot read shows a change at once or five seconds later."
    )
    create_status: Literal["200", "201"] = _switch("200", "The status of a successful PUT.")
    page_size_query: Literal["top", "maxpagesize", "both", "ignored"] = _switch(
        "top", "Which query parameter sets the page size."
    )
    group_slots: Literal["hidden", "shown"] = _switch("hidden", "Whether reading a group shows its slots.")
    bare_pem: Literal["refused", "accepted"] = _switch(
        "refused", "Whether a slot takes PEM text that is not base64-encoded once more."
    )

    disabled_group: Literal["keeps", "drops"] = _switch(
        "keeps", "Whether disabling a group leaves the connections of its devices alone."
    )
    renewed_ca: Literal["refused", "matches"] = _switch(
        "refused", "Whether a CA renewed under the same key stands for certificates older than itself."
    )

    @classmethod
    def parse(cls, settings: Iterable[str]) -> Switches:
        """From words such as `same-put=keeps`. SettingsError names what would have been valid."""
        chosen: dict[str, Any] = {}
        for setting in settings:
            name, _, value = setting.partition("=")
            chosen[name.replace("-", "_")] = _allowed(name, value)
        return cls(**chosen)

    @staticmethod
    def values() -> Mapping[str, tuple[str, ...]]:
        """Every switch and its values, the default first."""
        hints = get_type_hints(Switches)
        return {each.name.replace("_", "-"): get_args(hints[each.name]) for each in fields(Switches)}

    @staticmethod
    def questions() -> Mapping[str, str]:
        """Every switch and the question it answers, for help texts."""
        return {each.name.replace("_", "-"): each.metadata["question"] for each in fields(Switches)}


def _allowed(name: str, value: str) -> str:
    values = Switches.values().get(name)
    if values is None:
        hint = f"valid switches: {', '.join(Switches.values())}"
        raise SettingsError(f"the emulator has no switch {name!r}", hint=hint)
    if value not in values:
        hint = f"write {' or '.join(f'{name}={each}' for each in values)}"
        raise SettingsError(f"{value!r} is no value of the switch {name}", hint=hint)
    return value
