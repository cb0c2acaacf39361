"""The Tab key, in real shells."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..outside import needed
from .test_door import Environment, shell, write_profile


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    write_profile(
        tmp_path, '[profiles.plant7]\napp = "a"\n[profiles."odd name"]\n[profiles.plant8]\napp = "b"\n'
    )
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("IOTC_")},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        # Whoever asks the network for anything waits for this in vain.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "TERM": "dumb",
    }


BASH = """
source <(iotc-admin completion bash)
COMP_WORDS=(iotc-admin {words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_iotc_admin
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# zsh fills its own arrays; what the function hands to the shell is printed instead.
ZSH = """
_describe() {{ print -rl -- "${{(@)${{(@P)3}}%%:*}}" }}
_files() {{ print -r -- FILES }}
compdef() {{ : }}
source <(iotc-admin completion zsh)
words=(iotc-admin {words})
CURRENT=$#words
_iotc_admin
"""

FISH = """
iotc-admin completion fish | source
complete -C 'iotc-admin {words}'
"""

LINES = [
    ("gr", ["group"]),
    ("group c", ["create", "code"]),
    ("group set-cert g --sl", ["--slot"]),
    ("group set-cert g --slot s", ["secondary"]),
    ("device connect x --transport mqtt", ["mqtt", "mqtt-ws"]),
    ("cert root x --key rsa-3", ["rsa-3072"]),
    ("group list --output j", ["json"]),
    ("group list --profile pl", ["plant7", "plant8"]),
    ("--profile plant8 group sh", ["show"]),
    ("profile use plant8", ["plant8"]),
    ("roll pl", ["plan"]),
    ("doctor --mq", ["--mqtt-port"]),
    ("completion z", ["zsh"]),
]


def said(program: str, line: str, script: str, folder: Path, environment: Environment) -> list[str]:
    done = subprocess.run(
        [needed(program), *(["-f"] if program == "zsh" else []), "-c", script.format(words=line)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return sorted(each.partition("\t")[0] for each in done.stdout.splitlines() if each)


@pytest.mark.parametrize("program", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(("line", "offered"), LINES)
def test_every_shell_offers_commands_options_values_and_profiles(
    program: str, line: str, offered: list[str], tmp_path: Path, environment: Environment
) -> None:
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[program]

    assert said(program, line, script, tmp_path, environment) == sorted(offered)


@pytest.mark.parametrize(
    ("program", "found"), [("bash", []), ("zsh", ["FILES"]), ("fish", ["root_cert.pem"])]
)
def test_where_a_file_is_wanted_the_shell_offers_files(
    program: str, found: list[str], tmp_path: Path, environment: Environment
) -> None:
    (tmp_path / "root_cert.pem").touch()
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[program]

    assert said(program, "group create g --root root", script, tmp_path, environment) == found


def test_bash_completes_on_a_real_tab_key(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "root_cert.pem").touch()
    (tmp_path / "rc").write_text("PS1='$ '\nsource <(iotc-admin completion bash)\n")

    typed = typing(
        "bash --noprofile --rcfile rc -i",
        "iotc-admin group set-c\t--slot=sec\t--cert root\t",
        tmp_path,
        environment,
    )

    assert "iotc-admin group set-cert --slot=secondary --cert root_cert.pem" in typed


def typing(program: str, keys: str, folder: Path, environment: Environment) -> str:
    """What a terminal shows while these keys are pressed one after the other."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        program.split(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env=environment,
        start_new_session=True,
    ) as process:
        os.close(slave)
        shown = read(master, "$ ")
        for key in keys:
            os.write(master, key.encode())
            shown += read(master, " " if key == "\t" else key)
        process.kill()
    os.close(master)
    return shown


def read(master: int, until: str, seconds: float = 20) -> str:
    shown, end = "", time.monotonic() + seconds
    while until not in shown and time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            shown += os.read(master, 4096).decode()
    return shown


def test_completion_loads_nothing_heavy(tmp_path: Path, environment: Environment) -> None:
    heavy = (
        "pydantic",
        "httpx",
        "cryptography",
        "azure",
        "rich",
        "tomlkit",
        "iotc_admin.client",
        "iotc_admin.pki",
    )
    program = (
        "import sys; sys.argv[1:] = ['complete', '--', 'group', 'create', '--']\n"
        "from iotc_admin.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    *offered, last = done.stdout.splitlines()
    assert "--root" in [each.partition("\t")[0] for each in offered]
    code, *loaded = last.split()
    assert (code, set(heavy) & set(loaded)) == ("0", set())


def test_bash_takes_an_option_and_its_value_apart(tmp_path: Path, environment: Environment) -> None:
    assert said("bash", "group set-cert g --slot =", BASH, tmp_path, environment) == ["primary", "secondary"]
    assert said("bash", "group set-cert g --slot = pri", BASH, tmp_path, environment) == ["primary"]


def test_names_that_a_shell_would_take_apart_are_not_offered(
    tmp_path: Path, environment: Environment
) -> None:
    done = shell("iotc-admin complete -- --profile ''", tmp_path, environment)

    assert done.stdout.split() == ["plant7", "plant8"]


def test_a_config_file_that_cannot_be_read_does_not_show_on_tab(
    tmp_path: Path, environment: Environment
) -> None:
    (tmp_path / ".config" / "iotc-admin" / "config.toml").write_text("nonsense")

    done = shell(
        "iotc-admin complete -- --profile ''; iotc-admin complete -- nosuch x", tmp_path, environment
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
