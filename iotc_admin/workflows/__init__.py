"""What operators do: look at the application, decide on a plan, carry it out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iotc_admin.workflows.apply import Outcome
    from iotc_admin.workflows.attach import (
        Attachment,
        attach_certificates,
        carry_out_attachment,
        plan_attachment,
    )
    from iotc_admin.workflows.edge.authority import issue_edge_ca, trust_bundle
    from iotc_admin.workflows.edge.settings import EdgeSettings
    from iotc_admin.workflows.enroll import Enrollment, carry_out, enroll_group, plan_enrollment
    from iotc_admin.workflows.explain import Explanation, explain_provisioning
    from iotc_admin.workflows.scope import find_id_scope
    from iotc_admin.workflows.status import Status, look_at_status

# Looking at a group needs no cryptography, which carrying out an enrollment does: loaded when first used.
_HOMES: Final = {
    "apply": ("Outcome",),
    "attach": ("Attachment", "attach_certificates", "carry_out_attachment", "plan_attachment"),
    "edge.authority": ("issue_edge_ca", "trust_bundle"),
    "edge.settings": ("EdgeSettings",),
    "enroll": ("Enrollment", "carry_out", "enroll_group", "plan_enrollment"),
    "explain": ("Explanation", "explain_provisioning"),
    "scope": ("find_id_scope",),
    "status": ("Status", "look_at_status"),
}

__all__ = [
    "Attachment",
    "EdgeSettings",
    "Enrollment",
    "Explanation",
    "Outcome",
    "Status",
    "attach_certificates",
    "carry_out",
    "carry_out_attachment",
    "enroll_group",
    "explain_provisioning",
    "find_id_scope",
    "issue_edge_ca",
    "look_at_status",
    "plan_attachment",
    "plan_enrollment",
    "trust_bundle",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(f"{__name__}.{home}"), name)
            return found
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
