"""What is wrong with the settings of a configuration file, whatever the files hold that it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.workflows.edge.findings import error, warning
from iotc_admin.workflows.edge.format import (
    DPS_ENDPOINT,
    FOREIGN,
    ISSUING_METHODS,
    MODES,
    PKCS11_LIBRARY,
    TOP_LEVEL,
    Format,
    where,
)
from iotc_admin.workflows.edge.reading import renewal_without_method
from iotc_admin.workflows.edge.settings import PKCS11

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotc_admin.workflows.edge.findings import Finding
    from iotc_admin.workflows.edge.format import Path
    from iotc_admin.workflows.edge.reading import Document

_ID_SCOPE: Final = re.compile(r"0ne[0-9A-Za-z]{8}")
_TEXTS: Final = (
    "global_endpoint",
    "registration_id",
    "edge_ca_cert",
    "edge_ca_pk",
    "trust_bundle",
    "identity_pk",
)
_FILES: Final = ("identity_cert", "identity_pk", "edge_ca_cert", "edge_ca_pk", "trust_bundle")
# Below these everything is the user's own to name.
_FREE: Final = ("agent", "moby_runtime", "preloaded_keys", "preloaded_certs", "additional_info")
_QUICK_START_DAYS: Final = 90
_RUNTIME: Final = "the runtime does not start with it"
_WRITE: Final = "write it anew: iotc-admin edge config ID --cert CERT"


def check_settings(document: Document) -> Iterator[Finding]:
    """Each fault of the settings, in no particular order."""
    if not document.data:
        return
    for check in (
        _top_level,
        _foreign,
        _texts,
        _mode,
        _source,
        _scope,
        _endpoint,
        _method,
        _files,
        _downstream,
    ):
        yield from check(document)
    if document.get("method") == "x509":
        for check in (_identity, _issuing, _renewal):
            yield from check(document)
    yield from _edge_ca(document)


def _top_level(document: Document) -> Iterator[Finding]:
    if document.format is Format.YAML:
        return
    for table, content in document.data.items():
        if isinstance(content, dict) and table not in _FREE:
            for path in _inside(content, (table,)):
                yield error(
                    "key-after-table",
                    f"has {path[-1]} inside [{'.'.join(path[:-1])}], where nobody reads it",
                    "TOML counts a key to the table above it",
                    f"move {path[-1]} before the first [table]",
                    document.line(path),
                )


def _inside(table: dict[str, Any], path: Path) -> Iterator[Path]:
    for name, value in table.items():
        if name in TOP_LEVEL:
            yield (*path, name)
        if isinstance(value, dict):
            yield from _inside(value, (*path, name))


def _foreign(document: Document) -> Iterator[Finding]:
    for path, own in FOREIGN[document.format].items():
        if document.at(path) is None:
            continue
        name = ".".join(path)
        scope = path[-1] in ("id_scope", "scope_id")
        yield error(
            "scope-key" if scope else "key-of-other-format",
            f"has {name}, which the runtime of {document.format.release} does not know",
            f"{path[-1]} is the name in {document.format.other.file_name} ({document.format.other.release})",
            f"call it {own}",
            document.line(path),
        )


def _texts(document: Document) -> Iterator[Finding]:
    for setting in _TEXTS:
        value = document.get(setting)
        if value is not None and (not isinstance(value, str) or not value):
            yield error(
                "value-not-text",
                f"has {'no text' if value else 'nothing'} as {where(setting, document.format)[-1]}",
                "without quotes digits are a number" if value else "the value is empty",
                "write the value in quotes",
                document.line_of(setting),
            )


def _mode(document: Document) -> Iterator[Finding]:
    path = ("auto_reprovisioning_mode",)
    mode = document.at(path)
    if document.format is Format.TOML and mode is not None and mode not in MODES:
        yield error(
            "mode-unknown",
            f"has the auto_reprovisioning_mode {mode!r}",
            _RUNTIME,
            f"it is one of {', '.join(MODES)}, in quotes and with these capitals",
            document.line(path),
        )


def _source(document: Document) -> Iterator[Finding]:
    source = document.get("source")
    if source == "dps":
        return
    if not isinstance(document.at(("provisioning",)), dict):
        what = "has no provisioning"
    else:
        what = "has no provisioning.source" if source is None else f"provisions by {source!r}"
    fix = 'set source = "dps"' if document.format is Format.TOML else 'set source: "dps"'
    yield error(
        "source-not-dps",
        what,
        "IoT Central lets devices in through DPS only",
        fix,
        document.line_of("source"),
    )


def _scope(document: Document) -> Iterator[Finding]:
    scope, line = document.get("id_scope"), document.line_of("id_scope")
    name = where("id_scope", document.format)[-1]
    other = document.at(where("id_scope", document.format.other))
    if not scope and other is None and document.get("source") == "dps":
        yield error("scope-absent", f"has no {name}", "DPS finds the application by it", f"add {name}", line)
    elif scope and not (isinstance(scope, str) and _ID_SCOPE.fullmatch(scope)):
        yield warning(
            "scope-odd",
            f"has the {name} {scope!r}",
            "an ID scope is 0ne and eight characters",
            "the application shows it under Permissions, Device connection groups",
            line,
        )


def _endpoint(document: Document) -> Iterator[Finding]:
    endpoint = document.get("global_endpoint")
    if endpoint is None and document.get("source") == "dps":
        yield error(
            "endpoint-absent",
            "has no global_endpoint",
            "the runtime looks for DPS there",
            f"set it to {DPS_ENDPOINT}",
            document.line_of("source"),
        )
    elif isinstance(endpoint, str) and not re.match(r"https://[^/\s]+/?$", endpoint):
        yield error(
            "endpoint-invalid",
            f"has the global_endpoint {endpoint!r}",
            "it is a URL of https with a host and nothing behind it",
            f"set it to {DPS_ENDPOINT}",
            document.line_of("global_endpoint"),
        )


def _method(document: Document) -> Iterator[Finding]:
    method, line = document.get("method"), document.line_of("method")
    if method in ("symmetric_key", "tpm"):
        yield warning(
            "method-not-x509",
            f"attests by {method}, which is not judged here",
            "this tool makes X.509 identities",
            "iotc-admin edge config ID --cert CERT writes a file with one",
            line,
        )
    elif method != "x509" and document.get("source") == "dps":
        what = "has no attestation.method" if method is None else f"has the attestation.method {method!r}"
        yield error("method-unknown", what, _RUNTIME, "set the method to x509", line)


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


def _files(document: Document) -> Iterator[Finding]:
    for setting in _FILES:
        value, line = document.get(setting), document.line_of(setting)
        if not isinstance(value, str) or not value:
            continue
        if value.startswith(PKCS11):
            yield from _token(document, setting, line)
        elif not value.startswith("file:///") and (
            document.format is Format.TOML or not value.startswith("/")
        ):
            yield error(
                "uri-not-absolute",
                f"names {value!r} as {where(setting, document.format)[-1]}",
                "the runtime takes file URIs with an absolute path: three slashes",
                "as in file:///var/aziot/certs/edge-01.pem; a blank is written %20",
                line,
            )
        elif re.search(r"\s", value) and value.startswith("file:"):
            yield warning(
                "uri-with-blank",
                f"has a blank in the URI {value!r}",
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


def _issuing(document: Document) -> Iterator[Finding]:
    issued = document.get("identity_cert")
    if not isinstance(issued, dict):
        return
    method, line = issued.get("method"), document.line_of("identity_cert")
    if method in ISSUING_METHODS and document.at(("cert_issuance", method)) is None and "url" not in issued:
        yield error(
            "issuer-absent",
            f"has its identity issued by {method}, and says nowhere where that is",
            f"[cert_issuance.{method}] is missing",
            "add it",
            line,
        )
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


DOWNSTREAM_REASON: Final = "behind a gateway IoT Central takes devices by SAS only, not by X.509"
DOWNSTREAM_FIX: Final = "connect it directly, or give it a symmetric key in a group of its own"
