"""What is wrong with the certificates and keys that a configuration file names, alone and together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iotc_admin.pki.chain import build_chain, is_self_signed, room_below, signed_by
from iotc_admin.pki.description import is_ca
from iotc_admin.pki.keys import same_key
from iotc_admin.pki.lint import lint as judge
from iotc_admin.workflows.edge.findings import about, error, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cryptography import x509

    from iotc_admin.workflows.edge.findings import Finding
    from iotc_admin.workflows.edge.material import Held, Material
    from iotc_admin.workflows.edge.reading import Document

_PAIRS: Final = {"identity_cert": "identity_pk", "edge_ca_cert": "edge_ca_pk"}
_NEW_EDGE_CA: Final = "iotc-admin edge ca ID --issuer CERT"
_EDGE_CA_FAULTS: Final = ("not-a-ca", "key-usage-no-signing")


def check_material(document: Document, material: Material, now: datetime) -> Iterator[Finding]:
    """Each fault of the files, in no particular order."""
    for setting, held in material.items():
        yield from _usable(document, setting, held)
    for certificate, key in _PAIRS.items():
        yield from _pair(document, certificate, material.get(certificate), material.get(key))
    yield from _identity(document, material, now)
    yield from _edge_ca(document, material, now)
    yield from _bundle(document, material, now)
    yield from _one_key(document, material)


def _usable(document: Document, setting: str, held: Held) -> Iterator[Finding]:
    line = document.line_of(setting)
    if held.missing:
        yield error(
            "file-absent",
            f"names {held.name}, which is not there",
            "the path is wrong, or this is not the device",
            "correct the path; away from the device name the folder with the files: --certs DIR",
            line,
        )
    elif held.fault:
        cause = "the runtime could not use it either; it opens no keys with passwords"
        yield error(
            "file-unusable", f"names a file that cannot be used: {held.fault}", cause, held.hint, line
        )
    if held.open_to_others:
        rights, mode = ("read or change", "600") if held.key else ("change", "644")
        yield error(
            "key-open" if held.key else "certificate-open",
            f"names {held.name}, which others than its owner may {rights}",
            "its mode gives rights to the group or to all",
            f"chmod {mode} {held.name}; its owner is the user of the runtime's key or certificate service",
            line,
        )


def _pair(document: Document, setting: str, cert: Held | None, key: Held | None) -> Iterator[Finding]:
    if not (cert and cert.public_key and key and key.key):
        return
    if not same_key(cert.public_key, key.key):
        yield error(
            "key-mismatch",
            f"names {key.name}, which is not the key of {cert.name}",
            "the first certificate in the file has another public key",
            "name the key that was made for it",
            document.line_of(_PAIRS[setting]),
        )


def _identity(document: Document, material: Material, now: datetime) -> Iterator[Finding]:
    held = material.get("identity_cert")
    if not (held and held.certificates):
        return
    certificate, *others = held.certificates
    line = document.line_of("identity_cert")
    chain = build_chain(certificate, others)
    device_id = document.text("registration_id")
    for found in judge(certificate, role="device", now=now, device_id=device_id, chain=chain):
        yield about(held.name, found, line, prefix="identity-")
    yield from _dates_above(held.name, chain, now, line)
    top = (certificate, *chain)[-1]
    # A root may be left out; a link may not, nor all of them.
    if not is_self_signed(top) and (not chain or len(chain) < len(others)):
        yield warning(
            "identity-chain-incomplete",
            f"names {held.name}, where the issuer of {top.subject.rfc4514_string()} is missing",
            "DPS finds the group by the issuers that the device sends along",
            "name the file with the full chain, X_fullchain.pem",
            line,
        )


def _dates_above(
    name: str, chain: tuple[x509.Certificate, ...], now: datetime, line: int | None
) -> Iterator[Finding]:
    for each in chain:
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
            yield error(
                "issuer-not-valid",
                f"names {name}, where {each.subject.rfc4514_string()} is valid from "
                f"{each.not_valid_before_utc:%Y-%m-%d} to {each.not_valid_after_utc:%Y-%m-%d} only",
                "an issuer in the chain has expired or not begun",
                "issue the chain again: iotc-admin cert intermediate NAME --issuer CERT",
                line,
            )


def _edge_ca(document: Document, material: Material, now: datetime) -> Iterator[Finding]:
    held = material.get("edge_ca_cert")
    if not (held and held.certificates):
        return
    certificate, *others = held.certificates
    line = document.line_of("edge_ca_cert")
    for found in judge(certificate, role="root", now=now):
        fix = _NEW_EDGE_CA if found.code in _EDGE_CA_FAULTS else None
        yield about(held.name, found, line, prefix="edge-ca-", fix=fix)
    chain = build_chain(certificate, others)
    yield from _dates_above(held.name, chain, now, line)
    bundle = material.get("trust_bundle")
    trusted = bundle.certificates if bundle else ()
    yield from _trust(document, held, bundle, (certificate, *chain))
    yield from _room(document, held, (certificate, *build_chain(certificate, [*others, *trusted])))


def _bundle(document: Document, material: Material, now: datetime) -> Iterator[Finding]:
    held = material.get("trust_bundle")
    line, fix = document.line_of("trust_bundle"), "make it anew: iotc-admin edge bundle ROOT --out FILE"
    for each in held.certificates if held else ():
        subject = each.subject.rfc4514_string()
        if not is_ca(each):
            what = f"trusts {subject}, which is not a CA"
            yield error("trust-bundle-not-a-ca", what, "only CAs vouch for others", fix, line)
        elif now > each.not_valid_after_utc:
            what = f"trusts {subject}, which expired on {each.not_valid_after_utc:%Y-%m-%d}"
            yield warning("trust-bundle-expired", what, "nothing below it is accepted any more", fix, line)


def _trust(
    document: Document, held: Held, bundle: Held | None, path: tuple[x509.Certificate, ...]
) -> Iterator[Finding]:
    top = path[-1]
    trusted = bundle.certificates if bundle else ()
    if is_self_signed(top) and bundle and trusted and top not in trusted:
        yield _not_trusted(document, bundle, top)
    if is_self_signed(top) or any(signed_by(top, each) for each in trusted):
        return
    yield error(
        "edge-ca-chain-incomplete",
        f"names {held.name}, where the issuer of {top.subject.rfc4514_string()} is missing",
        "the runtime sends the certificates of this file and no others",
        "put the full chain into it: Edge CA, intermediates, root",
        document.line_of("edge_ca_cert"),
    )


def _not_trusted(document: Document, bundle: Held, root: x509.Certificate) -> Finding:
    return error(
        "trust-bundle-lacks-root",
        f"trusts the certificates in {bundle.name}, and {root.subject.rfc4514_string()} is not among them",
        "it is the root of the Edge CA: neither modules nor downstream devices would trust the gateway",
        "make it anew: iotc-admin edge bundle ROOT --out FILE",
        document.line_of("trust_bundle"),
    )


def _room(document: Document, held: Held, path: tuple[x509.Certificate, ...]) -> Iterator[Finding]:
    room, needed = room_below(path), document.format.cas_below
    if room is None or room >= needed:
        return
    yield error(
        "edge-ca-path-length",
        f"names {held.name}, below which the path lengths allow {max(room, 0)} CAs",
        f"the runtime of {document.format.release} makes {needed or 'no'} CA below it"
        if room >= 0
        else "a CA above it allows fewer CAs than stand below it",
        f"{_NEW_EDGE_CA} --target {'1.1' if needed else '1.2'}",
        document.line_of("edge_ca_cert"),
    )


def _one_key(document: Document, material: Material) -> Iterator[Finding]:
    held = [material.get("identity_cert"), material.get("edge_ca_cert")]
    keys = [each.public_key for each in held if each and each.public_key]
    names = [document.text("identity_pk"), document.text("edge_ca_pk")]
    if (len(keys) == len(held) and same_key(*keys)) or (names[0] and names[0] == names[1]):
        yield error(
            "key-shared",
            "uses one key for the identity and for the Edge CA",
            "who holds a module's signer would hold the device's identity too",
            f"make the Edge CA a key of its own: {_NEW_EDGE_CA}",
            document.line_of("edge_ca_pk"),
        )
