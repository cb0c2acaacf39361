"""An application with a verified group, and devices of all kinds in front of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Self

from iotc_admin import Attestation, CertificateAuthority, Client, Device, DeviceIdentity, workflows
from iotc_admin.contract.devices import X509, X509Certificate, X509Certificates
from iotc_admin.emulator import Emulator
from iotc_admin.pki import store
from iotc_admin.pki.pem import certificate_pem

from ..conftest import operator
from .outsider import Outsider


@dataclass(frozen=True)
class Needed:
    """How a device program is started, in the environment it needs."""

    command: list[str]
    environment: dict[str, str]


@dataclass
class World:
    """`root` is in the slot of group `plant-7`; `line` is an intermediate below it, `stranger` unknown."""

    emulator: Emulator
    client: Client
    folder: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    numbers: Iterator[int] = field(default_factory=count)
    root: CertificateAuthority = field(init=False)
    line: CertificateAuthority = field(init=False)
    stranger: CertificateAuthority = field(init=False)

    def __post_init__(self) -> None:
        # Older than any test's device, so that an expired one can be its own.
        early = self.now - timedelta(days=30)
        self.root = CertificateAuthority.create("plant7", now=early)
        self.line = self.root.issue_intermediate("line3", now=early)
        self.stranger = CertificateAuthority.create("stranger", now=early)
        workflows.enroll_group(self.client, "plant-7", primary=self.root)

    @classmethod
    def of(cls, emulator: Emulator, folder: Path) -> Iterator[Self]:
        with operator(emulator) as client:
            yield cls(emulator, client, folder)

    def leaf(self, device: str, issuer: CertificateAuthority | None = None) -> DeviceIdentity:
        return (issuer or self.root).issue(device, now=self.now)

    def expired(self, device: str) -> DeviceIdentity:
        return self.root.issue(device, now=self.now - timedelta(days=9), lifetime=timedelta(days=1))

    def self_signed(self, device: str) -> DeviceIdentity:
        return DeviceIdentity.self_signed(device, now=self.now)

    def enroll_individually(self, device: str, identity: DeviceIdentity) -> None:
        self.client.devices.create(device, Device(display_name=device))
        held = X509Certificate(certificate=certificate_pem(identity.certificate).decode())
        x509 = X509(client_certificates=X509Certificates(primary=held))
        self.client.devices.create_attestation(device, Attestation(type="x509", x509=x509))

    def device(self, needed: Needed, identity: DeviceIdentity, *, chain: bool = True) -> Outsider:
        """The program of a device that sends all its certificates, or its own one only."""
        folder = self.folder / str(next(self.numbers))
        folder.mkdir()
        store.save_identity(folder, "device", identity)
        certificate = folder / f"device_{'fullchain' if chain else 'cert'}.pem"
        return self.device_of_files(needed, certificate, folder / "device_key.pem")

    def device_of_files(self, needed: Needed, certificate: Path, key: Path) -> Outsider:
        """The same, from files as they are."""
        ca = str(self.emulator.ca_file)
        return Outsider(
            [*needed.command, str(certificate), str(key), ca],
            {**os.environ, "NODE_EXTRA_CA_CERTS": ca, **needed.environment},
            self.folder / f"{next(self.numbers)}.log",
        )
