"""Asks as fast as the pace allows: paced.py SECONDS THREADS CEILING AHEAD FILE.

Prints how many requests were served in that time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from iotc_admin import ApiToken, Client, IotcError, Pacer
from iotc_admin.client.pacing import CEILING, WINDOW


def main(arguments: Sequence[str]) -> None:
    seconds, threads, ceiling, ahead = (float(each) for each in arguments[:4])
    app = os.environ["IOTC_APP"]
    # A ceiling beyond any service's stands for no pace at all: the window goes with it.
    window = WINDOW if ceiling <= CEILING else 0
    pacer = Pacer(app, file=Path(arguments[4]), ceiling=ceiling, ahead=ahead, window=window)
    token = ApiToken(os.environ["IOTC_API_TOKEN"])
    with Client(app, token, ca_file=Path(os.environ["IOTC_CA_FILE"]), pacer=pacer) as client:
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(int(threads)) as pool:
            print(sum(pool.map(lambda _: _ask(client, end), range(int(threads)))))


def _ask(client: Client, end: float) -> int:
    served = 0
    while time.monotonic() < end:
        try:
            client.roles.get("ca310b8d-2f4a-44e0-a36e-957c202cd8d4")
            served += time.monotonic() <= end
        except IotcError as error:
            print(error, file=sys.stderr)
    return served


if __name__ == "__main__":
    main(sys.argv[1:])
