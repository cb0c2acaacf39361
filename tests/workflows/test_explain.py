"""What `explain` says, and that the emulator's provisioning service then does exactly that."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from iotc_admin import CertificateAuthority, Client, Device, DeviceIdentity, Slot
from iotc_admin.contract.device_templates import DeviceTemplate
from iotc_admin.contract.devices import X509, Attestation, X509Certificate, X509Certificates
from iotc_admin.contract.enrollment_groups import EnrollmentGroup, GroupAttestation, SigningX509Certificate
from iotc_admin.emulator import Emulator
from iotc_admin.emulator.exchange import Request
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.pki.pem import certificate_pem
from iotc_admin.workflows.explain import Explanation, explain_provisioning
from tests.conftest import InProcess, operator

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DEVICE = "pump-042"
GATEWAY = "dtmi:plant:gateway;1"
ABOVE = {"plant": ("plant", "root"), "line": ("line", "plant", "root"), "brief": ("brief", "root")}


def authority(name: str, *, before: int = 10, days: int = 3650) -> CertificateAuthority:
    made = NOW - timedelta(days=before)
    return CertificateAuthority.create(name, now=made, lifetime=timedelta(days=days))


@cache
def authorities() -> dict[str, CertificateAuthority]:
    """A tree: two roots, a root that has expired, CAs below them, one of which may have none below itself."""
    made = NOW - timedelta(days=9)
    roots = {"root": authority("root"), "other": authority("other"), "old": authority("old", days=5)}
    plant = roots["root"].issue_intermediate("plant", now=made, path_length=1)
    line = plant.issue_intermediate("line", now=made, path_length=0)
    brief = roots["root"].issue_intermediate("brief", now=made, lifetime=timedelta(days=3))
    return {**roots, "plant": plant, "line": line, "brief": brief}


@cache
def leaf(issuer: str | None, kind: str) -> DeviceIdentity:
    """A device's certificate; `kind` says what is wrong with it."""
    made = NOW - timedelta(days={"expired": 8, "early": -1}.get(kind, 1))
    lifetime = timedelta(days=2)
    name = {"stranger": "pump-043", "upper": DEVICE.upper()}.get(kind, DEVICE)
    if issuer is None:
        return DeviceIdentity.self_signed(name, now=made, lifetime=lifetime)
    # Under the same name and key, but with a longer life: the CA itself would not sign beyond its end.
    signing = CertificateAuthority.create(issuer, now=NOW - timedelta(days=10), key=authorities()[issuer].key)
    return signing.issue(name, now=made, lifetime=lifetime)


@dataclass(frozen=True)
class Filled:
    authority: str
    verified: bool


@dataclass(frozen=True)
class Group:
    primary: Filled | None
    secondary: Filled | None
    enabled: bool
    type: str


@dataclass(frozen=True)
class World:
    groups: tuple[Group, ...]
    own: tuple[str, str] | None
    """The individual enrollment: what its two slots hold."""
    exists: bool
    enabled: bool
    template: str | None
    issuer: str | None
    kind: str
    sent: tuple[str, ...] | None
    """None: all that stand above the certificate."""

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        full = ABOVE.get(self.issuer or "", (self.issuer,) if self.issuer else ())
        sent = full if self.sent is None else self.sent
        return (leaf(self.issuer, self.kind).certificate, *(authorities()[name].certificate for name in sent))


NAMES = ["root", "other", "plant", "line", "brief", "old"]
FILLED = st.builds(Filled, st.sampled_from(NAMES), st.sampled_from([True, True, True, False]))
GROUPS = st.builds(
    Group,
    st.none() | FILLED,
    st.none() | FILLED,
    st.sampled_from([True, True, True, False]),
    st.sampled_from(["iot", "iot", "iot", "iotEdge"]),
)
WORLDS = st.builds(
    World,
    st.lists(GROUPS, min_size=1, max_size=3).map(tuple),
    st.none()
    | st.none()
    | st.tuples(st.sampled_from(["this", "another"]), st.sampled_from(["this", "another"])),
    st.booleans(),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([None, None, "dtmi:com:example:Thermostat;1", GATEWAY]),
    st.sampled_from([*NAMES, *NAMES, None]),
    st.sampled_from(["fine"] * 6 + ["expired", "early", "stranger", "upper"]),
    st.none() | st.lists(st.sampled_from(NAMES), max_size=4, unique=True).map(tuple),
)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(throttle="off", retry_after=0, registrations_per_minute=None, clock=lambda: NOW) as running:
        yield running


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Iterator[Client]:
    with operator(emulator, InProcess(emulator)) as opened:
        opened.device_templates.create(
            GATEWAY,
            DeviceTemplate(type=("ModelDefinition", "EdgeModel"), capability_model={"@type": "Interface"}),
        )
        yield opened


