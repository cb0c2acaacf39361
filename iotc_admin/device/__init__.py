"""The device's side: registration through DPS and telemetry to the hub, with an X.509 certificate."""
