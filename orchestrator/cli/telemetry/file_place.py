"""A file of OTLP JSON lines, as the Collector's `otlpjsonfile` receiver reads it: one document a line, of all signals."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence

from orchestrator.cli.telemetry.encoding import Encoder, encoder_of
from orchestrator.cli.telemetry.places import NotTakenError
from orchestrator.cli.telemetry.settings import Settings, Signal


class JsonLines:
    """Append the items of one signal to a file, see `places.Place`; several runs and signals may append to the same."""

    def __init__(self, signal: Signal, path: str, settings: Settings) -> None:
        self._signal = signal
        self._path = path
        self._settings = settings
        self._encoder: Encoder | None = None
        self._given_up = False

    def send(self, items: Sequence[object]) -> None:
        """
        Append *items* as one line, in one call, so that lines of others do not come between.

        Raises:
            NotTakenError: It could not be written.
        """
        if self._encoder is None:
            self._encoder = encoder_of(self._signal, self._settings)
        line = json_line(self._encoder.document(items)).encode()
        try:
            # Not blocking: a pipe that nobody reads is no place to wait at.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
            descriptor = os.open(self._path, flags, 0o600)
            try:
                if self._given_up:
                    raise TimeoutError
                if os.write(descriptor, line) != len(line):
                    raise NotTakenError("file_written_in_part")
            finally:
                os.close(descriptor)
        except TimeoutError:
            raise NotTakenError("timeout") from None
        except OSError as error:
            raise NotTakenError(f"file_{errno.errorcode.get(error.errno or 0, 'error')}") from None

    def hang_up(self) -> None:
        """Write nothing more."""
        self._given_up = True

    def close(self) -> None:
        """There is nothing to close: the file is opened for each line."""


def json_line(document: object) -> str:
    """Return *document* as a line of a file."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n"
