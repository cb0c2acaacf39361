"""The way in: `iotc-admin`, and `python -m iotc_admin`."""

from __future__ import annotations

import contextlib
import gc
import os
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    _have_streams()
    if sys.argv[1:] == ["--version"]:
        # Scripts ask this often; it need not cost them the start of a command line.
        from iotc_admin import __version__

        with contextlib.suppress(OSError):
            print(f"iotc-admin {__version__}", flush=True)
        return
    # A start makes many objects that all stay: collecting among them finds nothing and costs 20 ms.
    gc.set_threshold(50_000)
    # Looking for pydantic's plug-ins reads the metadata of every installed package; we use none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from iotc_admin.cli.app import run

    sys.exit(run(sys.argv[1:]))


def _have_streams() -> None:
    """Whoever closed a standard stream does not want it; nothing else needs to know."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")


if __name__ == "__main__":
    main()
