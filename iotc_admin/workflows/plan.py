"""The plan: all that is to be done to an application, as a frozen value without secrets.

It names a CA by its thumbprint; the executor is handed the key.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from iotc_admin.contract.enrollment_groups import Slot


@dataclass(frozen=True)
class CreateGroup:
    """Make an X.509 group."""

    group: str
    display_name: str
    type: str
    enabled: bool

    def __str__(self) -> str:
        return f"create group {self.group} ({self.type}{'' if self.enabled else ', disabled'})"


@dataclass(frozen=True)
class UpdateGroup:
    """Change the fields that are not None, and only those."""

    group: str
    display_name: str | None
    enabled: bool | None
    etag: str

    def __str__(self) -> str:
        changes = [] if self.display_name is None else [f"display name {self.display_name!r}"]
        changes += [] if self.enabled is None else ["enable" if self.enabled else "disable"]
        return f"update group {self.group}: {', '.join(changes)}"


@dataclass(frozen=True)
class DeleteGroup:
    """Remove a group with its certificates."""

    group: str

    def __str__(self) -> str:
        return f"delete group {self.group}"


@dataclass(frozen=True)
class PutCertificate:
    """Fill a slot. `replaces` is the thumbprint that stands there now, empty for a free slot."""

    group: str
    slot: Slot
    thumbprint: str
    replaces: str
    etag: str
    attest: str
    """Why it counts as verified without proof; empty: it does not."""

    def __str__(self) -> str:
        what = f"{self.group}/{self.slot}: upload {short(self.thumbprint)}"
        what += f", replacing {short(self.replaces)}" if self.replaces else ""
        return what + (f", verified without proof ({self.attest})" if self.attest else "")


@dataclass(frozen=True)
class Prove:
    """Prove possession of the key of the certificate in a slot: code, sign, verify, read back."""

    group: str
    slot: Slot
    thumbprint: str
    etag: str

    def __str__(self) -> str:
        return f"{self.group}/{self.slot}: prove possession of {short(self.thumbprint)}"


@dataclass(frozen=True)
class AskForCode:
    """Ask for a verification code, for whoever holds the key."""

    group: str
    slot: Slot
    thumbprint: str

    def __str__(self) -> str:
        return f"{self.group}/{self.slot}: ask for a verification code for {short(self.thumbprint)}"


@dataclass(frozen=True)
class SubmitProof:
    """Hand in a verification certificate that was signed elsewhere."""

    group: str
    slot: Slot
    thumbprint: str

    def __str__(self) -> str:
        return f"{self.group}/{self.slot}: hand in the proof for {short(self.thumbprint)}"


@dataclass(frozen=True)
class RemoveCertificate:
    """Empty a slot. `unverified`: only while no device can come by it."""

    group: str
    slot: Slot
    thumbprint: str
    unverified: bool = False

    def __str__(self) -> str:
        return f"{self.group}/{self.slot}: remove {short(self.thumbprint)}"


@dataclass(frozen=True)
class ConfirmVerified:
    """Go on only if this certificate still stands in the slot, verified: something else is about to go."""

    group: str
    slot: Slot
    thumbprint: str

    def __str__(self) -> str:
        return f"{self.group}/{self.slot}: see that {short(self.thumbprint)} is there, verified"


@dataclass(frozen=True)
class CreateDevice:
    """Make a device; what is None is left to the application."""

    device: str
    display_name: str | None
    template: str | None
    simulated: bool
    organization: str | None

    def __str__(self) -> str:
        what = _changes(self.display_name, self.template, self.organization)
        what += ["simulated"] if self.simulated else []
        return f"create device {self.device}" + (f" ({', '.join(what)})" if what else "")


@dataclass(frozen=True)
class UpdateDevice:
    """Change the fields that are not None, and only those; `enabled=False` blocks."""

    device: str
    display_name: str | None
    template: str | None
    organization: str | None
    enabled: bool | None
    etag: str

    def __str__(self) -> str:
        what = _changes(self.display_name, self.template, self.organization)
        what += [] if self.enabled is None else ["unblock" if self.enabled else "block"]
        return f"update device {self.device}: {', '.join(what)}"


@dataclass(frozen=True)
class DeleteDevice:
    """Remove a device with its individual enrollment."""

    device: str

    def __str__(self) -> str:
        return f"delete device {self.device}"


@dataclass(frozen=True)
class PutAttestation:
    """Give a device its first certificates: SHA-1 thumbprints, `secondary` empty when there is none."""

    device: str
    primary: str
    secondary: str

    def __str__(self) -> str:
        return _attached(self.device, ("primary", self.primary, ""), ("secondary", self.secondary, ""))


@dataclass(frozen=True)
class PatchAttestation:
    """Fill just the slots whose thumbprint is not empty; `replaces_...` is what stands there now.

    `beside`: what stands in the slot that is left alone, and must still stand there.
    """

    device: str
    primary: str
    secondary: str
    replaces_primary: str
    replaces_secondary: str
    beside: str = ""

    def __str__(self) -> str:
        return _attached(
            self.device,
            ("primary", self.primary, self.replaces_primary),
            ("secondary", self.secondary, self.replaces_secondary),
        )


@dataclass(frozen=True)
class RemoveAttestation:
    """Remove the individual enrollment of a device; its thumbprints as they were looked at."""

    device: str
    type: str
    primary: str
    secondary: str

    def __str__(self) -> str:
        held = " and ".join(short(each) for each in (self.primary, self.secondary) if each)
        return f"{self.device}: remove its individual enrollment ({self.type}{f': {held}' if held else ''})"


SlotStep = PutCertificate | Prove | AskForCode | SubmitProof | RemoveCertificate | ConfirmVerified
DeviceStep = (
    CreateDevice | UpdateDevice | DeleteDevice | PutAttestation | PatchAttestation | RemoveAttestation
)
Step = CreateGroup | UpdateGroup | DeleteGroup | SlotStep | DeviceStep

_NAMES: Final = {
    "display_name": "displayName",
    "thumbprint": "sha1Thumbprint",
    "replaces_primary": "replacesPrimary",
    "replaces_secondary": "replacesSecondary",
}


@dataclass(frozen=True)
class Plan:
    """Steps for one application, in their order."""

    app: str
    steps: tuple[Step, ...]

    @property
    def uploads(self) -> bool:
        """Whether a certificate is put into a slot."""
        return any(isinstance(step, PutCertificate) for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The plan as a document: names are the service's own where it has one, what is absent is null."""
        steps = [{"do": type(step).__name__, **_document(step)} for step in self.steps]
        # Through JSON, so that what is printed is what a reader gets back: plain strings and lists.
        document: dict[str, Any] = json.loads(json.dumps({"app": self.app, "steps": steps}))
        return document

    def within(self, other: Plan) -> bool:
        """Whether it does nothing that the other plan would not do, etags aside."""
        return {_without_etag(step) for step in self.steps} <= {_without_etag(step) for step in other.steps}


