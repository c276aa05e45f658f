"""History for the tests of reading commands: lived through once, and only read afterwards."""

from __future__ import annotations

import pytest

from tests.nights import Nights, live_through


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Give a ledger with two pipelines; whoever takes it changes nothing in it."""
    return live_through(tmp_path_factory.mktemp("nights"))
