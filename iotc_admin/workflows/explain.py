"""Explain: which enrollment would let a device in with this certificate, or why none would. Reads only.

The service never shows the certificates in its slots, only thumbprints: what stands behind them comes from
the ledger, and from the chain that the device sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.errors import NotFound
from iotc_admin.pki.chain import build_chain, is_self_signed, signed_by
from iotc_admin.pki.description import (
    common_name,
    is_ca,
    key_usage,
    names_device,
    path_length,
    sha1_thumbprint,
)
from iotc_admin.pki.names import DEVICE_ID_RULE, fault_of_device_id
from iotc_admin.workflows.look import group_view, look_at_attestation, look_at_device

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from iotc_admin.client.client import Client
    from iotc_admin.contract.device_templates import DeviceTemplate
    from iotc_admin.contract.devices import Device
    from iotc_admin.workflows.look import AttestationView, GroupView

Chain = tuple["x509.Certificate", ...]
KnownCertificate = Callable[[str], "x509.Certificate | None"]

INDIVIDUAL: Final = "individual"

_EDGE: Final = "EdgeModel"


@dataclass(frozen=True)
class Explanation:
    """`enrollment` decides: the id of a group, "individual", or None where nothing matches.

    `accepted` tells how it decides. `reasons` are sentences, in the order of the judgement.
    """

    device_id: str
    enrollment: str | None
    accepted: bool
    reasons: tuple[str, ...]
    hint: str = ""


@dataclass(frozen=True)
class _World:
    """What the application shows, and what is known about its slots."""

    device: Device | None
    attestation: AttestationView | None
    groups: tuple[GroupView, ...]
    template: DeviceTemplate | None
    authorities: Mapping[str, x509.Certificate]

    @property
    def unknown(self) -> list[str]:
        """Verified slots whose certificate nobody here has seen."""
        return [
            f"{group.id}/{slot} ({thumbprint})"
            for group, slot, thumbprint in _verified(self.groups)
            if thumbprint not in self.authorities
        ]


class _Verdict(Exception):
    """The judgement is over."""

    def __init__(self, enrollment: str | None, why: str, hint: str, *, accepted: bool = False) -> None:
        super().__init__(why)
        self.enrollment, self.why, self.hint, self.accepted = enrollment, why, hint, accepted


def explain_provisioning(
    client: Client,
    device_id: str,
    chain: Chain,
    *,
    known: KnownCertificate,
    now: datetime,
    model_id: str | None = None,
) -> Explanation:
    """What the provisioning service would decide about `chain`: the device's certificate, then what it sends.

    `known` gives the certificate behind a SHA-1 thumbprint, as the ledger does. `model_id` is the model that
    the device claims.
    """
    reasons: list[str] = []
    try:
        _judge_leaf(device_id, chain[0], now)
        world = _look(client, device_id, chain, known, model_id)
        _judge(world, device_id, chain, now, reasons.append)
    except _Verdict as verdict:
        reasons.append(verdict.why)
        return Explanation(device_id, verdict.enrollment, verdict.accepted, tuple(reasons), verdict.hint)


def _judge_leaf(device_id: str, leaf: x509.Certificate, now: datetime) -> None:
    name = common_name(leaf)
    if not names_device(leaf, device_id):
        raise _Verdict(
            None,
            f"the certificate is for {name or 'nobody: it has no common name'}, not for {device_id}",
            f"make one whose common name is the device id: iotc-admin cert device {device_id}",
        )
    if fault := fault_of_device_id(device_id):
        raise _Verdict(None, f"the device id {fault}", DEVICE_ID_RULE)
    if is_ca(leaf):
        raise _Verdict(
            None,
            "it is a CA certificate, and a device may not present one",
            f"make a device certificate: iotc-admin cert device {device_id} --issuer CERT",
        )
    if fault := _date_fault(leaf, now):
        hint = f"make a new one: iotc-admin cert device {device_id}; or set the clock right"
        raise _Verdict(None, f"the device's certificate {fault}", hint)


def _judge(
    world: _World, device_id: str, chain: Chain, now: datetime, say: Callable[[str], None]
) -> NoReturn:
    """Says the reasons on the way; ends in a verdict."""
    if world.attestation is not None:
        say(f"{device_id} has an individual enrollment, which goes before all groups")
        _judge_individual(world, device_id, chain[0], world.attestation)
    say(f"{device_id} has no individual enrollment: the enrollment groups decide")
    path = (chain[0], *build_chain(chain[0], chain[1:]))
    for depth, subject in enumerate(path):
        if depth:
            say(f"no verified slot holds the signer of {_name(path[depth - 1])}: {_name(subject)}")
            _require_able(None, subject, depth - 1, now)
        for group, slot, thumbprint in _verified(world.groups):
            signer = world.authorities.get(thumbprint)
            if signer is None or signer == subject or not signed_by(subject, signer):
                continue
            where = f"{group.id}/{slot} holds {_name(signer)}, which signed {_name(subject)}"
            if subject.not_valid_before_utc < signer.not_valid_before_utc:
                say(f"{where}, but is younger than it: the service may not take it for the signer")
                continue
            say(where)
            _require_able(group.id, signer, depth, now)
            _judge_group(world, device_id, group)
    for miss in _near_misses(world, chain):
        say(miss)
    raise _no_match(world, device_id, chain)


def _judge_individual(
    world: _World, device_id: str, leaf: x509.Certificate, attestation: AttestationView
) -> NoReturn:
    if attestation.type != "x509":
        raise _Verdict(
            INDIVIDUAL,
            f"it attests by {attestation.type}, not by certificates",
            f"remove it: iotc-admin device detach-cert {device_id}",
        )
    thumbprint = sha1_thumbprint(leaf)
    slot = next((slot for slot, held in attestation.slots.items() if held == thumbprint), None)
    if slot is None:
        held = " and ".join(each for each in attestation.slots.values() if each)
        raise _Verdict(
            INDIVIDUAL,
            f"it holds {held}, not {thumbprint}",
            f"attach this one: iotc-admin device attach-cert {device_id} --secondary CERT",
        )
    _require_unblocked(world, INDIVIDUAL, device_id)
    raise _Verdict(INDIVIDUAL, f"its {slot} slot holds this certificate", "", accepted=True)


def _judge_group(world: _World, device_id: str, group: GroupView) -> NoReturn:
    if not group.enabled:
        raise _Verdict(
            group.id,
            f"the group {group.id} decides, and it is disabled",
            f"enable it: iotc-admin group update {group.id} --enable",
        )
    _require_unblocked(world, group.id, device_id)
    if world.template is not None and (_EDGE in world.template.type) != (group.type == "iotEdge"):
        kind = "Edge devices only" if group.type == "iotEdge" else "no Edge devices"
        raise _Verdict(
            group.id,
            f"the group {group.id} of type {group.type} takes {kind}, unlike template {world.template.id}",
            "use a group of the other type, or another template",
        )
    raise _Verdict(group.id, f"the group {group.id} lets it in", "", accepted=True)


def _require_unblocked(world: _World, enrollment: str, device_id: str) -> None:
    if world.device is not None and world.device.enabled is False:
        hint = f"iotc-admin device update {world.device.id} --unblock"
        raise _Verdict(enrollment, f"the device {device_id} is blocked", hint)


def _require_able(group: str | None, issuer: x509.Certificate, below: int, now: datetime) -> None:
    """A verdict unless it may sign with so many CA certificates between itself and the device's."""
    usage, limit = key_usage(issuer), path_length(issuer)
    hint = "see what is wrong with it: iotc-admin cert check FILE --role root"
    if not is_ca(issuer) or (usage and "keyCertSign" not in usage):
        raise _Verdict(group, f"{_name(issuer)} is not a CA certificate, and may not sign others", hint)
    if limit is not None and below > limit:
        raise _Verdict(group, f"{_name(issuer)} allows {limit} CAs below itself, and there are {below}", hint)
    if fault := _date_fault(issuer, now):
        raise _Verdict(group, f"{_name(issuer)} {fault}", hint)


