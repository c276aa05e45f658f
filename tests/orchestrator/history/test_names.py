"""Present names of what was renamed."""

from __future__ import annotations

from typing import Any

from orchestrator.history.names import Generation, present_names


def shop(pipeline: str = "shop", *, formerly: tuple[str, ...] = (), **steps: tuple[str, ...]) -> Generation:
    """Return a time of a pipeline with the *steps*, each with its former names."""
    entries: dict[str, Any] = {name: {"formerly": list(former)} if former else {} for name, former in steps.items()}
    return Generation(pipeline, {"pipeline": {"name": pipeline, "formerly": list(formerly)}, "steps": entries})


def steps_of(*generations: Generation) -> list[dict[str, str]]:
    """Return the present names of steps, time by time."""
    return [dict(names.steps) for names in present_names(generations)]


class TestPresentNames:
    """From the newest definition back to the oldest."""

    def test_nothing_renamed(self) -> None:
        """Then nothing has another name."""
        assert steps_of(shop(load=()), shop(load=(), report=())) == [{}, {}]

    def test_renamed_twice(self) -> None:
        """Then the first name leads to the last, though no definition names both."""
        assert steps_of(shop(a=()), shop(b=("a",)), shop(c=("b",)))[0]["a"] == "c"

    def test_the_word_may_be_dropped_later(self) -> None:
        """`formerly` is needed once; a definition that says it no more changes nothing about the past."""
        assert steps_of(shop(a=()), shop(b=("a",)), shop(b=())) == [{"a": "b"}, {}, {}]

    def test_a_name_given_to_something_else(self) -> None:
        """A step that later takes a name which another one gave up is not that one."""
        assert steps_of(shop(a=()), shop(b=("a",)), shop(a=(), b=())) == [{"a": "b"}, {}, {}]

    def test_back_and_forth(self) -> None:
        """A renaming that was taken back ends with the old name."""
        first, _, last = steps_of(shop(a=()), shop(b=("a",)), shop(a=("b",)))
        assert first["a"] == last.get("a", "a") == "a"

    def test_pipeline(self) -> None:
        """A pipeline keeps its history, and so do its steps; another pipeline has nothing to do with it."""
        names = present_names(
            [shop("old", a=()), shop("other", a=()), shop("new", formerly=("old",), b=("a",)), shop("other", a=())]
        )
        assert [item.pipeline for item in names] == ["new", "other", "new", "other"]
        assert [dict(item.steps) for item in names] == [{"a": "b"}, {}, {}, {}]

    def test_a_definition_that_is_not_kept(self) -> None:
        """Then nothing is known of its time, and the rest stands."""
        assert present_names([Generation("shop", {}), shop(b=("a",))])[0].steps == {"a": "b"}

    def test_nonsense_in_a_definition(self) -> None:
        """A former name that is none is passed over."""
        odd = Generation("shop", {"pipeline": {"formerly": "x"}, "steps": {"b": {"formerly": [1]}, "c": 3}})
        assert present_names([odd])[0].steps == {}
