"""The way of devices: DPS over HTTPS and over MQTT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotc_admin.client.probe import knock
from iotc_admin.workflows.doctor.certificates import of_refusal
from iotc_admin.workflows.doctor.findings import Found, failed, skipped
from iotc_admin.workflows.doctor.network import reached

if TYPE_CHECKING:
    from iotc_admin.client.probe import Visit
    from iotc_admin.workflows.doctor.case import Case

_WITHOUT_MQTT = "let devices connect over the HTTPS port: iotc-admin device connect ID --transport mqtt-ws"


def https(case: Case) -> Found:
    if case.dps is None or not case.trusts or (seen := case.dps_visit) is None:
        return skipped("because check 1 failed")
    if seen.failure in {"", "silence"}:
        # It need not say anything to somebody without a device's certificate.
        return reached(seen, str(case.dps))
    fix = "check --dps-host (IOTC_DPS_HOST), HTTPS_PROXY, and that the firewall lets its port through"
    return _unreached(case, seen, case.dps.port, fix)


def mqtt(case: Case) -> Found:
    if case.dps is None or case.mqtt_port is None or not case.trusts:
        return skipped("because check 1 failed")
    if case.dps_visit and case.dps_visit.failure == "name":
        return skipped("because check 9 failed")
    seen = knock(case.dps.host, case.mqtt_port, case.ca_file)
    if not seen.failure:
        return reached(seen, f"{case.dps.host}:{case.mqtt_port}")
    return _unreached(case, seen, case.mqtt_port, _WITHOUT_MQTT)


def _unreached(case: Case, seen: Visit, port: int, fix: str) -> Found:
    host = case.dps.host if case.dps else ""
    if seen.failure == "certificate":
        return of_refusal(seen, host, case.clock())
    causes = {
        "name": f"{host} has no address here: DNS does not know it",
        "proxy": "the proxy does not let us through",
        "tls": "something else answers on this port, or a firewall breaks TLS",
        "settings": "the environment cannot be used",
    }
    cause = causes.get(seen.failure, "a firewall blocks this port, or nothing listens there")
    return failed(f"{host}:{port} is not reached: {seen.reason}", cause, fix)
