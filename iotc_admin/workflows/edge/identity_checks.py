"""What is wrong with the identity that a configuration file gives a device, and with its Edge CA."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.workflows.edge.findings import error, warning
from iotc_admin.workflows.edge.format import ISSUING_METHODS, PKCS11_LIBRARY, Format, where
from iotc_admin.workflows.edge.reading import renewal_without_method
from iotc_admin.workflows.edge.settings import PKCS11, is_absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotc_admin.workflows.edge.findings import Finding
    from iotc_admin.workflows.edge.reading import Document

DOWNSTREAM_REASON: Final = "behind a gateway IoT Central takes devices by SAS only, not by X.509"
DOWNSTREAM_FIX: Final = "connect it directly, or give it a symmetric key in a group of its own"
_FILES: Final = ("identity_cert", "identity_pk", "edge_ca_cert", "edge_ca_pk", "trust_bundle")
_QUICK_START_DAYS: Final = 90
_WRITE: Final = "write it anew: iotc-admin edge config ID --cert CERT"


def check_identity(document: Document) -> Iterator[Finding]:
    """Each fault of the identity and the Edge CA, whatever the files hold that they name."""
    yield from _files(document)
    yield from _downstream(document)
    yield from _edge_ca(document)
    if document.get("method") == "x509":
        for check in (_identity, _issuing, _renewal):
            yield from check(document)


def _files(document: Document) -> Iterator[Finding]:
    for setting in _FILES:
        value, line = document.get(setting), document.line_of(setting)
        if not isinstance(value, str) or not value:
            continue
        if value.startswith(PKCS11):
            yield from _token(document, setting, line)
        elif not value.startswith("file:///") and (document.format is Format.TOML or not is_absolute(value)):
            yield error(
                "uri-not-absolute",
                f"has no absolute path as {where(setting, document.format)[-1]}",
                "the runtime takes file URIs with an absolute path: three slashes",
                "as in file:///var/aziot/certs/edge-01.pem; a blank is written %20",
                line,
            )
        elif re.search(r"\s", value) and value.startswith("file:"):
            yield warning(
                "uri-with-blank",
                f"has a blank in the URI of {where(setting, document.format)[-1]}",
                "some readers end a URI there",
                "write %20",
                line,
            )


def _token(document: Document, setting: str, line: int | None) -> Iterator[Finding]:
    if not setting.endswith("_pk") or document.format is Format.YAML:
        what = f"takes {where(setting, document.format)[-1]} from a PKCS#11 token"
        cause = "only keys come from there, and only in 1.2 and later"
        yield error("pkcs11-not-here", what, cause, "name a file", line)
    elif document.at(PKCS11_LIBRARY) is None:
        yield error(
            "pkcs11-without-library",
            "names a key in a PKCS#11 token, and no library to reach it",
            "the runtime loads the token's library from [aziot_keys]",
            "add [aziot_keys] with pkcs11_lib_path",
            line,
        )


def _identity(document: Document) -> Iterator[Finding]:
    issued = isinstance(document.get("identity_cert"), dict)
    for setting in ("identity_cert",) if issued else ("identity_cert", "identity_pk"):
        if document.get(setting) is None:
            finding = error if document.format is Format.TOML else warning
            yield finding(
                "identity-absent",
                f"has no {setting}",
                "the device has nothing to show to DPS"
                if document.format is Format.TOML
                else "the runtime makes an identity itself, which no enrollment knows",
                _WRITE,
                document.line_of("method"),
            )


def _issuing(document: Document) -> Iterator[Finding]:
    issued = document.get("identity_cert")
    if not isinstance(issued, dict):
        return
    method, line = issued.get("method"), document.line_of("identity_cert")
    yield from _issuer(document, issued, line)
    if method not in ISSUING_METHODS and "auto_renew" not in issued:
        yield error(
            "issuing-method",
            f"has its identity issued by {method!r}",
            "the runtime knows est and local_ca",
            'set method = "est" or "local_ca", or name a file',
            line,
        )
    subject = issued.get("subject")
    name = issued.get("common_name") or (subject.get("CN") if isinstance(subject, dict) else None)
    registered = document.text("registration_id")
    if registered and name and str(name).lower() != registered.lower():
        yield error(
            "name-differs",
            f"asks for a certificate of {name!r} and registers as {registered!r}",
            "the common name must be the registration id",
            f'set common_name = "{registered}"',
            line,
        )


def _issuer(document: Document, issued: dict[str, Any], line: int | None) -> Iterator[Finding]:
    method = issued.get("method")
    if method in ISSUING_METHODS and document.at(("cert_issuance", method)) is None and "url" not in issued:
        yield error(
            "issuer-absent",
            f"has a certificate issued by {method}, and says nowhere where that is",
            f"[cert_issuance.{method}] is missing",
            "add it",
            line,
        )


def _renewal(document: Document) -> Iterator[Finding]:
    path = (*where("identity_cert", document.format), "auto_renew")
    issued = document.get("identity_cert")
    beside = (*path[:-2], "auto_renew")
    if document.at(beside) is not None:
        yield renewal_without_method(document.line(beside))
    elif document.at(path) is not None and isinstance(issued, dict):
        if issued.get("method") not in ISSUING_METHODS:
            yield renewal_without_method(document.line(path))
        else:
            yield warning(
                "auto-renew-group-only",
                "renews its identity certificate by itself",
                "an individual enrollment knows one certificate: once renewed, the device is a stranger",
                "enroll it by its CA, in an enrollment group; iotc-admin edge lint FILE --group NAME looks",
                document.line(path),
            )


def _edge_ca(document: Document) -> Iterator[Finding]:
    table = document.at(where("edge_ca_cert", document.format)[:-1])
    given = {name for name in ("edge_ca_cert", "edge_ca_pk") if document.get(name) is not None}
    if len(given) == 1:
        yield error(
            "edge-ca-half",
            f"has {where(given.pop(), document.format)[-1]} alone",
            "the Edge CA is a certificate and its key",
            "name both",
            document.line_of("edge_ca_cert"),
        )
    elif not given and not (isinstance(table, dict) and table.get("method") in ISSUING_METHODS):
        days = document.get("quick_start_days") or _QUICK_START_DAYS
        yield warning(
            "edge-ca-quick-start",
            f"has no Edge CA: the runtime makes one for itself, for {days} days",
            "nobody else trusts it, and each new one restarts all modules: it is not for production",
            "iotc-admin edge ca ID --issuer CERT",
            document.line_of("quick_start_days"),
        )
    if isinstance(table, dict) and not given:
        yield from _issuer(document, table, document.line_of("edge_ca_cert"))
    if given and document.get("trust_bundle") is None:
        yield from _no_bundle(document)


def _no_bundle(document: Document) -> Iterator[Finding]:
    name = where("trust_bundle", document.format)[-1]
    finding = warning if document.format is Format.TOML else error
    yield finding(
        "trust-bundle-absent",
        f"has an Edge CA and no {name}",
        "modules do not trust certificates of the Edge CA without its root",
        f"set {name} to a file from iotc-admin edge bundle",
        document.line_of("edge_ca_cert"),
    )


def _downstream(document: Document) -> Iterator[Finding]:
    path = ("parent_hostname",)
    if document.at(path) is not None and document.get("method") == "x509":
        yield warning(
            "downstream-x509",
            "stands behind another gateway with an X.509 identity",
            DOWNSTREAM_REASON,
            DOWNSTREAM_FIX,
            document.line(path),
        )
