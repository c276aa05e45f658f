"""Manifests of datasets where they are asked for: also those that were measured a moment ago and are not recorded yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.runtime.digests import FileDigester
from orchestrator.runtime.ports import Measured, MeasureRequest


class Manifests:
    """
    Hold manifests by digest: those just measured, and those that the ledger keeps.

    Args:
        kept: Returns what the ledger keeps under a digest.
    """

    def __init__(self, kept: Callable[[str], bytes | None]) -> None:
        self._kept = kept
        self._fresh: dict[str, bytes] = {}

    def remember(self, manifests: Mapping[str, bytes]) -> None:
        """Keep *manifests* for this run."""
        self._fresh.update(manifests)

    def get(self, digest: str) -> bytes | None:
        """Return the manifest of *digest*, or None."""
        return self._fresh.get(digest) or self._kept(digest)


class RememberingDigester:
    """A digester whose manifests can be asked for as soon as it has returned them."""

    def __init__(self, digester: FileDigester, manifests: Manifests) -> None:
        self._digester = digester
        self._manifests = manifests
        self.submit: Callable[[MeasureRequest], None] = digester.submit
        self.drop = digester.drop

    @property
    def busy(self) -> bool:
        """Whether a measurement is under way."""
        return self._digester.busy

    def advance(self) -> list[Measured]:
        """Work for some milliseconds and return what is complete."""
        found = self._digester.advance()
        for measured in found:
            self._manifests.remember(measured.manifests)
        return found
