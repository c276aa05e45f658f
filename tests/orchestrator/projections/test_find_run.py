"""Tests of which run a word means, and of what to expect of a step from its history."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.projections.estimates import expected_seconds, expected_us
from orchestrator.projections.find_run import RunLookupError, check_step, find_own_run, find_run

IDS = [f"2026010{night}T020000Z-00{letter}abcdef" for night in range(1, 8) for letter in "ab"]


@contextlib.contextmanager
def ledger(runs: dict[str, str]) -> Iterator[sqlite3.Connection]:
    """Give the tables of a ledger with *runs*, by id with their pipeline, the last one newest."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE runs (run_id TEXT, pipeline TEXT, first_seq INTEGER)")
        connection.execute("CREATE TABLE reproductions (run_id TEXT, pipeline TEXT, reproduces TEXT)")
        connection.execute("CREATE TABLE steps (run_id TEXT, step TEXT, position INTEGER)")
        connection.executemany(
            "INSERT INTO runs VALUES (?, ?, ?)", [(run, of, number) for number, (run, of) in enumerate(runs.items())]
        )
        yield connection


def kind_of(connection: sqlite3.Connection, word: str, pipeline: str | None = None) -> tuple[str, str]:
    """Return kind and message of the error that *word* ends in."""
    with pytest.raises(RunLookupError) as error:
        find_run(connection, word, pipeline=pipeline)
    return error.value.kind, str(error.value)


class TestFindRun:
    """An id, a unique beginning of one, `latest`, `latest:PIPELINE`."""

    def test_reproduction(self) -> None:
        """Given a run that reproduces another one, then it is found by its id alone, and is never the latest, nor one of its pipeline's own."""
        with ledger({IDS[0]: "shop"}) as connection:
            connection.execute("INSERT INTO reproductions VALUES (?, 'shop', ?)", (IDS[-1], IDS[0]))
            assert find_run(connection, IDS[-1][:9], pipeline="shop") == IDS[-1]
            assert find_run(connection, "latest") == find_run(connection, "latest:shop") == IDS[0]
            assert find_own_run(connection, IDS[0], "shop") == IDS[0]
            with pytest.raises(RunLookupError, match=f"reproduces run {IDS[0]}"):
                find_own_run(connection, IDS[-1], "shop")

    @given(st.sampled_from(IDS), st.integers(1, 30))
    def test_beginning_is_found_where_it_is_unique(self, run_id: str, length: int) -> None:
        """Given any beginning of an id, then the run, or the complaint that several begin so."""
        with ledger(dict.fromkeys(IDS, "p")) as connection:
            word = run_id[:length]
            same = [other for other in IDS if other.startswith(word)]
            if len(same) == 1:
                assert find_run(connection, word) == run_id
            else:
                kind, message = kind_of(connection, word)
                assert kind == "ambiguous_run"
                assert all(other in message for other in same[:5])
                assert (", …" in message) == (len(same) > 5)

    def test_whole_id_that_begins_another(self) -> None:
        """Given an id that is the beginning of another one, then it means itself."""
        with ledger({"a": "p", "ab": "p"}) as connection:
            assert find_run(connection, "a") == "a"

    def test_wildcards_mean_themselves(self) -> None:
        """Given characters that SQL would take for more, then they match nothing else."""
        with ledger({"ab": "p"}) as connection:
            assert kind_of(connection, "a_")[0] == "unknown_run"
            assert kind_of(connection, "a%")[0] == "bad_run_id"

    def test_latest(self) -> None:
        """Given runs of two pipelines, then the newest of all, of the one that is named, of the one that is asked about."""
        with ledger({"r1": "a", "r2": "b", "r3": "a"}) as connection:
            assert find_run(connection, "latest") == "r3"
            assert find_run(connection, "latest:b") == "r2"
            assert find_run(connection, "latest", pipeline="b") == "r2"
            assert find_run(connection, "latest:", pipeline="b") == "r2"
            assert find_run(connection, "latest:a", pipeline="b") == "r3"

    def test_latest_where_there_is_none(self) -> None:
        """Given no run at all, or none of a pipeline, then each has its message."""
        with ledger({}) as empty:
            assert kind_of(empty, "latest") == ("no_runs", "this ledger holds no run yet; `orchestrate run` makes one")
            assert kind_of(empty, "latest:a")[0] == "no_runs"
        with ledger({"r1": "a"}) as some:
            assert kind_of(some, "latest:b") == ("unknown_pipeline", "no run of a pipeline 'b'; this ledger has a")
            assert kind_of(some, "latest", "b") == (
                "no_runs",
                "this ledger holds no run of 'b' yet; `orchestrate run` makes one",
            )

    @given(st.text())
    def test_any_word_is_found_or_refused(self, word: str) -> None:
        """Given any text, then a run or an error of ours whose message shows nothing that a terminal obeys."""
        with ledger({"20260101": "p"}) as connection:
            with contextlib.suppress(RunLookupError):
                assert find_run(connection, word) == "20260101"
                return
            assert kind_of(connection, word)[1].isprintable()


class TestCheckStep:
    """A step that a run lacks is not defined."""

    def test_steps(self) -> None:
        """Given a step that is there, one that is nearly so, and none such, then the step, the near one, or the list."""
        with ledger({"r": "p"}) as connection:
            connection.executemany(
                "INSERT INTO steps VALUES ('r', ?, ?)",
                [(name, place) for place, name in enumerate(["bronze", "silver"])],
            )
            assert check_step(connection, "r", "bronze") == "bronze"
            with pytest.raises(RunLookupError, match="did you mean silver"):
                check_step(connection, "r", "slver")
            with pytest.raises(RunLookupError, match=r"step x\\x1b is not defined in run r; it has bronze, silver"):
                check_step(connection, "r", "x\x1b")


class TestEstimates:
    """The median, the lower one of two."""

    @given(st.lists(st.integers(0, 10**12)))
    def test_median(self, history: list[int]) -> None:
        """Given any history, then a value of it with as many below as above, or nothing for none."""
        expected = expected_us(history)
        if not history:
            assert (expected, expected_seconds(history)) == (None, None)
            return
        assert expected in history
        assert sum(value < expected for value in history) <= len(history) / 2
        assert sum(value > expected for value in history) <= len(history) / 2
        assert expected_seconds(history) == expected / 1e6
