"""What is wrong with a server's certificate: whose is missing, which has expired, what name it has."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509

from iotc_admin.pki.chain import build_chain, is_self_signed
from iotc_admin.pki.parsing import FAILURES, extension
from iotc_admin.workflows.doctor.findings import Found, failed

if TYPE_CHECKING:
    from iotc_admin.client.probe import Visit

# OpenSSL's X509_V_ERR_...
_NOT_YET, _EXPIRED, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 62, 64
_NOBODY_VOUCHES: Final = (2, 18, 19, 20, 21)
_FIX_TRUST: Final = (
    "if its CA is your own or a proxy's, get that certificate and name it: --ca-file PEM "
    "(or IOTC_CA_FILE, SSL_CERT_FILE); if it is a public CA, update the system's trust store"
)


def of_refusal(visit: Visit, host: str, now: datetime) -> Found:
    """Why this server's certificate was refused."""
    chain = certificates(visit)
    seen = f"{host} showed a certificate that is not trusted: {visit.reason}"
    if visit.verify_code in {_WRONG_NAME, _WRONG_ADDRESS}:
        return _misnamed(host, chain)
    if visit.verify_code in {_EXPIRED, _NOT_YET}:
        return _out_of_date(host, chain, now, visit)
    if visit.verify_code in _NOBODY_VOUCHES and chain:
        return failed(seen, missing(chain), _FIX_TRUST)
    return failed(seen, "OpenSSL here refuses it", _FIX_TRUST)


def certificates(visit: Visit) -> list[x509.Certificate]:
    """What the server showed, as far as it can be read."""
    found = []
    for der in visit.chain:
        try:
            found.append(x509.load_der_x509_certificate(der))
        except FAILURES:
            break
    return found


def missing(shown: list[x509.Certificate]) -> str:
    """Which certificate would have to be in a trust store."""
    leaf, *others = shown
    top = [leaf, *build_chain(leaf, others)][-1]
    if is_self_signed(top):
        what = "it is signed by itself" if top is leaf else "the chain ends at its root"
        return f"{what}, {name(top.subject)}, which is in no trust store here"
    issuer = f"its issuer, {name(top.issuer)}, is missing: it is in no trust store here"
    return f"the chain ends at {name(top.subject)}, and {issuer}"


def name(subject: x509.Name) -> str:
    return subject.rfc4514_string() or "a certificate without a name"


def _misnamed(host: str, chain: list[x509.Certificate]) -> Found:
    names = _names(chain[0]) if chain else []
    return failed(
        f"{host} showed a certificate of another host: {', '.join(names[:5]) or 'it has no name'}",
        f"{host} is not one of its names: another server answers here, or the host is misspelt",
        "check --app (for DPS: --dps-host), DNS, and whether a proxy or a hosts file redirects the name",
    )


def _names(certificate: x509.Certificate) -> list[str]:
    names = extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return [name(certificate.subject)]
    return [str(each.value) for each in names]


def _out_of_date(host: str, chain: list[x509.Certificate], now: datetime, visit: Visit) -> Found:
    seen = f"{host} showed a certificate that is not valid now: {visit.reason}"
    over = next((each for each in chain if each.not_valid_after_utc < now), None)
    early = next((each for each in chain if each.not_valid_before_utc > now), None)
    cause = f"by this machine's clock it is {now:%Y-%m-%d %H:%M} UTC"
    if over:
        cause = f"{name(over.subject)} expired on {over.not_valid_after_utc:%Y-%m-%d}; {cause}"
    elif early:
        begin = f"{early.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        cause = f"{name(early.subject)} is not valid before {begin}; {cause}"
    fix = "if the clock is right, whoever runs the server has to renew its certificate; else set the clock"
    return failed(seen, cause, fix)