def _near_misses(world: _World, chain: Chain) -> Iterator[str]:
    """Slots that would have matched, had they been verified."""
    path = (chain[0], *build_chain(chain[0], chain[1:]))
    for group in world.groups:
        for slot, held in group.slots.items():
            signer = None if held is None or held.verified else world.authorities.get(held.thumbprint)
            if signer is not None and any(signed_by(each, signer) for each in path):
                yield f"{group.id}/{slot} holds the signer {_name(signer)}, but is not verified"


def _no_match(world: _World, device_id: str, chain: Chain) -> _Verdict:
    top = (chain[0], *build_chain(chain[0], chain[1:]))[-1]
    if world.unknown:
        return _Verdict(
            None,
            f"nothing known matches; nobody here knows what is in {', '.join(world.unknown)}",
            "import these certificates, and ask again: iotc-admin ledger import CERT",
        )
    if is_self_signed(chain[0]):
        return _Verdict(
            None,
            "the certificate is self-signed, so no group can stand for it",
            f"attach it: iotc-admin device attach-cert {device_id} --primary CERT",
        )
    missing = "" if is_self_signed(top) else ", whose issuer the device does not send"
    return _Verdict(
        None,
        f"no verified slot holds a signer of {_name(top)}{missing}",
        "send the full chain, or create a group for its CA: iotc-admin group create NAME --root CERT",
    )


