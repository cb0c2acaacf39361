"""Who is connected to the hub at this moment; hides the threads that ask."""

from __future__ import annotations

from threading import Condition
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iotc_admin.emulator.hub_session import HubSession


class Links:
    """The live sessions of devices, one for each. For any thread."""

    def __init__(self) -> None:
        self._sessions: dict[str, HubSession] = {}
        self._changed = Condition()

    def attach(self, device_id: str, session: HubSession) -> None:
        """The newest connection of a device takes the place of an older one, which is dropped."""
        with self._changed:
            older = self._sessions.get(device_id)
            self._sessions[device_id] = session
            self._changed.notify_all()
        if older is not None:
            older.drop()

    def detach(self, device_id: str, session: HubSession) -> None:
        with self._changed:
            if self._sessions.get(device_id) is session:
                del self._sessions[device_id]

    def find(self, device_id: str) -> HubSession | None:
        return self._sessions.get(device_id)

    def wait_for(self, device_id: str, seconds: float) -> HubSession | None:
        """The session of a device that may take this long to connect."""
        with self._changed:
            self._changed.wait_for(lambda: device_id in self._sessions, timeout=seconds)
            return self._sessions.get(device_id)

    def drop(self, device_id: str) -> None:
        """End the connection of a device, if it has one."""
        session = self.find(device_id)
        if session is not None:
            session.drop()

    @property
    def connected(self) -> tuple[str, ...]:
        with self._changed:
            return tuple(sorted(self._sessions))
