"""Files are new, whole, with their final mode, or not there at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st

from iotc_admin.errors import BadPem, PkiError, SettingsError
from iotc_admin.pki import store
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.identity import DeviceIdentity


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in sorted(folder.iterdir())}


def in_child(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("umask")
def test_an_identity_is_four_files_with_exact_modes(
    line: CertificateAuthority, now: datetime, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "folder"
    folder.mkdir(parents=True, mode=0o755)
    device = line.issue("az:01", now=now)
    written = store.save_identity(folder, "az:01", device, pfx_password=b"1234")
    assert sorted(path.name for path in written) == list(modes(folder))
    assert modes(folder) == {
        "az%3A01.pfx": 0o600,
        "az%3A01_cert.pem": 0o644,
        "az%3A01_fullchain.pem": 0o644,
        "az%3A01_key.pem": 0o600,
    }
    assert DeviceIdentity.load(folder / "az%3A01_cert.pem") == device


def test_folders_are_made(root: CertificateAuthority, tmp_path: Path) -> None:
    written = store.save_authority(tmp_path / "a" / "b", "plant-7", root)
    assert all(path.is_file() for path in written)


def test_a_key_that_lives_elsewhere_is_not_written(
    root: CertificateAuthority, remote_key: ec.EllipticCurvePrivateKey, now: datetime, tmp_path: Path
) -> None:
    remote = CertificateAuthority.create("remote", now=now, key=remote_key)
    store.save_authority(tmp_path, "remote", remote)
    store.save_authority(tmp_path, "kept", root, with_key=False)
    store.save_certificate(tmp_path, "verification", root.prove("C0DE", now=now))
    assert list(modes(tmp_path)) == [
        "kept_cert.pem",
        "kept_fullchain.pem",
        "remote_cert.pem",
        "remote_fullchain.pem",
        "verification_cert.pem",
    ]
    with pytest.raises(PkiError, match="PFX"):
        store.save_authority(tmp_path, "pfx", remote, pfx_password=b"1234")


def test_an_encrypted_key_needs_its_password(root: CertificateAuthority, tmp_path: Path) -> None:
    store.save_authority(tmp_path, "plant-7", root, key_password=b"1234")
    with pytest.raises(BadPem, match=r"plant-7_key\.pem: holds an encrypted private key"):
        CertificateAuthority.load(tmp_path / "plant-7_cert.pem")
    loaded = CertificateAuthority.load(tmp_path / "plant-7_cert.pem", password=b"1234")
    assert loaded.key is not None


def test_a_chain_is_saved_beside_a_certificate(
    line: CertificateAuthority, root: CertificateAuthority, tmp_path: Path
) -> None:
    store.save_certificate(tmp_path, "x", line.certificate, line.chain)
    assert store.load_certificates(tmp_path / "x_fullchain.pem") == [line.certificate, root.certificate]


@pytest.mark.parametrize("existing", ["plant-7_cert.pem", "plant-7_key.pem", "plant-7_fullchain.pem"])
@pytest.mark.parametrize("dangling", [False, True])
def test_nothing_is_ever_overwritten(
    root: CertificateAuthority, tmp_path: Path, existing: str, dangling: bool
) -> None:
    path = tmp_path / existing
    if dangling:
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.write_bytes(b"precious")
    with pytest.raises(SettingsError, match="exists already") as caught:
        store.save_authority(tmp_path, "plant-7", root)
    assert existing in str(caught.value)
    assert "never overwritten" in caught.value.hint
    assert [each.name for each in tmp_path.iterdir()] == [existing]
    assert dangling or path.read_bytes() == b"precious"


def test_before_anything_is_written_all_names_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"precious")
    taken: list[Path] = []
    with pytest.raises(SettingsError, match="exists already"):
        store.write_new(
            {tmp_path / name: (b"x", 0o600) for name in "ab"}, link=lambda _, path: taken.append(path)
        )
    assert taken == []


def test_all_writers_take_names_in_the_same_order(tmp_path: Path) -> None:
    taken: list[str] = []
    files = {tmp_path / name: (b"x", 0o600) for name in "cab"}
    store.write_new(files, link=lambda _, path: taken.append(path.name))
    assert taken == ["a", "b", "c"]


def failing_at(name: str, failure: Exception) -> Callable[[Path, Path], None]:
    def link(temp: Path, path: Path) -> None:
        if path.name == name:
            raise failure
        path.hardlink_to(temp)

    return link


@pytest.mark.parametrize(
    "failure", [FileExistsError(errno.EEXIST, "lost the race"), OSError(errno.ENOSPC, "disk full")]
)
def test_a_failure_half_way_leaves_nothing(tmp_path: Path, failure: OSError) -> None:
    files = {tmp_path / name: (b"x", 0o600) for name in ("a", "b", "c")}
    with pytest.raises(SettingsError):
        store.write_new(files, link=failing_at("b", failure))
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_half_way_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(temp: Path, path: Path) -> None:
        if path.name == "b":
            raise KeyboardInterrupt
        path.hardlink_to(temp)

    with pytest.raises(KeyboardInterrupt):
        store.write_new({tmp_path / name: (b"x", 0o600) for name in "ab"}, link=interrupted)
    assert list(tmp_path.iterdir()) == []


def test_where_there_are_no_links_files_are_still_never_overwritten(tmp_path: Path) -> None:
    no_links = failing_at("a", OSError(errno.EPERM, "no links here"))
    store.write_new({tmp_path / "a": (b"1", 0o600)}, link=no_links)
    assert modes(tmp_path) == {"a": 0o600}

    def overtaken(temp: Path, path: Path) -> None:
        path.write_bytes(b"theirs")
        raise OSError(errno.EPERM, "no links here")

    with pytest.raises(SettingsError, match="exists already"):
        store.write_new({tmp_path / "b": (b"1", 0o600)}, link=overtaken)
    assert (tmp_path / "b").read_bytes() == b"theirs"


def test_of_many_writers_of_the_same_names_exactly_one_wins(tmp_path: Path) -> None:
    def write(folder: Path, writer: int) -> bool:
        names = ("a", "b", "c") if writer % 2 else ("c", "b", "a")
        try:
            store.write_new({folder / name: (bytes([writer]), 0o600) for name in names})
        except SettingsError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        for turn in range(50):
            folder = tmp_path / str(turn)
            folder.mkdir()
            won = list(pool.map(write, [folder] * 4, range(4)))
            assert won.count(True) == 1
            assert {path.read_bytes() for path in folder.iterdir()} == {bytes([won.index(True)])}


KILLED_WHILE_WRITING = """
import resource, signal, sys
from pathlib import Path
from iotc_admin.pki import store
signal.signal(signal.SIGXFSZ, signal.SIG_DFL if sys.argv[2] == "kill" else signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
path = Path(sys.argv[1])
store.write_new({path / "a": (b"whole", 0o600), path / "b": (bytes(100_000), 0o600)})
"""


def test_a_process_killed_while_writing_leaves_no_partial_file(tmp_path: Path) -> None:
    done = in_child(KILLED_WHILE_WRITING, tmp_path, "kill")
    assert done.returncode == -signal.SIGXFSZ, done.stderr
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".iotc-")]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    done = in_child(KILLED_WHILE_WRITING, tmp_path, "ignore")
    assert "SettingsError: files cannot be written" in done.stderr
    assert list(tmp_path.iterdir()) == []


READ_AS_NOBODY = """
import os, sys
from iotc_admin.pki import store
if os.getuid() == 0:
    os.setuid(65534)
store.load_key(sys.argv[1])
"""


def test_a_file_of_somebody_else_is_named(root: CertificateAuthority, tmp_path: Path) -> None:
    store.save_authority(tmp_path, "plant-7", root)
    path = tmp_path / "plant-7_key.pem"
    path.chmod(0)
    assert f"SettingsError: {path}: may not be read" in in_child(READ_AS_NOBODY, path).stderr


def test_a_folder_that_is_a_file_is_refused(root: CertificateAuthority, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(SettingsError) as caught:
        store.save_authority(tmp_path / "out", "plant-7", root)
    assert "the folder" in caught.value.hint


def test_a_public_file_can_be_replaced_whole(tmp_path: Path) -> None:
    for content in (b"1", b"2"):
        store.replace_file(tmp_path / "out" / "proof.pem", content)
        assert (tmp_path / "out" / "proof.pem").read_bytes() == content
    assert modes(tmp_path / "out") == {"proof.pem": 0o644}
    with pytest.raises(SettingsError):
        store.replace_file(tmp_path / "out" / "proof.pem" / "x", b"3")
    with pytest.raises(SettingsError):
        store.replace_file(tmp_path / "out", b"3")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "proof.pem"]


def test_names_that_file_systems_accept_stay_as_they_are() -> None:
    for name in ("pump-042", "CON-01_x.y", "Werk Süd", "sample-device-01"):
        assert store.file_stem(name) == name


@given(name=st.text(st.characters(max_codepoint=0x7F)), other=st.text(st.characters(max_codepoint=0x7F)))
@example(name="a:b", other="a%3Ab")
@example(name="a\x7f", other="a%7F")
def test_no_two_names_become_one_file(name: str, other: str) -> None:
    assert (store.file_stem(name) == store.file_stem(other)) is (name == other)
    assert not set(store.file_stem(name)) & set('/\\:*?"<>|\0\n')
