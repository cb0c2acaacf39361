"""What operators do: look at the application, decide on a plan, carry it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotc_admin.workflows.apply import Outcome
    from iotc_admin.workflows.enroll import Enrollment, carry_out, enroll_group, plan_enrollment

__all__ = ["Enrollment", "Outcome", "carry_out", "enroll_group", "plan_enrollment"]


def __getattr__(name: str) -> object:
    # Looking at a group needs no cryptography, which carrying out an enrollment does.
    if name in __all__:
        from iotc_admin.workflows import enroll  # noqa: PLC0415

        found: object = getattr(enroll, name)
        return found
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
