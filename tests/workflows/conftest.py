"""A group with an old CA, and the new one that it is to be rolled to."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from iotc_admin import CertificateAuthority, Client, Ledger
from iotc_admin.workflows.enroll import enroll_group

from .test_enroll import GROUP

YEAR = timedelta(days=365)


@pytest.fixture
def old(now: datetime) -> CertificateAuthority:
    return CertificateAuthority.create("old", now=now, lifetime=YEAR)


@pytest.fixture
def new(now: datetime) -> CertificateAuthority:
    return CertificateAuthority.create("new", now=now, lifetime=10 * YEAR)


@pytest.fixture
def group(client: Client, ledger: Ledger, old: CertificateAuthority) -> None:
    enroll_group(client, GROUP, primary=old, run=ledger.run("group create", client.now()))
