"""Hides how a device shows its certificate in TLS: trust, chain, and a key that lives in memory only."""

from __future__ import annotations

import secrets
import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from iotc_admin.errors import PkiError, SettingsError
from iotc_admin.pki import pem, store

if TYPE_CHECKING:
    from iotc_admin.pki.identity import DeviceIdentity
    from iotc_admin.pki.keys import SigningKey


def device_context(identity: DeviceIdentity, ca_file: Path | None = None) -> ssl.SSLContext:
    """Shows the identity's whole chain; trusts the system's store, and `ca_file` besides."""
    context = _trust(ca_file)
    _show(context, identity)
    return context


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
    except (OSError, ValueError) as error:
        message = f"TLS cannot be set up: {error}"
        raise SettingsError(
            message, hint="check SSL_CERT_FILE and SSLKEYLOGFILE in the environment"
        ) from None
    if ca_file is not None:
        try:
            if not ca_file.is_file() or not ca_file.stat().st_size:
                raise OSError("not a file with certificates")
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            message = f"{ca_file} cannot be used as a trust anchor: {error}"
            raise SettingsError(message, hint="--ca-file takes a PEM file with CA certificates") from None
    return context


def _show(context: ssl.SSLContext, identity: DeviceIdentity) -> None:
    password = secrets.token_hex(32)
    chain_and_key = identity.fullchain_pem + _locked(identity.key, password)
    # OpenSSL reads files only: this one holds nothing that could be used, and lives for a moment.
    with TemporaryDirectory(prefix="iotc-", ignore_cleanup_errors=True) as directory:
        path = Path(directory, "device.pem")
        store.write_new({path: (chain_and_key, store.PRIVATE)})
        try:
            context.load_cert_chain(path, password=password)
        except ssl.SSLError as error:
            message = (
                f"the device's certificate cannot be shown in TLS: {error.reason or 'it is not accepted'}"
            )
            raise PkiError(message, hint="iotc-admin cert check FILE says what is wrong with it") from None


def _locked(key: SigningKey | None, password: str) -> bytes:
    if key is None:
        raise PkiError(
            "the device's key is not here, and a connection needs it", hint="say where it is with --key"
        )
    exported = pem.export_key(key, password.encode())
    if exported is None:
        raise PkiError(
            "the device's key cannot leave where it is, and TLS here needs it in memory",
            hint="use a key from a file, or connect on the device itself",
        )
    return exported
