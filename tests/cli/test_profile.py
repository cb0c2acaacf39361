"""`iotc-admin profile ...`: what is kept, what never is, and whose token goes where."""

from __future__ import annotations

import json
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from iotc_admin.emulator import Emulator

from .test_door import Environment, environment, shell, write_profile

__all__ = ["environment"]

TOKEN = "SharedAccessSignature sr=1&sig=SECRETSECRET&skn=a&se=1900000000000"


@pytest.fixture
def bare(environment: Environment) -> Environment:
    """Without a setting of the environment."""
    return {name: value for name, value in environment.items() if not name.startswith("IOTC_")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".config" / "iotc-admin" / "config.toml"


def ok(line: str, folder: Path, environment: Environment) -> str:
    done = shell(line, folder, environment)
    assert (done.returncode, done.stderr) == (0, ""), line
    return done.stdout


def kept(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text())


def test_a_profile_is_added_shown_listed_used_and_removed(
    emulator: Emulator, tmp_path: Path, bare: Environment
) -> None:
    (tmp_path / "token").write_text(emulator.api_token)
    line = f"--app {emulator.app} --ca-file {emulator.ca_file} --token-file token"

    ok(f"iotc-admin profile add plant7 {line}", tmp_path, bare)
    ok("iotc-admin profile add other --app other --mqtt-port 8884", tmp_path, bare)
    assert shell("iotc-admin group list", tmp_path, bare).returncode == 1
    by_name = ok("iotc-admin group list --profile plant7", tmp_path, bare)
    ok("iotc-admin profile use plant7", tmp_path, bare)

    assert ok("cd / && iotc-admin group list", tmp_path, bare) == by_name
    assert ok("iotc-admin profile list", tmp_path, bare).splitlines()[1].split() == [
        "plant7",
        "*",
        emulator.app,
    ]
    shown = json.loads(ok("iotc-admin profile show plant7 -o json", tmp_path, bare))
    assert shown == {
        "name": "plant7",
        "default": True,
        "app": emulator.app,
        "caFile": str(emulator.ca_file),
        "tokenFile": str(tmp_path / "token"),
        "output": None,
        "ledger": None,
        "idScope": None,
        "dpsHost": None,
        "mqttPort": None,
    }
    assert json.loads(ok("iotc-admin profile list -o json", tmp_path, bare))[0] == shown
    ok("iotc-admin profile remove plant7", tmp_path, bare)
    assert "no application is named" in shell("iotc-admin group list", tmp_path, bare).stderr
    assert (tmp_path / "token").exists()


def test_an_option_and_the_environment_go_before_the_default_profile(
    emulator: Emulator, tmp_path: Path, environment: Environment
) -> None:
    ok("iotc-admin profile add p --app nowhere -o json; iotc-admin profile use p", tmp_path, environment)

    assert ok("iotc-admin group list", tmp_path, environment).startswith("[")
    assert ok("iotc-admin group list -o table", tmp_path, environment).startswith("ID ")
    assert ok("IOTC_OUTPUT=table iotc-admin group list", tmp_path, environment).startswith("ID ")


def test_a_named_profile_goes_before_the_default_one(tmp_path: Path, environment: Environment) -> None:
    ok(
        "iotc-admin profile add j -o json; iotc-admin profile add t -o table; iotc-admin profile use j",
        tmp_path,
        environment,
    )

    assert ok("iotc-admin --profile t group list", tmp_path, environment).startswith("ID ")
    assert ok("IOTC_PROFILE=t iotc-admin group list", tmp_path, environment).startswith("ID ")
    ok("iotc-admin profile use --none", tmp_path, environment)
    assert ok("iotc-admin group list", tmp_path, environment).startswith("ID ")


@pytest.mark.parametrize("how", ["--app {0}", "IOTC_APP={0}"])
def test_the_token_of_a_profile_goes_to_no_other_application(
    how: str, emulator: Emulator, tmp_path: Path, bare: Environment
) -> None:
    (tmp_path / "token").write_text(emulator.api_token)
    ok(
        f"iotc-admin profile add p --app myapp --token-file token --ca-file {emulator.ca_file}",
        tmp_path,
        bare,
    )
    ok("iotc-admin profile use p", tmp_path, bare)
    setting = how.format(emulator.app)
    line = f"iotc-admin group list {setting}" if how.startswith("-") else f"{setting} iotc-admin group list"

    done = shell(line, tmp_path, bare)

    assert done.returncode == 1
    assert f"the token of profile 'p' is for myapp, not {emulator.app}" in done.stderr
    assert emulator.control.requests == ()


def test_the_file_is_its_owners_alone_and_its_folder_too(
    tmp_path: Path, bare: Environment, file: Path
) -> None:
    ok("umask 0; iotc-admin profile add p --app myapp", tmp_path, bare)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_what_was_open_to_others_is_closed_by_an_edit(tmp_path: Path, bare: Environment, file: Path) -> None:
    write_profile(tmp_path, "")
    file.chmod(0o666)

    ok("iotc-admin profile add p --app myapp", tmp_path, bare)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "given",
    [
        f"--app '{TOKEN}'",
        f"--token-file '{TOKEN}'",
        f"--ca-file '{TOKEN}'",
        "--app https://user:SECRETSECRET@myapp.example",
        "--dps-host 'sig=SECRETSECRET'",
        "--id-scope eyJhbGciOiJSUzI1NiIsInR5cCI6.SECRETSECRET.x",
    ],
)
def test_a_secret_is_never_kept_and_never_repeated(
    given: str, tmp_path: Path, bare: Environment, file: Path
) -> None:
    done = shell(f"iotc-admin profile add p {given}", tmp_path, bare)

    assert done.returncode == 1
    assert "which no profile keeps" in done.stderr
    assert "SECRETSECRET" not in done.stdout + done.stderr
    assert not file.exists()


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("p --app 'a b'", 1, "is not the name of an application"),
        ("p --dps-host https://x", 1, "is no DPS host"),
        ("p --id-scope 'a b'", 1, "is no ID scope"),
        ("p --mqtt-port 99999", 2, "65535"),
        ("p -o xml", 2, "neither table nor json"),
        ("p", 2, "at least one setting"),
        ("'a b' --app x", 2, "is no name"),
        ("../x --app x", 2, "is no name"),
    ],
)
def test_settings_that_could_never_work_are_refused(
    given: str, code: int, said: str, tmp_path: Path, bare: Environment, file: Path
) -> None:
    done = shell(f"iotc-admin profile add {given}", tmp_path, bare)

    assert done.returncode == code
    assert said in done.stderr
    assert not file.exists()


