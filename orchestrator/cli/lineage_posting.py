"""
Sending run events of OpenLineage, as a process of its own: `python -m orchestrator.cli.lineage_posting`.

The events stand on standard input, one a line; each that was taken is a line on standard output, and what went wrong is the last one on standard
error, in words of ours: those of others may repeat an address with a password in it. Where they go is read by openlineage-python, from its own
variables (`OPENLINEAGE_URL`, `OPENLINEAGE_API_KEY`, `OPENLINEAGE__TRANSPORT__…`) or its own file.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

_NOWHERE = {
    "console": "nothing says where to send it: set OPENLINEAGE_URL, or another transport of openlineage-python",
    "noop": "it is switched off (OPENLINEAGE_DISABLED)",
}


def main() -> None:
    """Send what stands on standard input, and end with 0 where all of it was taken."""
    problem = _sent([json.loads(line) for line in sys.stdin.buffer])
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of a transport may go on.
    os._exit(0 if problem is None else 1)


def _sent(events: list[Any]) -> str | None:
    logging.disable(logging.CRITICAL)
    try:
        from openlineage.client import OpenLineageClient

        transport = OpenLineageClient().transport
    except Exception as error:  # noqa: BLE001 - of a package, for whatever the variables say
        return (
            f"its variables cannot be used ({type(error).__name__}): see OPENLINEAGE_URL and OPENLINEAGE__TRANSPORT__*"
        )
    if transport.kind in _NOWHERE:
        return _NOWHERE[transport.kind]
    for event in events:
        try:
            transport.emit(event)
        except Exception as error:  # noqa: BLE001 - see above
            return _reason(error)
        sys.stdout.write("taken\n")
        sys.stdout.flush()
    return None if transport.close(timeout=-1) else "not all that was handed over was sent"


def _reason(error: Exception) -> str:
    """Say what *error* is without its own words."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"HTTP {status}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "Timeout" in kinds:
        return "no answer in time"
    if "RetryError" in kinds:
        return "it answered with an error again and again"
    return "no connection" if "ConnectionError" in kinds else f"it was not taken ({type(error).__name__})"


if __name__ == "__main__":
    main()
