"""The device templates with which every application begins: Microsoft's public example models, in DTDL 2."""

from __future__ import annotations

from typing import Any, Final

from iotc_admin.contract.device_templates import DeviceTemplate

_CONTEXT: Final = "dtmi:dtdl:context;2"


def _temperature(kind: str, name: str, display_name: str, **more: Any) -> dict[str, Any]:
    return {
        "@type": [kind, "Temperature"],
        "name": name,
        "displayName": display_name,
        "schema": "double",
        "unit": "degreeCelsius",
        **more,
    }


def _field(name: str, display_name: str, schema: str) -> dict[str, Any]:
    return {"name": name, "displayName": display_name, "schema": schema}


_REPORT: Final[dict[str, Any]] = {
    "@type": "Object",
    "fields": [
        _field("maxTemp", "Max temperature", "double"),
        _field("minTemp", "Min temperature", "double"),
        _field("avgTemp", "Average temperature", "double"),
        _field("startTime", "Start time", "dateTime"),
        _field("endTime", "End time", "dateTime"),
    ],
}

_THERMOSTAT: Final[dict[str, Any]] = {
    "@context": _CONTEXT,
    "@id": "dtmi:com:example:Thermostat;1",
    "@type": "Interface",
    "displayName": "Thermostat",
    "contents": [
        _temperature("Telemetry", "temperature", "Temperature"),
        _temperature("Property", "targetTemperature", "Target temperature", writable=True),
        _temperature("Property", "maxTempSinceLastReboot", "Max temperature since last reboot"),
        {
            "@type": "Command",
            "name": "getMaxMinReport",
            "displayName": "Max-Min report",
            "request": _field("since", "Since", "dateTime"),
            "response": {"name": "tempReport", "displayName": "Temperature report", "schema": _REPORT},
        },
    ],
}

_INFORMATION: Final[dict[str, Any]] = {
    "@context": _CONTEXT,
    "@id": "dtmi:azure:DeviceManagement:DeviceInformation;1",
    "@type": "Interface",
    "displayName": "Device Information",
    "contents": [
        {"@type": "Property", **_field(name, display_name, schema)}
        for name, display_name, schema in (
            ("manufacturer", "Manufacturer", "string"),
            ("model", "Device model", "string"),
            ("swVersion", "Software version", "string"),
            ("osName", "Operating system name", "string"),
            ("processorArchitecture", "Processor architecture", "string"),
            ("processorManufacturer", "Processor manufacturer", "string"),
            ("totalStorage", "Total storage", "double"),
            ("totalMemory", "Total memory", "double"),
        )
    ],
}


def _component(name: str, display_name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"@type": "Component", "name": name, "displayName": display_name, "schema": schema}


_CONTROLLER: Final[dict[str, Any]] = {
    "@context": _CONTEXT,
    "@id": "dtmi:com:example:TemperatureController;2",
    "@type": "Interface",
    "displayName": "Temperature Controller",
    "contents": [
        {
            "@type": ["Telemetry", "DataSize"],
            **_field("workingSet", "Working set", "double"),
            "unit": "kibibyte",
        },
        {"@type": "Property", **_field("serialNumber", "Serial number", "string")},
        {
            "@type": "Command",
            "name": "reboot",
            "displayName": "Reboot",
            "request": _field("delay", "Delay", "integer"),
        },
        _component("thermostat1", "Thermostat One", _THERMOSTAT),
        _component("thermostat2", "Thermostat Two", _THERMOSTAT),
        _component("deviceInformation", "Device Information interface", _INFORMATION),
    ],
}


PUBLIC_TEMPLATES: Final = tuple(
    DeviceTemplate(
        id=model["@id"],
        type=("ModelDefinition", "DeviceModel"),
        display_name=model["displayName"],
        capability_model=model,
    )
    for model in (_THERMOSTAT, _CONTROLLER)
)
