"""What passes through is remembered, by thumbprint, durably, and never a key."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from iotc_admin import CertificateAuthority, Ledger, SettingsError
from iotc_admin.pki.description import describe


def test_a_certificate_is_found_by_either_thumbprint_with_all_its_facts(
    ledger: Ledger, ca: CertificateAuthority, now: datetime
) -> None:
    ledger.run("group create", now).saw(
        ca.certificate, file="root.pem", app="https://a", holder="g", slot="primary"
    )
    facts = describe(ca.certificate)

    entry = ledger.find(facts.sha1.lower())

    assert entry is not None
    assert ledger.find(":".join(facts.sha256[i : i + 2] for i in range(0, 64, 2))) == entry
    assert (entry.subject, entry.issuer, entry.serial) == (facts.subject, facts.issuer, facts.serial)
    assert (entry.not_before, entry.not_after) == (facts.not_before, facts.not_after)
    assert (entry.key_type, entry.spki_sha256) == (facts.key_type, facts.spki_sha256)
    seen = entry.sightings[0]
    assert (seen.at, seen.command, seen.file, seen.app) == (now, "group create", "root.pem", "https://a")
    assert (seen.holder, seen.slot) == ("g", "primary")


def test_one_run_says_once_where_a_certificate_came_from_and_where_it_went(
    ledger: Ledger, ca: CertificateAuthority, now: datetime
) -> None:
    run = ledger.run("group create", now)
    run.saw(ca.certificate, file="root.pem")
    run.saw(ca.certificate, app="https://a", holder="g", slot="primary")

    (entry,) = ledger.entries()

    assert [(s.file, s.holder, s.slot) for s in entry.sightings] == [("root.pem", "g", "primary")]


def test_an_unknown_thumbprint_is_none(ledger: Ledger) -> None:
    assert ledger.find("AB" * 20) is None


def test_the_journal_keeps_events_in_order(ledger: Ledger, now: datetime) -> None:
    run = ledger.run("group create", now)
    run.note("attested", now, reason="vendor")
    run.note("uploaded", now)

    assert [(event.event, event.details) for event in ledger.events()] == [
        ("attested", {"reason": "vendor"}),
        ("uploaded", {}),
    ]


def test_the_file_is_private_from_the_first_moment_and_holds_no_key(
    tmp_path: Path, ca: CertificateAuthority, now: datetime
) -> None:
    file = tmp_path / "new" / "ledger.db"
    previous = os.umask(0)
    try:
        ledger = Ledger(file)
        ledger.run("x", now).saw(ca.certificate)
        modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
    finally:
        os.umask(previous)
    assert set(modes.values()) == {0o600}
    ledger.close()
    assert ca.key is not None
    raw = ca.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = file.read_bytes()
    assert b"PRIVATE KEY" not in content
    assert raw[-32:] not in content


def test_a_ledger_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.touch(mode=0o644)

    Ledger(file).close()

    assert file.stat().st_mode & 0o777 == 0o600


def test_many_writers_lose_nothing(tmp_path: Path, now: datetime) -> None:
    authorities = [CertificateAuthority.create(f"ca-{number}", now=now) for number in range(16)]

    def record(mine: list[CertificateAuthority]) -> None:
        ledger = Ledger(tmp_path / "ledger.db")
        for authority in mine:
            ledger.run("x", now).saw(authority.certificate)
        ledger.close()

    threads = [threading.Thread(target=record, args=(authorities[part::4],)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ledger = Ledger(tmp_path / "ledger.db")
    assert len(ledger.entries()) == 16
    ledger.close()


def test_what_was_recorded_survives_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    program = (
        "import os, sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from iotc_admin import CertificateAuthority, Ledger\n"
        "now = datetime.now(UTC); run = Ledger(Path(sys.argv[1])).run('x', now)\n"
        "run.saw(CertificateAuthority.create('ca', now=now).certificate); os.kill(os.getpid(), 9)\n"
    )

    assert subprocess.run([sys.executable, "-c", program, str(file)], check=False).returncode == -9

    ledger = Ledger(file)
    assert [entry.subject for entry in ledger.entries()] == ["CN=ca"]
    ledger.close()


def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a database, and long enough to be seen as none" * 50)
    before = garbage.read_bytes()

    for file in (garbage, tmp_path, garbage / "below"):
        with pytest.raises(SettingsError, match="cannot be used") as caught:
            Ledger(file)
        assert "--ledger" in caught.value.hint

    assert garbage.read_bytes() == before


def test_a_ledger_that_another_process_holds_is_to_be_waited_for_not_to_be_left(
    ledger: Ledger, now: datetime
) -> None:
    hasty = Ledger(ledger.file, patience=0.05)
    with ledger.writing(), pytest.raises(SettingsError, match="is locked") as caught:
        hasty.run("breach contain", now).note("x", now)
    assert caught.value.hint == "another process writes to it: wait for it, then repeat"


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(SettingsError, match="newer version"):
        Ledger(file)


def test_an_id_scope_is_kept_per_application_and_the_last_one_counts(ledger: Ledger) -> None:
    assert ledger.id_scope("https://a") is None

    ledger.keep_id_scope("https://a", "0ne1")
    ledger.keep_id_scope("https://b", "0ne2")
    ledger.keep_id_scope("https://a", "0ne3")
    ledger.keep_id_scope("https://a", "0ne3")

    assert (ledger.id_scope("https://a"), ledger.id_scope("https://b")) == ("0ne3", "0ne2")


def test_a_ledger_of_the_first_version_is_taken_over_with_all_it_holds(
    tmp_path: Path, ca: CertificateAuthority, now: datetime
) -> None:
    file = tmp_path / "ledger.db"
    old = Ledger(file)
    old.run("x", now).saw(ca.certificate)
    old.close()
    db = sqlite3.connect(file)
    db.executescript("DROP TABLE id_scopes; PRAGMA user_version = 1;")
    db.close()

    ledger = Ledger(file)
    ledger.keep_id_scope("https://a", "0ne1")

    assert [entry.subject for entry in ledger.entries()] == ["CN=plant7"]
    assert ledger.id_scope("https://a") == "0ne1"
    ledger.close()


def test_the_journal_is_read_by_the_names_of_events(ledger: Ledger, now: datetime) -> None:
    run = ledger.run("x", now)
    for event in ("begun", "other", "removed"):
        run.note(event, now)

    assert [event.event for event in ledger.events("removed", "begun")] == ["begun", "removed"]
    assert len(ledger.events()) == 3
