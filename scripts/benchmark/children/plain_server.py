"""aiohttp alone, a constant answer over TLS: plain_server.py CERT KEY; prints its address."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

from aiohttp import web

BODY = json.dumps({"id": "constant", "text": "x" * 300}).encode()


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    await request.read()
    return web.Response(body=BODY, content_type="application/json")


async def main(certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    print(json.dumps({"app": f"https://localhost:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
