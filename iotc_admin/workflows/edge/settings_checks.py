"""What is wrong with the settings of a configuration file, whatever the files hold that it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.workflows.edge.findings import error, warning
from iotc_admin.workflows.edge.format import (
    ATTESTATION,
    DPS_ENDPOINT,
    FOREIGN,
    MODES,
    PROVISIONING,
    TOP_LEVEL,
    Format,
    where,
)

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
    "identity_cert",
)
_KNOWN: Final = {
    PROVISIONING: {"source", "global_endpoint", "id_scope", "scope_id", "attestation", "payload"},
    ATTESTATION: {"method", "registration_id", "identity_cert", "identity_pk", "symmetric_key", "auto_renew"},
}
_ONLY_1_1: Final = {"device_id", "registration_id", "always_reprovision_on_startup", "dynamic_reprovisioning"}
_RUNTIME: Final = "the runtime does not start with it"


def check_settings(document: Document) -> Iterator[Finding]:
    """Each fault of the settings, in no particular order."""
    for check in (_top_level, _foreign, _unknown, _texts, _mode, _source, _scope, _endpoint, _method):
        yield from check(document)


def _top_level(document: Document) -> Iterator[Finding]:
    if document.format is Format.YAML:
        return
    for table, content in document.data.items():
        if isinstance(content, dict):
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
        # The environments of modules have host names of their own.
        if name in TOP_LEVEL and not (name == "hostname" and path[0] == "agent"):
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


def _unknown(document: Document) -> Iterator[Finding]:
    for table, known in _KNOWN.items():
        content = document.at(table) if document.get("source") == "dps" else None
        own = known | (_ONLY_1_1 if document.format is Format.YAML else set())
        for name in content if isinstance(content, dict) else ():
            path = (*table, name)
            if name not in own and name not in TOP_LEVEL and path not in FOREIGN[document.format]:
                yield warning(
                    "key-unknown",
                    f"has {'.'.join(path)}, which says nothing to the runtime",
                    "it is misspelt, or belongs elsewhere",
                    f"known are {', '.join(sorted(known))}",
                    document.line(path),
                )


def _texts(document: Document) -> Iterator[Finding]:
    for setting in _TEXTS:
        value = document.get(setting)
        issued = setting == "identity_cert" and isinstance(value, dict)
        if value is not None and not issued and (not isinstance(value, str) or not value):
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
