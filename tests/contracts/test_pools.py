"""The contract of pools, held by kernel locks and by the fake that simulated runs use."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given

from ledger.errors import StorageError
from orchestrator.runtime.pools import LedgerPools
from orchestrator.runtime.ports import Pools
from tests.contracts.pools import SIZES, PoolsContract, check_moves, moves
from tests.simulation import SimulatedPools

HOLDER = """
import sys
from pathlib import Path
from orchestrator.runtime.pools import LedgerPools
pools = LedgerPools(Path(sys.argv[1]), {"db": 2})
print(pools.take("a", {"db": int(sys.argv[2])}), flush=True)
sys.stdin.read()
"""


class TestSimulatedPools(PoolsContract):
    """The fake counts."""

    def open_pools(self, sizes: Mapping[str, int]) -> Pools:
        """Return a fake."""
        return SimulatedPools(sizes)

    @given(moves)
    def test_never_more_than_there_are(self, drawn: list[tuple[str, dict[str, int] | None]]) -> None:
        """For any order of taking and giving back, the law holds."""
        check_moves(self.open_pools(SIZES), drawn)


class TestLedgerPools(PoolsContract):
    """The real ones lock bytes of files."""

    @pytest.fixture(autouse=True)
    def _files(self) -> Iterator[None]:
        self.opened: list[LedgerPools] = []
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            yield
            for pools in self.opened:
                pools.close()

    def open_pools(self, sizes: Mapping[str, int]) -> Pools:
        """Return pools in a folder of their own."""
        return self.another(self.folder / f"{len(self.opened)}", sizes)

    def another(self, folder: Path, sizes: Mapping[str, int]) -> LedgerPools:
        """Return the pools in *folder* as another pipeline has them."""
        pools = LedgerPools(folder, sizes)
        self.opened.append(pools)
        return pools

    @given(moves)
    def test_never_more_than_there_are(self, drawn: list[tuple[str, dict[str, int] | None]]) -> None:
        """For any order of taking and giving back, the law holds."""
        with contextlib.closing(LedgerPools(self.folder / "law", SIZES)) as pools:
            check_moves(pools, drawn)

    def test_counted_over_all_pipelines(self) -> None:
        """Given what one pipeline holds, then the others have the rest, each by the size that its definition names."""
        one, other = self.another(self.folder, {"db": 2}), self.another(self.folder, {"DB": 3})
        assert one.take("a", {"db": 2})

        assert not other.take("b", {"DB": 2})
        other.give_back("b")
        assert other.take("b", {"DB": 1})
        one.give_back("a")

        assert other.take("c", {"DB": 2})

    def test_whoever_waits_is_next(self) -> None:
        """Given a pipeline that waits for the whole pool, then what is given back stays for it, whoever else asks."""
        one, other, third = (self.another(self.folder, {"db": 2}) for _ in range(3))
        assert one.take("a", {"db": 1})
        assert not other.take("b", {"db": 2})

        assert not third.take("c", {"db": 1})
        one.give_back("a")

        assert not third.take("c", {"db": 1})
        assert other.take("b", {"db": 2})
        other.give_back("b")
        assert third.take("c", {"db": 1})

    def test_who_gives_up_waiting_is_in_nobodys_way(self) -> None:
        """Given a step that waits no longer, then the turn is somebody else's."""
        one, other, third = (self.another(self.folder, {"db": 2}) for _ in range(3))
        assert one.take("a", {"db": 1})
        assert not other.take("b", {"db": 2})

        other.give_back("b")

        assert third.take("c", {"db": 1})

    def test_shares_of_the_dead_come_back(self) -> None:
        """Given a process that is killed while it holds shares, then they are free."""
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, self.folder, "2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert b"True\n" == holder.stdout.readline()
        pools = self.another(self.folder, {"db": 2})
        assert not pools.take("b", {"db": 1})

        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()

        assert pools.take("b", {"db": 2})

    def test_children_hold_nothing(self) -> None:
        """Given shares that are held, then no process that is started meanwhile inherits them."""
        pools = self.another(self.folder, {"db": 1})
        assert pools.take("a", {"db": 1})
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)

        pools.give_back("a")

        assert self.another(self.folder, {"db": 1}).take("b", {"db": 1})
        child.communicate()

    def test_what_cannot_be_locked(self) -> None:
        """Given a folder in the place of a pool's file, then it is an error that names where."""
        (self.folder / "db.pool").mkdir()

        with pytest.raises(StorageError, match=r"a pool cannot be locked: Is a directory"):
            self.another(self.folder, {"db": 1}).take("a", {"db": 1})
