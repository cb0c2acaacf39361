"""The state of all slots as one HTML file for people: no script, and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from iotc_admin import __version__
from iotc_admin.cli.output import day, iso, plain
from iotc_admin.cli.status_timeline import timeline
from iotc_admin.cli.status_views import verdict
from iotc_admin.errors import SettingsError
from iotc_admin.workflows.status import STATES

if TYPE_CHECKING:
    from iotc_admin.pki.lifetime import Policy
    from iotc_admin.workflows.status import Status

BEGINNING: Final = b"<!doctype html>\n<!-- iotc-admin status -->\n"
MEANINGS: Final = {
    "expired": "devices are refused",
    "due": "to be renewed now",
    "unverified": "proof of possession is open",
    "drift": "not as this tool left it",
    "early": "not valid yet",
    "weak": "key or signature too weak",
    "shared": "one key in several places",
    "unmanaged": "unknown to the ledger",
    "ok": "nothing to do",
    "empty": "free slots",
}


def renderer() -> Callable[[Status], str]:
    """What makes the report. Raises `SettingsError` where the extra is not installed."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        message = "the HTML report needs Jinja, which is not installed"
        raise SettingsError(message, hint="pip install 'iotc-admin[report]'") from None
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Names come from elsewhere: what cannot be seen, or turns the text around it, is shown as escapes.
    environment.filters |= {"plain": plain, "day": day, "iso": iso}
    template = environment.from_string((files("iotc_admin.cli") / "status.html").read_text(encoding="utf-8"))

    def render(status: Status) -> str:
        return BEGINNING.decode() + template.render(
            status=status,
            verdict=verdict(status),
            rule=_rule(status.policy),
            states=[
                (state, status.count[state], MEANINGS[state]) for state in STATES if state in status.count
            ],
            timeline=timeline(status.slots, status.at),
            version=__version__,
        )

    return render


def _rule(policy: Policy) -> str:
    if policy.within is None:
        return (
            "Due is what has lived for two thirds of its life; for half of it, if that is ten days or less."
        )
    hours = round(policy.within.total_seconds() / 3600)
    span = f"{hours // 24} days" if hours % 24 == 0 else f"{hours} hours"
    return f"Due is what expires within {span}."
