"""Who has a certificate of the new CA already: counted from evidence, never from hope.

A device that is connected proves nothing: its connection outlives the CA it came by. What counts is a
certificate that the device reports and the ledger knows to be signed by the new CA, or a list that a person
vouches for. That a device has registered since counts only if told from when on: it may have come with an old
certificate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from cryptography import x509

from iotc_admin.contract.devices import CertificateProperties
from iotc_admin.errors import NotFound
from iotc_admin.pki.chain import signed_by
from iotc_admin.pki.pem import read_certificate
from iotc_admin.workflows.known import issuers
from iotc_admin.workflows.look import look_at_attestation

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.contract.devices import Device
    from iotc_admin.ledger.ledger import Ledger

_AT_ONCE: Final = 8

State: TypeAlias = Literal["adopted", "old", "unknown"]


@dataclass(frozen=True)
class Asked:
    """Whose adoption is asked for, and what counts besides what devices report.

    `devices`: the population; None: all that are provisioned without an individual enrollment. `adopted`:
    these have the new certificate, a person says so. `registered_since`: whoever registered from then on
    had the new certificate by then.
    """

    devices: tuple[str, ...] | None = None
    adopted: frozenset[str] = frozenset()
    registered_since: datetime | None = None


@dataclass(frozen=True)
class Standing:
    """How one device stands, and by which evidence."""

    device: str
    state: State
    why: str


@dataclass(frozen=True)
class Adoption:
    """The devices of a roll, each with its evidence."""

    standings: tuple[Standing, ...]

    @property
    def adopted(self) -> tuple[Standing, ...]:
        return tuple(each for each in self.standings if each.state == "adopted")

    @property
    def laggards(self) -> tuple[Standing, ...]:
        """Those without evidence for the new CA: still under the old, or nobody knows."""
        return tuple(each for each in self.standings if each.state != "adopted")


@dataclass
class Signers:
    """Which of two CAs a certificate that the ledger knows comes from. Remembers what it found out."""

    ledger: Ledger | None
    new: x509.Certificate
    old: x509.Certificate | None
    _found: dict[str, State] = field(default_factory=dict)

    def of(self, thumbprint: str) -> State:
        """`adopted` under the new CA, `old` under the old one, `unknown` if the ledger cannot tell."""
        if thumbprint not in self._found:
            self._found[thumbprint] = self._look_up(thumbprint)
        return self._found[thumbprint]

    def _look_up(self, thumbprint: str) -> State:
        entry = self.ledger.find(thumbprint) if self.ledger else None
        if entry is None:
            return "unknown"
        both = [self.new] if self.old is None else [self.new, self.old]
        for signer in issuers(self.ledger, read_certificate(entry.pem.encode()), both):
            if signer == self.new:
                return "adopted"
            if signer == self.old:
                return "old"
        return "unknown"


def look_at_adoption(client: Client, asked: Asked, signers: Signers) -> Adoption:
    """Ask every device of the population what it reports: one request each, two without a list."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        if asked.devices is None:
            found = pool.map(lambda each: _of_device(client, each, asked, signers), _provisioned(client))
        else:
            found = pool.map(lambda each: _of_listed(client, each, asked, signers), asked.devices)
        return Adoption(tuple(each for each in found if each is not None))


def _provisioned(client: Client) -> Iterator[Device]:
    return (each for each in client.devices.list() if each.id and each.provisioned)


def _of_device(client: Client, device: Device, asked: Asked, signers: Signers) -> Standing | None:
    device_id = device.id or ""
    if look_at_attestation(client, device_id) is not None:
        return None
    return _standing(client, device_id, asked, signers)


def _of_listed(client: Client, device_id: str, asked: Asked, signers: Signers) -> Standing:
    return _standing(client, device_id, asked, signers)


def _standing(client: Client, device_id: str, asked: Asked, signers: Signers) -> Standing:
    if device_id in asked.adopted:
        return Standing(device_id, "adopted", "is on the list of those that have the new certificate")
    try:
        reported = read_reported(client.devices.properties(device_id).to_wire())
    except NotFound:
        return Standing(device_id, "unknown", "there is no such device")
    return judge_reported(device_id, reported, asked, signers)


def judge_reported(
    device_id: str, reported: CertificateProperties, asked: Asked, signers: Signers
) -> Standing:
    """What the properties of a device prove."""
    thumbprint, registered = reported.certificate_thumbprint, reported.last_registration
    state = signers.of(thumbprint) if thumbprint else "unknown"
    if state == "adopted":
        return Standing(device_id, state, "reports a certificate of the new CA")
    if state == "old":
        return Standing(device_id, state, "reports a certificate of the old CA")
    since = asked.registered_since
    if since is not None and registered is not None and registered >= since:
        return Standing(device_id, "adopted", f"registered on {registered:%Y-%m-%d %H:%M} UTC")
    if thumbprint:
        return Standing(device_id, state, f"reports {thumbprint}, which the ledger does not know")
    return Standing(device_id, state, "reports no certificate")


def read_reported(properties: Mapping[str, object]) -> CertificateProperties:
    """What a device says of its certificate; what makes no sense counts as not said."""
    # A device may write anything: what cannot be read is no evidence, and no reason to stop.
    thumbprint = properties.get("certificateThumbprint")
    text = thumbprint.replace(":", "").upper() if isinstance(thumbprint, str) else ""
    return CertificateProperties(
        certificate_thumbprint=text if _is_thumbprint(text) else None,
        certificate_not_after=_moment(properties.get("certificateNotAfter")),
        last_registration=_moment(properties.get("lastRegistration")),
    )


def _is_thumbprint(text: str) -> bool:
    return len(text) == 40 and all(each in "0123456789ABCDEF" for each in text)  # noqa: PLR2004 - SHA-1


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def known_leafs(ledger: Ledger | None, ca: x509.Certificate, now: datetime) -> list[str]:
    """The subjects of valid certificates in the ledger that this CA signed: they need a successor."""
    entries = ledger.with_issuer(ca.subject.rfc4514_string()) if ledger else []
    valid = ((each.subject, read_certificate(each.pem.encode())) for each in entries if each.not_after > now)
    return [subject for subject, each in valid if each != ca and signed_by(each, ca)]
