"""What pools promise to a run, whether they are counted by kernel locks or in memory."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from orchestrator.runtime.ports import Pools

SIZES = {"db": 3, "cpu": 5}
shares = st.dictionaries(st.sampled_from(sorted(SIZES)), st.integers(1, 5), min_size=1).filter(
    lambda drawn: all(count <= SIZES[pool] for pool, count in drawn.items())
)


class PoolsContract:
    """Held by every implementation; a subclass says how one is made."""

    def open_pools(self, sizes: Mapping[str, int]) -> Pools:
        """Return pools of these *sizes* that nobody has taken anything of."""
        raise NotImplementedError

    def test_all_or_nothing(self) -> None:
        """Given one pool that is taken, then nothing of the other one is held either."""
        pools = self.open_pools({"db": 1, "cpu": 2})
        assert pools.take("a", {"db": 1})

        assert not pools.take("b", {"cpu": 2, "db": 1})
        pools.give_back("b")

        assert pools.take("c", {"cpu": 2})

    def test_given_back(self) -> None:
        """Given shares that are given back, then the next one has them; giving back what is not held changes nothing."""
        pools = self.open_pools({"db": 2})
        assert pools.take("a", {"db": 2})
        assert not pools.take("b", {"db": 1})

        pools.give_back("a")
        pools.give_back("nobody")

        assert pools.take("b", {"db": 1})
        assert pools.take("c", {"db": 1})

    def test_parts_that_do_not_lie_together(self) -> None:
        """Given free shares between others that are taken, then they are enough together."""
        pools = self.open_pools({"db": 5})
        for name in "abcde":
            assert pools.take(name, {"db": 1})
        for name in "bd":
            pools.give_back(name)

        assert not pools.take("f", {"db": 3})
        assert pools.take("f", {"db": 2})

    def test_large_pool(self) -> None:
        """Given a pool of a million shares, then they are taken at once, in parts of any size."""
        pools = self.open_pools({"memory": 1_000_000})

        assert pools.take("a", {"memory": 999_999})
        assert not pools.take("b", {"memory": 2})
        assert pools.take("b", {"memory": 1})


moves = st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | shares), max_size=30)
"""Who takes what, and who gives back what he holds."""


def check_moves(pools: Pools, drawn: list[tuple[str, dict[str, int] | None]]) -> None:
    """Hold *pools* of `SIZES` to the law: what is held fits, and what fits is given to the one whose turn it is."""
    held: dict[str, dict[str, int]] = {}
    for name, wanted in drawn:
        if wanted is None or name in held:
            pools.give_back(name)
            held.pop(name, None)
            continue
        used = {pool: sum(other.get(pool, 0) for other in held.values()) for pool in SIZES}
        fits = all(used[pool] + count <= SIZES[pool] for pool, count in wanted.items())
        assert pools.take(name, wanted) is fits
        if fits:
            held[name] = wanted
        else:
            pools.give_back(name)
    for name in held:
        pools.give_back(name)
