"""An Edge gateway with all its files, as it should be; tests spoil one thing each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from iotc_admin import CertificateAuthority
from iotc_admin.pki.pem import fullchain_pem
from iotc_admin.pki.store import save_authority, save_identity
from iotc_admin.workflows import EdgeSettings, issue_edge_ca, trust_bundle
from iotc_admin.workflows.edge.findings import Finding
from iotc_admin.workflows.edge.format import Format
from iotc_admin.workflows.edge.lint import lint
from iotc_admin.workflows.edge.material import look
from iotc_admin.workflows.edge.reading import read
from iotc_admin.workflows.edge.settings import uri_of

EDGE = "edge-01"


@dataclass
class Gateway:
    """Its files in a folder, and what its configuration says."""

    folder: Path
    now: datetime
    root: CertificateAuthority
    line: CertificateAuthority
    edge_ca: CertificateAuthority
    settings: EdgeSettings
    form: Format

    @classmethod
    def made(cls, folder: Path, now: datetime, form: Format = Format.TOML) -> Gateway:
        root = CertificateAuthority.create("plant7", now=now)
        line = root.issue_intermediate("line3", now=now)
        edge_ca = issue_edge_ca(line, EDGE, now=now, target=form)
        save_identity(folder, EDGE, line.issue(EDGE, now=now))
        save_authority(folder, "ca", edge_ca)
        made = cls(folder, now, root, line, edge_ca, EdgeSettings("0ne00112233", "", ""), form)
        made.trust(root)
        uris = {
            "identity_cert": f"{EDGE}_fullchain.pem",
            "identity_pk": f"{EDGE}_key.pem",
            "edge_ca_cert": "ca_fullchain.pem",
            "edge_ca_pk": "ca_key.pem",
            "trust_bundle": "bundle.pem",
        }
        named = {name: uri_of(str(folder / file)) for name, file in uris.items()}
        made.settings = EdgeSettings(id_scope="0ne00112233", registration_id=EDGE, **named)
        return made

    def trust(self, *authorities: CertificateAuthority) -> None:
        roots = trust_bundle(each.certificate for each in authorities)
        self.put("bundle.pem", *roots)

    def put(self, name: str, *certificates: x509.Certificate) -> None:
        """Write certificates into a file, in the place of what is there."""
        (self.folder / name).write_bytes(fullchain_pem(certificates[0], certificates[1:]))

    def have(self, name: str, holder: CertificateAuthority) -> None:
        """Give the Edge CA or the identity other certificates and another key."""
        for file in self.folder.glob(f"{name}_*"):
            file.unlink()
        save_authority(self.folder, name, holder)

    @property
    def text(self) -> str:
        return self.settings.render(self.form)

    def findings(
        self, change: Callable[[str], str] = lambda text: text, *, after: timedelta = timedelta()
    ) -> list[Finding]:
        document = read(change(self.text), self.form)
        return lint(document, look(document), now=self.now + after)


def codes(findings: list[Finding], level: str = "error") -> list[str]:
    return [each.code for each in findings if each.level == level]
