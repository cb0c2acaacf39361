"""Iterates over every device and keeps none; prints how many."""

from __future__ import annotations

import os
from pathlib import Path

from iotc_admin import ApiToken, Client, Pacer


def main() -> None:
    app = os.environ["IOTC_APP"]
    token, unpaced = ApiToken(os.environ["IOTC_API_TOKEN"]), Pacer(app, ceiling=1e6, window=0)
    with Client(app, token, ca_file=Path(os.environ["IOTC_CA_FILE"]), pacer=unpaced) as client:
        print(sum(1 for _ in client.devices.list()))


if __name__ == "__main__":
    main()
