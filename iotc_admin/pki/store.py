"""Hides the disk: names, modes, all or nothing, never over a file that exists."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from iotc_admin.errors import BadPem, PkiError, SettingsError
from iotc_admin.pki import pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptography import x509

    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.pki.identity import DeviceIdentity
    from iotc_admin.pki.keys import SigningKey

PUBLIC, PRIVATE = 0o644, 0o600
_LARGEST = 1 << 20
_FORBIDDEN = re.compile(r'[/\\:*?"<>|%\x00-\x1f\x7f]')
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def file_stem(name: str) -> str:
    """`name` as a file name: what file systems forbid, and %, percent-encoded. No two names become one."""
    return _FORBIDDEN.sub(lambda found: f"%{ord(found[0]):02X}", name)


def read_file(path: Path | str) -> bytes:
    """The content of one file of at most 1 MiB; SettingsError if it cannot be read."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError as failure:
        raise SettingsError(f"{path}: no such file", hint="check the path") from failure
    except IsADirectoryError as failure:
        raise SettingsError(f"{path}: is a directory", hint="name a file in it") from failure
    except PermissionError as failure:
        raise SettingsError(f"{path}: may not be read", hint="check owner and mode of the file") from failure
    except (OSError, ValueError) as failure:
        raise SettingsError(f"{path}: cannot be read: {failure}", hint="check the path") from failure
    if len(data) > _LARGEST:
        raise BadPem(f"{path}: is larger than 1 MiB", hint="give a certificate, key or request file")
    return data


