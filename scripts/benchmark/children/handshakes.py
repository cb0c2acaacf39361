"""Mutual TLS by the standard library alone: handshakes.py CERT KEY CA; prints its address.

Who holds a certificate of the CA is sent one byte.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys


async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b".")
    writer.close()


async def main(certificate: str, key: str, authority: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # as at the emulator, where no session is resumed
    server = await asyncio.start_server(greet, "127.0.0.1", ssl=context, backlog=2048)
    print(json.dumps({"dpsHost": f"localhost:{server.sockets[0].getsockname()[1]}"}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
