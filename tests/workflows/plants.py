"""Applications of any size, as values: what a report is made of, without a service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography import x509

from iotc_admin import CertificateAuthority
from iotc_admin.ledger.ledger import Entry
from iotc_admin.pki.description import describe
from iotc_admin.pki.lifetime import Policy
from iotc_admin.pki.pem import certificate_pem
from iotc_admin.workflows.known import Known, Place
from iotc_admin.workflows.status import Held, SlotStatus, Status, judge

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
APP = "https://myapp.azureiotcentral.com"


def entry(certificate: x509.Certificate) -> Entry:
    """The certificate as a ledger has it."""
    facts = describe(certificate)
    return Entry(
        *(facts.sha1, facts.sha256, facts.spki_sha256 or "", facts.subject, facts.issuer, facts.serial),
        *(facts.not_before, facts.not_after, facts.key_type, certificate_pem(certificate).decode(), ()),
    )


def authority(name: str, *, age: float = 100, left: float = 3000) -> x509.Certificate:
    """A CA that was made so many days before `NOW`, and has so many left."""
    lifetime = timedelta(days=age + left)
    return CertificateAuthority.create(name, now=NOW - timedelta(days=age), lifetime=lifetime).certificate


def held(
    place: Place, certificate: x509.Certificate | None, *, name: str = "", verified: bool = True
) -> Held:
    """A slot with this certificate, or an empty one."""
    thumbprint = describe(certificate).sha1 if certificate else ""
    return Held(place, name or place.id, True, thumbprint, verified if certificate else None)


def judged(
    slots: Iterable[Held], *known: x509.Certificate, now: datetime = NOW, policy: Policy | None = None
) -> tuple[SlotStatus, ...]:
    """These slots beside a ledger that knows these certificates."""
    entries = {each.sha1: each for each in map(entry, known)}
    return judge(slots, Known(entries), policy or Policy(), now)


def application(size: int, names: Sequence[str] = ()) -> Status:
    """So many slots in any state: due, expired, unverified, unmanaged, empty, and fine.

    `names`, where there are any, take turns as id, display name and subject.
    """
    slots: list[Held] = []
    entries: dict[str, Entry] = {}
    for number in range(size):
        left = (3000, 700 + number, 20, 2000, -30)[number % 5]
        name = names[number % len(names)] if names else f"Plant {number // 2}"
        known = entry(authority(f"root {number}", age=400, left=left))
        place = Place(
            "group", name if names else f"plant-{number // 2}", ("primary", "secondary")[number % 2]
        )
        thumbprint = "" if number % 9 == 8 else known.sha1
        verified = number % 11 != 3 if thumbprint else None
        slots.append(Held(place, name, number % 13 != 5, thumbprint, verified))
        if number % 7 != 6:
            entries[known.sha1] = replace(known, subject=name if names else known.subject)
    seen = judge(slots, Known(entries), Policy(), NOW)
    return Status(names[0] if names else APP, NOW, Policy(), seen, (*names, "SAS-IoT-Devices"))
