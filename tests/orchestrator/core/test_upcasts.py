"""Tests of how older versions of events are read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import UnknownEventError
from orchestrator.core.events import EVENT_TYPES, Event, PipelineMoved, event_from_data
from orchestrator.core.upcasts import UPCASTS, Data, Upcasts, upcast

TYPES: Mapping[str, tuple[type[Event], int]] = {"pipeline.moved": (PipelineMoved, 3)}


def _paths_are_named(data: Data) -> Data:
    """Give what was `paths: [old, new]` in version 1 the names of version 2."""
    paths = data["paths"]
    assert isinstance(paths, list)
    return {**{key: value for key, value in data.items() if key != "paths"}, "from": paths[0], "to": paths[1]}


def _before_and_after(data: Data) -> Data:
    """Rename what was `from` and `to` in version 2."""
    names = {"from": "before", "to": "after"}
    return {names.get(key, key): value for key, value in data.items()}


TABLE: Upcasts = {("pipeline.moved", 1): _paths_are_named, ("pipeline.moved", 2): _before_and_after}
REST = {"pipeline": "p", "actor": {"user": "anna"}}
EXPECTED = PipelineMoved("p", "a.toml", "b.toml", {"user": "anna"})


class TestChain:
    """One version after the other, up to the present one."""

    @pytest.mark.parametrize(
        ("version", "data"),
        [
            (1, {"paths": ["a.toml", "b.toml"]}),
            (2, {"from": "a.toml", "to": "b.toml"}),
            (3, {"before": "a.toml", "after": "b.toml"}),
        ],
    )
    def test_every_version_comes_up_to_the_present_class(self, version: int, data: dict[str, object]) -> None:
        """Given the same fact as each version wrote it, then they are one event; what is stored is left as it was."""
        stored = {**data, **REST}
        before = repr(stored)

        assert EXPECTED == event_from_data("pipeline.moved", version, stored, types=TYPES, upcasts=TABLE)
        assert before == repr(stored)

    @given(version=st.integers(1, 6), present=st.integers(1, 6))
    def test_each_step_is_taken_once_and_in_order(self, version: int, present: int) -> None:
        """For any two versions: the steps between them, each once; or none leads from the newer to the older."""

        def taking(number: int) -> tuple[tuple[str, int], object]:
            return ("a.done", number), lambda data: {"steps": [*data["steps"], number]}

        table: Upcasts = dict(taking(number) for number in range(1, 6))  # type: ignore[misc]
        if version > present:
            with pytest.raises(UnknownEventError):
                upcast("a.done", version, {"steps": []}, present=present, upcasts=table)
        else:
            found = upcast("a.done", version, {"steps": []}, present=present, upcasts=table)
            assert {"steps": list(range(version, present))} == found


class TestStopping:
    """What this program cannot understand stops whoever reads it."""

    @pytest.mark.parametrize(
        ("name", "version", "table"),
        [
            ("pipeline.moved", 4, TABLE),
            ("pipeline.moved", 0, TABLE),
            ("pipeline.moved", 1, {key: value for key, value in TABLE.items() if key[1] != 2}),
            ("pipeline.moved", 1, {}),
            ("pipeline.flown", 1, TABLE),
        ],
        ids=["newer", "older than all", "gap", "no way up", "unknown type"],
    )
    def test_refused(self, name: str, version: int, table: Upcasts) -> None:
        """Given a newer version, a gap or an unknown type, then type and version are named."""
        with pytest.raises(UnknownEventError) as caught:
            event_from_data(name, version, {"paths": ["a", "b"], **REST}, types=TYPES, upcasts=table)

        assert (name, version) == (caught.value.name, caught.value.version)

    def test_an_upcast_that_yields_other_fields(self) -> None:
        """Given an upcast that leaves a field out, then the event is refused, not guessed."""
        with pytest.raises(UnknownEventError):
            event_from_data("pipeline.moved", 2, dict(REST), types=TYPES, upcasts=TABLE)


class TestTable:
    """The table of this program."""

    def test_every_older_version_has_a_way_up(self) -> None:
        """Each version below the present one has its step, and there is none for anything else."""
        needed = {(name, older) for name, (_, present) in EVENT_TYPES.items() for older in range(1, present)}

        assert needed == UPCASTS.keys()
