"""The way in: `iotc-admin`, and `python -m iotc_admin`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        # Scripts ask this often; it need not cost them the start of a command line.
        from iotc_admin import __version__

        sys.stdout.write(f"iotc-admin {__version__}\n")
        return
    # Looking for pydantic's plug-ins reads the metadata of every installed package; we use none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from iotc_admin.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
