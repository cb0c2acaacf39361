"""The steps of the README's pipelines and of the action run as their services would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from iotc_admin import CertificateAuthority, Client, Ledger
from iotc_admin.emulator import Emulator
from iotc_admin.workflows import enroll_group

from .test_readme import ROOT, blocks
from .test_transcripts import environment_of

GITHUB, AZURE = (yaml.safe_load(each) for each in blocks("yaml"))
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a machine that has Python and what we depend on, and not us."""
    venv = tmp_path_factory.mktemp("machine")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return venv / "bin"


@pytest.fixture
def home(tmp_path: Path, emulator: Emulator, machine: Path) -> dict[str, str]:
    pip = {name: each for name, each in os.environ.items() if name.startswith("PIP_")}
    return {
        "PATH": os.pathsep.join([str(machine), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        **pip,
        **environment_of(emulator, tmp_path),
    }


def run(script: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """One step, as both services run them: bash that stops at the first failure."""
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )


def filled(text: str, values: Mapping[str, str]) -> str:
    """`${{ name }}` and `$(name)` replaced, as the services do."""
    text = re.sub(r"\$\{\{ (.*?) \}\}", lambda found: values[found[1]], text)
    return re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], text)


def action(inputs: Mapping[str, str], folder: Path, environment: Mapping[str, str]) -> Iterator[Any]:
    """The steps of action.yml with these inputs, until one fails."""
    given = {name: each.get("default", "") for name, each in ACTION["inputs"].items()} | dict(inputs)
    values = {f"inputs.{name}": each for name, each in given.items()} | {"github.action_path": str(ROOT)}
    for step in ACTION["runs"]["steps"]:
        own = {name: filled(each, values) for name, each in step["env"].items()}
        done = run(step["run"], folder, {**environment, **own})
        yield done
        if done.returncode:
            return


@pytest.fixture
def due(client: Client, tmp_path: Path) -> None:
    """A group whose CA expires within the month."""
    ca = CertificateAuthority.create("plant7", now=client.now(), lifetime=timedelta(days=20))
    ledger = Ledger(tmp_path / "ledger.db")
    enroll_group(client, "plant-7", primary=ca, run=ledger.run("group create", client.now()))
    ledger.close()


def of_github(environment: Mapping[str, str]) -> dict[str, str]:
    """The inputs that the README's job hands to the action."""
    (step,) = GITHUB["jobs"]["certificates"]["steps"]
    values = {
        "vars.IOTC_APP": environment["IOTC_APP"],
        "secrets.IOTC_API_TOKEN": environment["IOTC_API_TOKEN"],
    }
    return {name: filled(each, values) for name, each in step["with"].items()}


def test_the_job_of_github_installs_the_action_and_is_green_while_nothing_is_due(
    tmp_path: Path, home: dict[str, str], machine: Path
) -> None:
    steps = list(action(of_github(home), tmp_path, home))

    assert [each.returncode for each in steps] == [0, 0], steps[-1].stderr
    assert (machine / "iotc-admin").exists()
    assert "no slot holds a certificate" in steps[-1].stdout


@pytest.mark.usefixtures("due")
def test_the_job_of_github_fails_when_something_is_due(tmp_path: Path, home: dict[str, str]) -> None:
    *_, last = action(of_github(home), tmp_path, home)

    assert (last.returncode, "due" in last.stdout) == (3, True), last.stderr


def test_what_the_action_runs_is_split_but_never_evaluated(tmp_path: Path, home: dict[str, str]) -> None:
    inputs = of_github(home) | {"run": "group show 'no such; touch owned' $(touch owned) `touch owned`"}

    *_, last = action(inputs, tmp_path, home)

    assert last.returncode == 2
    assert not (tmp_path / "owned").exists()
    assert home["IOTC_API_TOKEN"] not in last.stdout + last.stderr


def of_azure(environment: Mapping[str, str], folder: Path) -> Iterator[Any]:
    values = {"IOTC_ADMIN": str(ROOT), "IOTC_API_TOKEN": environment["IOTC_API_TOKEN"]}
    secretless = {name: each for name, each in environment.items() if name != "IOTC_API_TOKEN"}
    for step in AZURE["steps"]:
        if "script" in step:
            own = {name: filled(each, values) for name, each in step.get("env", {}).items()}
            done = run(filled(step["script"], values), folder, {**secretless, **own})
            yield done
            if done.returncode:
                return


@pytest.mark.usefixtures("due")
def test_the_job_of_azure_pipelines_leaves_the_document_that_it_publishes(
    tmp_path: Path, home: dict[str, str]
) -> None:
    *_, last = of_azure(home, tmp_path)

    assert last.returncode == 3, last.stderr
    published = [step["publish"] for step in AZURE["steps"] if "publish" in step]
    (document,) = (yaml.safe_load((tmp_path / each).read_text()) for each in published)
    assert document["waits"] is True
    assert document["count"]["due"] == 1


def test_both_jobs_are_of_ten_lines() -> None:
    assert [len(each.splitlines()) for each in blocks("yaml")] == [10, 9]
