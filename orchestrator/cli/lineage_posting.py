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
from urllib.parse import urlsplit

NO_PLACE = 2
"""How it ends where the variables name no place, so that nothing was sent."""

_SUCCESS = 2
"""The first digit of the status of an answer that says so."""

_NOWHERE = {
    "console": "nothing says where to send it: set OPENLINEAGE_URL, or another transport of openlineage-python",
    "noop": "it is switched off (OPENLINEAGE_DISABLED)",
}


class NoPlaceError(Exception):
    """Raised where nothing can be sent at all, with what is to be said of it."""


def main() -> None:
    """Send what stands on standard input, and end with 0 where all of it was taken, with 1 where it was not, with `NO_PLACE` where there is no place."""
    code, problem = 0, None
    try:
        problem = _sent([json.loads(line) for line in sys.stdin.buffer])
        code = 0 if problem is None else 1
    except NoPlaceError as error:
        code, problem = NO_PLACE, str(error)
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of a transport may go on.
    os._exit(code)


def _sent(events: list[Any]) -> str | None:
    logging.disable(logging.CRITICAL)
    transport = _transport()
    for event in events:
        try:
            transport.emit(event)
        except Exception as error:  # noqa: BLE001 - see above
            return _reason(error)
        sys.stdout.write("taken\n")
        sys.stdout.flush()
    return None if transport.close(timeout=-1) else "not all that was handed over was sent"


def _transport() -> Any:  # noqa: ANN401 - of a package
    try:
        from openlineage.client import OpenLineageClient

        transport = OpenLineageClient().transport
        _require_web(getattr(transport, "url", None))
    except Exception as error:  # noqa: BLE001 - of a package, for whatever the variables say
        kind = type(error).__name__
        raise NoPlaceError(
            f"its variables cannot be used ({kind}): see OPENLINEAGE_URL and OPENLINEAGE__TRANSPORT__*"
        ) from None
    if transport.kind in _NOWHERE:
        raise NoPlaceError(_NOWHERE[transport.kind])
    if "async_http" in {part.kind for part in (transport, *getattr(transport, "transports", ()))}:
        # It follows redirects, and a refusal is in nobody's hands but its log's.
        raise NoPlaceError("the transport async_http does not say what was taken: use http")
    _stay_at_the_address()
    return transport


def _require_web(url: object) -> None:
    """Raise ValueError where *url* is an address that nothing can be posted to; a transport without one has another place."""
    if isinstance(url, str):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError


def _stay_at_the_address() -> None:
    """
    Let no session of `requests` follow a redirect, and take no answer outside 2xx for a success.

    A catalogue behind a log-in page answers 302; the page that comes of it says 200, and nothing was taken. Elsewhere the events may be nobody's business.
    """
    from requests import HTTPError, Session

    send = Session.send

    def straight(session: Any, request: Any, **options: Any) -> Any:  # noqa: ANN401 - of a package
        response = send(session, request, **{**options, "allow_redirects": False})
        if response.status_code // 100 != _SUCCESS:
            raise HTTPError(response=response)
        return response

    # This process does nothing but send, and every transport that posts does it through a session.
    setattr(Session, "send", straight)  # noqa: B010 - a method of a package


def _reason(error: Exception) -> str:
    """Say what *error* is without its own words."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return f"HTTP {status}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    # The last of several tries without an answer comes as a failed connection that has it for a reason.
    last = getattr(error.args[0] if error.args else None, "reason", None)
    if "Timeout" in kinds or type(last).__name__ == "ReadTimeoutError":
        return "no answer in time"
    if "RetryError" in kinds:
        return "it answered with an error again and again"
    return "no connection" if "ConnectionError" in kinds else f"it was not taken ({type(error).__name__})"


if __name__ == "__main__":
    main()