def details(step: Step) -> dict[str, str]:
    """The step as the journal keeps it, for programs: `do` and the names of `Plan.to_json`; no empty ones."""
    filled = {name: str(value) for name, value in _document(step).items() if isinstance(value, str)}
    return {"do": type(step).__name__, **filled}


def _document(step: Step) -> dict[str, Any]:
    return {_NAMES.get(name, name): None if value == "" else value for name, value in asdict(step).items()}


def _without_etag(step: Step) -> Step:
    dated = UpdateGroup | PutCertificate | Prove | UpdateDevice
    return replace(step, etag="") if isinstance(step, dated) else step


def _changes(display_name: str | None, template: str | None, organization: str | None) -> list[str]:
    named = {"template": template, "organization": organization}
    first = [] if display_name is None else [f"display name {display_name!r}"]
    return first + [f"{name} {value}" for name, value in named.items() if value is not None]


def _attached(device: str, *slots: tuple[str, str, str]) -> str:
    done = [
        f"{slot} {short(thumbprint)}{f', replacing {short(replaces)}' if replaces else ''}"
        for slot, thumbprint, replaces in slots
        if thumbprint
    ]
    return f"{device}: attach {'; '.join(done)}"


def short(thumbprint: str) -> str:
    """A thumbprint for people: `6445..3EAC`."""
    return f"{thumbprint[:4]}..{thumbprint[-4:]}"
