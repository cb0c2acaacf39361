"""What create_test_cert.js of Microsoft's SDK for Node leaves behind, made again.

That tool is in no package, only in the SDK's repository. It drives the openssl program; so does this, in the
same way: the names of the files, RSA-2048, one day, serials of 30 bits, extensions, the text `null`.
"""

from __future__ import annotations

import re
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CA = "basicConstraints=critical,CA:true\nsubjectKeyIdentifier=hash\n"
_DEVICE = "extendedKeyUsage=critical,clientAuth\nsubjectKeyIdentifier=hash\n"
_ISSUED = "authorityKeyIdentifier=keyid\n"


@dataclass(frozen=True)
class CreateTestCert:
    """The commands of the tool, in the folder they work in."""

    folder: Path
    openssl: str

    def root(self, common_name: str) -> str:
        return self._create(common_name, _CA, None)

    def intermediate(self, common_name: str, parent: str) -> str:
        return self._create(common_name, _CA, stem(parent))

    def device(self, common_name: str, parent: str | None = None) -> str:
        return self._create(common_name, _DEVICE, stem(parent) if parent else None)

    def verification(self, ca: str, nonce: str) -> str:
        return self._create(nonce, _DEVICE, stem(ca), "verification")

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}_cert.pem"

    def chain(self, name: str) -> Path:
        return self.folder / f"{name}_fullchain.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}_key.pem"

    def _create(self, common_name: str, extensions: str, parent: str | None, name: str = "") -> str:
        """One certificate; returns the first part of the names of its files."""
        name = name or stem(common_name)
        (self.folder / "extensions").write_text(extensions + (_ISSUED if parent else ""))
        self._run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-sha256", "-subj", f"/CN={common_name}",
                  "-keyout", self.key(name), "-out", "request")  # fmt: skip
        signing: list[str | Path] = ["-signkey", self.key(name)]
        if parent:
            serial = str(secrets.randbelow(10**9))
            signing = ["-CA", self.certificate(parent), "-CAkey", self.key(parent), "-set_serial", serial]
        self._run("x509", "-req", "-in", "request", "-sha256", "-days", "1", "-extfile", "extensions",
                  *signing, "-out", self.certificate(name))  # fmt: skip
        self.key(name).chmod(0o644)
        # Where the tool keeps no chain, it writes that down.
        above = self.chain(parent).read_text() if parent and name != "verification" else "null"
        self.chain(name).write_text(f"{self.certificate(name).read_text()}{above}")
        return name

    def _run(self, *arguments: str | Path) -> None:
        subprocess.run([self.openssl, *arguments], cwd=self.folder, check=True, capture_output=True)


def stem(common_name: str) -> str:
    """The common name in camel case: `sample-device-01` is `sampleDevice01`."""
    first, *rest = [part for part in re.split(r"[^A-Za-z0-9]+", common_name) if part]
    return first.lower() + "".join(part.capitalize() for part in rest)