def populate(client: Client, world: World) -> None:
    for device in list(client.devices.list()):
        client.devices.delete(device.id or "")
    for group in list(client.enrollment_groups.list()):
        client.enrollment_groups.delete(group.id or "")
    for number, wanted in enumerate(world.groups):
        fill_group(client, f"group-{number}", wanted, world.groups[:number])
    if world.exists or world.own is not None:
        client.devices.create(DEVICE, Device(enabled=world.enabled))
    if world.template is not None and (world.exists or world.own is not None):
        client.devices.update(DEVICE, Device(template=world.template))
    if world.own is not None:
        attach(client, world)


def fill_group(client: Client, name: str, group: Group, before: tuple[Group, ...]) -> None:
    attestation = GroupAttestation(type="x509")
    client.enrollment_groups.create(
        name,
        EnrollmentGroup(display_name=name, enabled=group.enabled, type=group.type, attestation=attestation),
    )
    taken = {filled.authority for other in before for filled in (other.primary, other.secondary) if filled}
    for slot, filled in ((Slot.PRIMARY, group.primary), (Slot.SECONDARY, group.secondary)):
        if filled is None or filled.authority in taken:
            continue
        taken.add(filled.authority)
        text = b64encode(certificate_pem(authorities()[filled.authority].certificate)).decode()
        client.enrollment_groups.put_certificate(
            name, slot, SigningX509Certificate(certificate=text, verified=filled.verified)
        )


def attach(client: Client, world: World) -> None:
    own, another = leaf(world.issuer, world.kind).certificate, leaf(None, "fine").certificate
    certificates = {
        name: X509Certificate(certificate=certificate_pem(own if held == "this" else another).decode())
        for name, held in zip(("primary", "secondary"), world.own or (), strict=True)
    }
    client.devices.create_attestation(
        DEVICE, Attestation(type="x509", x509=X509(client_certificates=X509Certificates(**certificates)))
    )


def register(emulator: Emulator, chain: tuple[x509.Certificate, ...]) -> tuple[str | None, bool]:
    """What the provisioning service does: the enrollment that it names, and whether it assigns."""
    path, query = f"/{emulator.id_scope}/registrations/{DEVICE}", "api-version=2021-06-01"
    first = emulator.answer(Request("PUT", f"{path}/register", query, chain=chain))
    answer = json.loads(first.body)
    if first.status != 202:
        return None, False
    asked = Request("GET", f"{path}/operations/{answer['operationId']}", query, chain=chain)
    state = json.loads(emulator.answer(asked).body)["registrationState"]
    return state["x509"].get("enrollmentGroupId", "individual"), state["status"] == "assigned"


def explained(client: Client, chain: tuple[x509.Certificate, ...]) -> Explanation:
    known = {sha1_thumbprint(each.certificate): each.certificate for each in authorities().values()}
    return explain_provisioning(client, DEVICE, chain, known=known.get, now=NOW)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=WORLDS)
def test_explain_predicts_what_the_provisioning_service_does(
    world: World, client: Client, emulator: Emulator
) -> None:
    populate(client, world)

    told = explained(client, world.chain)
    enrollment, accepted = register(emulator, world.chain)

    event(f"accepted {accepted}, by {'nothing' if enrollment is None else enrollment[:5]}")
    assert told.accepted == accepted, told
    assert bool(told.hint) != accepted
    # Refused at once, the service does not tell which enrollment it was that refused.
    if enrollment is not None:
        assert told.enrollment == enrollment