def _look(
    client: Client, device_id: str, chain: Chain, known: KnownCertificate, model_id: str | None
) -> _World:
    device = _device(client, device_id, chain[0])
    attestation = None if device is None else look_at_attestation(client, device.id or device_id)
    groups: tuple[GroupView, ...] = ()
    if attestation is None:
        listed = sorted(client.enrollment_groups.list(), key=lambda group: group.id or "")
        views = (group_view(client, group.id or "", group, Slot) for group in listed)
        groups = tuple(view for view in views if view.takes_certificates)
    sent = {sha1_thumbprint(each): each for each in chain[1:]}
    held = {each.thumbprint for group in groups for each in group.slots.values() if each}
    found = {thumbprint: known(thumbprint) or sent.get(thumbprint) for thumbprint in held}
    return _World(
        device,
        attestation,
        groups,
        _template(client, device.template if device and device.template else model_id),
        {thumbprint: each for thumbprint, each in found.items() if each is not None},
    )


def _device(client: Client, device_id: str, leaf: x509.Certificate) -> Device | None:
    """The device as the application spells it: provisioning ignores case, the application does not."""
    spellings = dict.fromkeys((device_id, common_name(leaf) or device_id, device_id.lower()))
    found = (look_at_device(client, spelling) for spelling in spellings)
    return next((device for device in found if device is not None), None)


def _template(client: Client, template_id: str | None) -> DeviceTemplate | None:
    if template_id is None:
        return None
    try:
        return client.device_templates.get(template_id)
    except NotFound:
        models = client.device_templates.list()
        return next((each for each in models if each.capability_model.get("@id") == template_id), None)


def _verified(groups: tuple[GroupView, ...]) -> Iterator[tuple[GroupView, Slot, str]]:
    for group in groups:
        for slot, held in group.slots.items():
            if held is not None and held.verified:
                yield group, slot, held.thumbprint


def _date_fault(certificate: x509.Certificate, now: datetime) -> str:
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    if now > certificate.not_valid_after_utc:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    return ""


def _name(certificate: x509.Certificate) -> str:
    return common_name(certificate) or certificate.subject.rfc4514_string() or "a nameless certificate"
