"""A signal on its way: nobody waits for it, and what became of it is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from orchestrator.cli.telemetry.outlet import Outcome, Outlet, no_backlog
from orchestrator.cli.telemetry.places import NotTakenError, RejectedError
from orchestrator.cli.telemetry.settings import Batching

AT_ONCE = Batching(delay_ms=0, size=4, most=100)
LATER = Batching(delay_ms=3_600_000, size=4, most=10)


class Place:
    """Take what comes, or do what `answers` say, one for each batch; `hang` lasts until somebody hangs up, `slow` takes it then."""

    def __init__(self, *answers: str | int) -> None:
        self.answers = list(answers)
        self.taken: list[object] = []
        self.batches: list[int] = []
        self.asked = threading.Semaphore(0)
        self.hung_up = threading.Event()
        self.closed = threading.Event()

    def send(self, items: Sequence[object]) -> None:
        """Do what the next answer says."""
        answer = self.answers.pop(0) if self.answers else "taken"
        self.asked.release()
        if answer == "hang":
            self.hung_up.wait(60)
            raise NotTakenError("timeout")
        if answer == "slow":
            self.hung_up.wait(60)
            answer = "taken"
        if answer == "bug":
            raise RuntimeError
        if isinstance(answer, str) and answer != "taken":
            raise NotTakenError(answer)
        self.batches.append(len(items))
        self.taken += items
        if isinstance(answer, int):
            raise RejectedError(answer)

    def hang_up(self) -> None:
        """End what hangs."""
        self.hung_up.set()

    def close(self) -> None:
        """Say so."""
        self.closed.set()


def outlet(place: Place, batching: Batching = AT_ONCE, **other: Sequence[object]) -> Outlet:
    """Return an outlet that sends, with what *other* runs have missed."""
    made = Outlet("traces", "run-1", place, batching, backlog=(lambda: iter(other.items())) if other else no_backlog)
    made.start()
    return made


def ended(made: Outlet, seconds: float = 60) -> list[Outcome]:
    """Close *made* and return what it says."""
    made.close()
    return made.outcomes(time.monotonic() + seconds)


class TestOfTheRun:
    """What the run itself has."""

    def test_all_is_taken(self) -> None:
        """Given items, then they arrive in order, in batches of the size, and nothing is missed."""
        place = Place()
        made = outlet(place)
        made.offer(())
        for item in range(10):
            made.offer([item])
        assert [Outcome("traces", "run-1", 10)] == ended(made)
        assert list(range(10)) == place.taken
        assert max(place.batches) <= 4
        assert place.closed.is_set()

    def test_a_full_batch_does_not_wait(self) -> None:
        """Given a long delay, then a full batch goes out at once, and the rest at the end."""
        place = Place()
        made = outlet(place, LATER)
        made.offer(range(4))
        assert place.asked.acquire(timeout=60)
        made.offer([4])
        assert [Outcome("traces", "run-1", 5)] == ended(made)
        assert [4, 1] == place.batches

    def test_a_place_that_comes_back(self) -> None:
        """Given a place that first takes nothing, when it does at the end, then nothing is missed and no error is left."""
        place = Place("http_503")
        made = outlet(place)
        made.offer([1])
        assert place.asked.acquire(timeout=60)
        made.offer([2])
        assert [Outcome("traces", "run-1", 2)] == ended(made)

    @pytest.mark.parametrize("word", ["http_503", "connection_refused"])
    def test_a_place_that_does_not(self, word: str) -> None:
        """Given a place that takes nothing, then it is asked once more at the end and all counts as missed."""
        place = Place(*[word] * 9)
        made = outlet(place, LATER)
        made.offer([1, 2])
        assert [Outcome("traces", "run-1", 0, 2, word)] == ended(made)
        assert 8 == len(place.answers)

    def test_a_place_that_hangs(self) -> None:
        """Given a place that does not answer, when the time is over, then it is hung up on and all counts as missed."""
        place = Place("hang")
        made = outlet(place)
        made.offer([1])
        assert place.asked.acquire(timeout=60)
        made.offer([2])
        made.close()
        assert [Outcome("traces", "run-1", 0, 2, "timeout")] == made.outcomes(time.monotonic())
        assert place.hung_up.is_set()
        # Asked again, as where a run that was recorded is given up, it says the same.
        assert [Outcome("traces", "run-1", 0, 2, "timeout")] == made.outcomes(0)

    def test_what_is_rejected(self) -> None:
        """Given a place that rejects some of a batch for good, then they count as missed, the others as taken, and nobody tries again."""
        place = Place(2, "taken")
        made = outlet(place, LATER)
        made.offer(range(5))
        assert [Outcome("traces", "run-1", 3, 2, "rejected")] == ended(made)
        assert [4, 1] == place.batches

    def test_what_there_is_no_room_for(self) -> None:
        """Given more than may wait, then the rest is missed, and whoever offers it does not wait."""
        place = Place("slow")
        made = outlet(place, Batching(delay_ms=0, size=1, most=3))
        made.offer([1])
        assert place.asked.acquire(timeout=60)
        made.offer(range(2, 9))
        place.hung_up.set()
        (own,) = ended(made)
        assert (3, 5, "queue_full") == (own.taken, own.missed, own.error)

    def test_a_bug(self) -> None:
        """Given a bug in what encodes or sends, then it reaches nobody, and all counts as missed."""
        made = outlet(Place("bug"))
        made.offer([1])
        assert [Outcome("traces", "run-1", 0, 1, "bug_RuntimeError")] == ended(made)


class TestOfOthers:
    """What other runs have missed."""

    def test_it_is_sent_as_well(self) -> None:
        """Given runs that have missed something, then all of it is sent, in batches, run by run."""
        place = Place()
        made = outlet(place, LATER, old=range(6), older=[], oldest=["x"])
        made.offer(["own"])
        assert [Outcome("traces", "run-1", 1), Outcome("traces", "old", 6), Outcome("traces", "older"), Outcome("traces", "oldest", 1)] == ended(made)  # fmt: skip
        assert sorted(map(str, [*range(6), "x", "own"])) == sorted(map(str, place.taken))

    def test_it_stops_at_the_first_failure(self) -> None:
        """Given a place that takes nothing, then only the first of them is tried, and what the run has is tried all the same."""
        place = Place("taken", "http_503")
        made = outlet(place, LATER, old=range(6), older=[7])
        for _ in range(2):
            assert place.asked.acquire(timeout=60)
        made.offer(["own"])
        assert [Outcome("traces", "run-1", 1), Outcome("traces", "old", 4, 2, "http_503")] == ended(made)

    def test_what_is_rejected_of_it(self) -> None:
        """Given that some of it is rejected for good, then the next is sent all the same."""
        made = outlet(Place(1, 1), LATER, old=range(6), older=[7])
        assert [Outcome("traces", "run-1"), Outcome("traces", "old", 4, 2, "rejected"), Outcome("traces", "older", 1)] == ended(made)  # fmt: skip

    def test_it_does_not_go_on_after_the_end(self) -> None:
        """Given that it takes longer than the end may wait, then what was sent is known, and no more is sent."""
        place = Place("taken", "hang")
        made = outlet(place, LATER, old=[1], older=[2])
        for _ in range(2):
            assert place.asked.acquire(timeout=60)
        made.close()
        assert [Outcome("traces", "run-1"), Outcome("traces", "old", 1)] == made.outcomes(time.monotonic())

    def test_after_a_failure_of_the_run(self) -> None:
        """Given that the run's own could not be sent, then none of it is tried."""
        place = Place("http_503", "http_503")
        made = Outlet("traces", "run-1", place, AT_ONCE, backlog=self._never)
        made.offer(["own"])
        made.start()
        assert place.asked.acquire(timeout=60)
        assert [Outcome("traces", "run-1", 0, 1, "http_503")] == ended(made)

    def test_it_cannot_be_read(self) -> None:
        """Given that what others have missed cannot be read, then what the run has is sent all the same."""
        place = Place()
        made = Outlet("traces", "run-1", place, LATER, backlog=self._unreadable)
        made.start()
        made.offer(["own"])
        assert [Outcome("traces", "run-1", 1)] == ended(made)
        assert place.closed.is_set()

    def _unreadable(self) -> Iterator[tuple[str, Sequence[object]]]:
        yield "old", self._broken()

    def _broken(self) -> Sequence[object]:
        raise OSError

    def _never(self) -> Iterator[tuple[str, Sequence[object]]]:
        yield pytest.fail("nobody may ask for it")
