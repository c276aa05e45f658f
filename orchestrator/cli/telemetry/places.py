"""What a place is where telemetry goes, and what it raises where it does not take something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Place(Protocol):
    """Take items of one signal, in a thread that may be given up meanwhile."""

    def send(self, items: Sequence[object]) -> None:
        """
        Deliver *items*.

        Raises:
            NotTakenError: Nothing of it was taken.
            RejectedError: Some of it was not.
        """
        ...

    def hang_up(self) -> None:
        """End a `send` that goes on, from another thread; nothing is sent after that."""
        ...

    def close(self) -> None:
        """Let go of what is open; called in the thread that sends."""
        ...


class NotTakenError(Exception):
    """Raised where nothing was taken; *word* is one of few, and holds no secret."""

    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__(word)


class RejectedError(Exception):
    """Raised where *count* items of a batch were rejected for good, and the others taken."""

    word = "rejected"

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"{count} rejected")
