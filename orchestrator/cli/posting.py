"""
One request to an address, as a process of its own: `python -m orchestrator.cli.posting`.

A name server that is silent, a server that sends a byte a second, a package that hangs: nothing of that can be ended from within a process, and everything by
ending it. The request stands on standard input, so that no address with a secret in it is seen in a list of processes; what went wrong is one line on
standard error, in words of ours, since those of others may repeat the address. The standard library alone, but for apprise.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

_SILENCE_SECONDS = 30.0
_GOOD = range(200, 300)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follow no redirect: a message is for the address that was written down."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Refuse; the answer counts as what it is."""
        return


def main() -> None:
    """Do what the JSON on standard input asks for, and end with 0 where it was done."""
    request: dict[str, Any] = json.load(sys.stdin.buffer)
    problem = _notified(request) if "apprise" in request else _asked(request)
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        sys.stderr.flush()
    # Threads of a package may go on, and what was done would count as not done in time.
    os._exit(0 if problem is None else 1)


def _asked(request: dict[str, Any]) -> str | None:
    """Post `body` to `url`, or only ask for it where there is none; return what went wrong."""
    url, body = str(request["url"]), request.get("body")
    if not url.lower().startswith(("http://", "https://")):
        return "its address does not begin with http:// or https://"
    headers = {"User-Agent": "orchestrate", **request.get("headers", {})}
    data = None
    if body is not None:
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
        headers["Content-Type"] = "application/json; charset=utf-8"
    try:
        url, authorization = _without_user(url)
        if authorization is not None and "authorization" not in {name.lower() for name in headers}:
            headers["Authorization"] = authorization
        opener = urllib.request.build_opener(_NoRedirects())
        with opener.open(urllib.request.Request(url, data, headers), timeout=_SILENCE_SECONDS) as answer:  # noqa: S310 - checked above
            return None if answer.status in _GOOD else f"HTTP {answer.status}"
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code} {http.client.responses.get(error.code, '')}".strip()
    except urllib.error.URLError as error:
        return _reason(error.reason)
    except http.client.HTTPException:
        return "the connection was dropped, or what came was no HTTP"
    except (OSError, ValueError) as error:
        return _reason(error)


def _without_user(url: str) -> tuple[str, str | None]:
    """Return *url* without user and password, and the header that says them to the server; None where it has none."""
    parts = urllib.parse.urlsplit(url)
    user_info, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = user_info.partition(":")
    plain = b":".join(urllib.parse.unquote_to_bytes(part) for part in (user, password))
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), f"Basic {base64.b64encode(plain).decode('ascii')}"


def _reason(reason: object) -> str:
    """Say what *reason* is without its own words, but for those of the system."""
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, ssl.SSLError):
        what = getattr(reason, "reason", None)
        return f"TLS failed: {what}" if what else "TLS failed"
    if isinstance(reason, OSError) and reason.strerror:
        return f"no connection: {reason.strerror}"
    if isinstance(reason, ValueError):
        return "its address or a header cannot be used: a sign in it is not allowed"
    return "no connection"


def _notified(request: dict[str, Any]) -> str | None:
    """Hand title and text to apprise; return what went wrong."""
    try:
        import apprise
    except ImportError:
        return 'apprise needs the extra notify: pip install "orchestrate[notify]"'
    taker = apprise.Apprise()
    for number, url in enumerate(request["apprise"], start=1):
        if not taker.add(url):
            return f"apprise does not take address {number}"
    if not taker.notify(title=request["title"], body=request["text"]):
        return "apprise could not deliver it"
    return None


if __name__ == "__main__":
    main()
