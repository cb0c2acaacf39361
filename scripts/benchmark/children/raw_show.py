"""The three GETs of `group show`, with httpx alone: raw_show.py GROUP"""

from __future__ import annotations

import os
import ssl
import sys

import httpx

GROUP = f"{os.environ['IOTC_APP']}/api/enrollmentGroups/{sys.argv[1]}"
CONTEXT = ssl.create_default_context()
CONTEXT.load_verify_locations(os.environ["IOTC_CA_FILE"])
HEADERS = {"Authorization": os.environ["IOTC_API_TOKEN"]}
with httpx.Client(verify=CONTEXT, headers=HEADERS, params={"api-version": "2022-07-31"}) as client:
    for path in ("", "/certificates/primary", "/certificates/secondary"):
        print(client.get(GROUP + path).text)
