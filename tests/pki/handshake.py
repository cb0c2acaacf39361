"""One mutual TLS handshake in memory, with contexts as strict as Python 3.13's default ones.

Arguments: server chain, server key, what the client trusts, client chain, client key, what the server trusts.
Prints the client's common name. Standard library only: other interpreters run it too.
"""

from __future__ import annotations

import ssl
import sys
from contextlib import suppress

STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def main(arguments: list[str]) -> None:
    server_chain, server_key, anchor, chain, key, device_anchor = arguments
    client_context = ssl.create_default_context(cafile=anchor)
    client_context.load_cert_chain(chain, key)
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=device_anchor)
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_cert_chain(server_chain, server_key)
    client_context.verify_flags |= STRICT
    server_context.verify_flags |= STRICT
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    server.do_handshake()
    peer = server.getpeercert()
    assert peer is not None
    sys.stdout.write(f"{peer['subject']}")


if __name__ == "__main__":
    main(sys.argv[1:])