def test_the_environment_is_not_kept(tmp_path: Path, environment: Environment, file: Path) -> None:
    ok("iotc-admin profile add p --id-scope 0ne1", tmp_path, environment)

    assert kept(file) == {"profiles": {"p": {"id_scope": "0ne1"}}}


def test_a_profile_that_exists_is_not_changed_and_a_repeat_is_nothing_to_do(
    tmp_path: Path, bare: Environment, file: Path
) -> None:
    ok("iotc-admin profile add p --app one", tmp_path, bare)

    assert ok("iotc-admin profile add p --app one", tmp_path, bare) == "p: nothing to do\n"
    done = shell("iotc-admin profile add p --app two", tmp_path, bare)

    assert done.returncode == 1
    assert "iotc-admin profile remove p" in done.stderr
    assert shell("iotc-admin profile add p --app two --dry-run", tmp_path, bare).returncode == 1
    assert kept(file)["profiles"]["p"] == {"app": "one"}


@pytest.mark.parametrize("line", ["show q", "use q", "remove q", "use", "use p --none"])
def test_what_is_not_there_or_not_said_is_refused(line: str, tmp_path: Path, bare: Environment) -> None:
    ok("iotc-admin profile add p --app one", tmp_path, bare)

    assert shell(f"iotc-admin profile {line}", tmp_path, bare).returncode in {1, 2}
    assert json.loads(ok("iotc-admin profile list -o json", tmp_path, bare))[0]["default"] is False


@pytest.mark.parametrize("line", ["add q --app two", "use p", "remove p"])
def test_a_dry_run_leaves_the_file_as_it_is(line: str, tmp_path: Path, bare: Environment, file: Path) -> None:
    ok("iotc-admin profile add p --app one", tmp_path, bare)
    before = file.read_bytes()

    done = shell(f"iotc-admin profile {line} --dry-run", tmp_path, bare)

    assert (done.returncode, done.stderr) == (3, "")
    assert file.read_bytes() == before


def test_comments_and_other_tables_stay(tmp_path: Path, bare: Environment, file: Path) -> None:
    text = '# mine\n\n[tool]\nx = 1 # one\n\n[profiles.p]\n# the plant\napp = "a"   # aligned\n'
    write_profile(tmp_path, text)

    ok("iotc-admin profile add q --app b; iotc-admin profile use q", tmp_path, bare)
    ok("iotc-admin profile remove q", tmp_path, bare)

    assert file.read_text().rstrip() == text.rstrip()


def test_a_link_to_the_file_stays_a_link(tmp_path: Path, bare: Environment, file: Path) -> None:
    write_profile(tmp_path, "")
    own = tmp_path / "dotfiles.toml"
    file.rename(own)
    file.symlink_to(own)

    ok("iotc-admin profile add p --app one", tmp_path, bare)

    assert file.is_symlink()
    assert kept(own)["profiles"]["p"] == {"app": "one"}


def test_many_at_once_lose_nothing(tmp_path: Path, bare: Environment, file: Path) -> None:
    adding = [
        subprocess.Popen(
            ["iotc-admin", "profile", "add", f"p{each}", "--app", f"a{each}", "--quiet"], env=bare
        )
        for each in range(12)
    ]
    codes = [process.wait(60) for process in adding]

    assert codes == [0] * 12
    assert sorted(kept(file)["profiles"]) == sorted(f"p{each}" for each in range(12))


@pytest.mark.parametrize("text", ["nonsense", "profiles = 5", "default = 5", "\xff"])
def test_a_file_that_cannot_be_read_is_never_written_over(
    text: str, tmp_path: Path, bare: Environment, file: Path
) -> None:
    write_profile(tmp_path, "")
    file.write_bytes(text.encode("latin-1"))

    for line in ("profile add p --app one", "profile list", "cert root x"):
        done = shell(f"iotc-admin {line}", tmp_path, bare)
        assert done.returncode == 1
        assert "config.toml cannot be read" in done.stderr
    assert file.read_bytes() == text.encode("latin-1")


def test_a_default_that_is_gone_is_named_and_can_be_mended(tmp_path: Path, bare: Environment) -> None:
    write_profile(tmp_path, 'default = "gone"\n[profiles.p]\napp = "a"\n')

    assert "there is no profile 'gone'" in shell("iotc-admin ledger list", tmp_path, bare).stderr
    ok("iotc-admin profile use p", tmp_path, bare)
    ok("iotc-admin ledger list", tmp_path, bare)


def test_a_config_folder_that_is_none_is_said(tmp_path: Path, bare: Environment) -> None:
    (tmp_path / ".config").write_text("a file")

    done = shell("iotc-admin profile add p --app one", tmp_path, bare)

    assert done.returncode == 1
    assert "config.toml" in done.stderr