def open_to_others(path: Path | str, *, rights: int = 0o077) -> bool:
    """Whether others than its owner have one of the rights. False where files have no such modes."""
    return sys.platform != "win32" and bool(Path(path).stat().st_mode & rights)


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for a named pipe's other end; what a shell puts in its place is read as usual."""
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if path.startswith(("/dev/fd/", "/proc/self/fd/")):
        os.set_blocking(handle, True)
    elif stat.S_ISFIFO(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is a named pipe")
    return handle


def load_certificates(path: Path | str, password: bytes | None = None) -> list[x509.Certificate]:
    """All certificates of a PEM, DER or PFX file; at least one."""
    with naming(path):
        return pem.read_certificates(read_file(path), password)


def load_key(path: Path | str, password: bytes | None = None) -> SigningKey:
    """The private key of a PEM, DER or PFX file."""
    with naming(path):
        return pem.read_key(read_file(path), password)


def load_request(path: Path | str) -> x509.CertificateSigningRequest:
    """The certificate request of a PEM or DER file."""
    with naming(path):
        return pem.read_request(read_file(path))


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Errors about a file's content begin with its path."""
    try:
        yield
    except PkiError as failure:
        if str(failure).startswith(f"{path}: "):
            raise
        raise type(failure)(f"{path}: {failure}", hint=failure.hint) from failure


def save_authority(
    directory: Path | str,
    name: str,
    authority: CertificateAuthority,
    *,
    key_password: bytes | None = None,
    pfx_password: bytes | None = None,
    with_key: bool = True,
) -> list[Path]:
    """Write NAME_cert.pem, NAME_key.pem, NAME_fullchain.pem and, given a password, NAME.pfx: all or none."""
    return _save(
        directory, name, authority, key_password=key_password, pfx_password=pfx_password, with_key=with_key
    )


def save_identity(
    directory: Path | str,
    name: str,
    identity: DeviceIdentity,
    *,
    key_password: bytes | None = None,
    pfx_password: bytes | None = None,
    with_key: bool = True,
) -> list[Path]:
    """Write NAME_cert.pem, NAME_key.pem, NAME_fullchain.pem and, given a password, NAME.pfx: all or none."""
    return _save(
        directory, name, identity, key_password=key_password, pfx_password=pfx_password, with_key=with_key
    )


def save_certificate(
    directory: Path | str, name: str, certificate: x509.Certificate, chain: Iterable[x509.Certificate] = ()
) -> list[Path]:
    """Write NAME_cert.pem and, where there is a chain, NAME_fullchain.pem."""
    contents = {"_cert.pem": (pem.certificate_pem(certificate), PUBLIC)}
    if issuers := tuple(chain):
        contents["_fullchain.pem"] = (pem.fullchain_pem(certificate, issuers), PUBLIC)
    return _write_set(directory, name, contents)


def _write_set(directory: Path | str, name: str, contents: Mapping[str, tuple[bytes, int]]) -> list[Path]:
    stem = file_stem(name)
    files = {Path(directory, stem + ending): content for ending, content in contents.items()}
    write_new(files)
    return list(files)


def _save(
    directory: Path | str,
    name: str,
    holder: CertificateAuthority | DeviceIdentity,
    *,
    key_password: bytes | None,
    pfx_password: bytes | None,
    with_key: bool,
) -> list[Path]:
    contents = {"_cert.pem": (pem.certificate_pem(holder.certificate), PUBLIC)}
    if with_key and holder.key is not None:
        exported = pem.export_key(holder.key, key_password)
        if exported is not None:
            contents["_key.pem"] = (exported, PRIVATE)
    contents["_fullchain.pem"] = (holder.fullchain_pem, PUBLIC)
    if pfx_password is not None:
        contents[".pfx"] = (holder.pfx(pfx_password), PRIVATE)
    return _write_set(directory, name, contents)


def write_new(
    files: Mapping[Path, tuple[bytes, int]], *, link: Callable[[Path, Path], None] = os.link
) -> None:
    """Write all files, each whole and with exactly its mode, or none; SettingsError if one of them exists."""
    temporary: dict[Path, Path] = {}
    made: list[Path] = []
    try:
        for path in files:
            if os.path.lexists(path):
                raise _exists(path)
        # Sorted, so that of two writers of the same names one wins them all.
        for path in sorted(files):
            temporary[path] = _write_temporary(path.parent, *files[path])
        for path, temp in temporary.items():
            _publish(temp, path, files[path], link)
            made.append(path)
        _sync({path.parent for path in files})
    except BaseException as failure:
        for path in made:
            path.unlink(missing_ok=True)
        if isinstance(failure, OSError | ValueError):
            raise _not_written(failure) from failure
        raise
    finally:
        for temp in temporary.values():
            temp.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes, mode: int = PUBLIC) -> Path:
    """Write a file whole, in the place of one that may be there: never for a key."""
    try:
        temp = _write_temporary(path.parent, data, mode)
        try:
            temp.replace(path)
        finally:
            temp.unlink(missing_ok=True)
    except OSError as failure:
        raise _not_written(failure) from failure
    return path


def _write_temporary(directory: Path, data: bytes, mode: int) -> Path:
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
    temp = directory / f".iotc-{secrets.token_hex(8)}"
    _write_exclusively(temp, data, mode)
    return temp


def _write_exclusively(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(handle, "wb") as file:
            if sys.platform != "win32":
                os.fchmod(handle, mode)  # whatever the umask
            file.write(data)
            file.flush()
            os.fsync(handle)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _publish(temp: Path, path: Path, content: tuple[bytes, int], link: Callable[[Path, Path], None]) -> None:
    try:
        try:
            link(temp, path)
        except OSError as failure:
            if failure.errno not in _NO_LINKS:
                raise
            _write_exclusively(path, *content)
    except FileExistsError as failure:
        raise _exists(path) from failure


def _sync(directories: set[Path]) -> None:
    for directory in directories:
        # Windows opens no directories; there the files' own fsync has to do.
        with suppress(PermissionError):
            handle = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _exists(path: Path) -> SettingsError:
    return SettingsError(
        f"{path}: exists already", hint="files are never overwritten: choose another --out or move it away"
    )


def _not_written(failure: Exception) -> SettingsError:
    return SettingsError(
        f"files cannot be written: {failure}", hint="check the folder: its owner, its mode and the free space"
    )
