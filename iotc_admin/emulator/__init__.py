"""An emulator of Azure IoT Central that really validates: a rude, forgetful service."""

from iotc_admin.emulator.emulator import Emulator
from iotc_admin.emulator.faults import Fault
from iotc_admin.emulator.switches import Switches

__all__ = ["Emulator", "Fault", "Switches"]
