"""Tests of the notices about keys that have no effect yet."""

from __future__ import annotations

import attrs
import pytest

from orchestrator.core.definition import Dataset, Freshness, Pipeline, RetryPolicy
from orchestrator.core.inert import inert_notices
from orchestrator.core.parse import parse_pipeline
from orchestrator.schemas import load_schema
from tests.pipelines import chain

PLAIN = chain("a", "b")


def with_datasets(*datasets: Dataset) -> Pipeline:
    """Return a pipeline with these datasets."""
    return attrs.evolve(PLAIN, datasets={item.name: item for item in datasets})


class TestInertNotices:
    """Whoever writes a key that does nothing yet is told so."""

    @pytest.mark.parametrize(
        ("pipeline", "message", "path"),
        [
            (
                attrs.evolve(PLAIN, deadline_us=1),
                "deadline does nothing yet: a run is not ended when its time is up",
                ("pipeline", "deadline"),
            ),
            (
                attrs.evolve(PLAIN, schedule_cron="0 3 * * *"),
                "schedule.cron does nothing yet: nothing is started at these times",
                ("schedule", "cron"),
            ),
            (attrs.evolve(PLAIN, document={"alerts": {}}), "alerts does nothing yet: nobody is told", ("alerts",)),
            (
                attrs.evolve(PLAIN, pools={"db": 2}),
                "pools does nothing yet: shares are not counted, only max_parallel is",
                ("pools",),
            ),
            (
                with_datasets(Dataset("x"), Dataset("y", fresh_within=Freshness(warn_us=1))),
                "fresh_within does nothing yet: the age of files is not looked at",
                ("datasets", "y", "fresh_within"),
            ),
            (
                with_datasets(Dataset("y", digest="probe", probe=("x",))),
                "probe does nothing yet: the command is not run; the dataset counts as new in each run",
                ("datasets", "y", "probe"),
            ),
            (
                attrs.evolve(PLAIN, steps={"b": attrs.evolve(PLAIN.steps["b"], retry=RetryPolicy(attempts=2))}),
                "retry does nothing yet: a failed attempt is not tried again",
                ("steps", "b", "retry"),
            ),
        ],
    )
    def test_notice(self, pipeline: Pipeline, message: str, path: tuple[str, ...]) -> None:
        """Given one such key, then one notice that points at it and refuses nothing."""
        (notice,) = inert_notices(pipeline)

        assert ("inert", "warning", message, path) == (notice.kind, notice.severity, notice.message, notice.path)

    def test_none_for_what_works(self) -> None:
        """Given a pipeline without such keys, then there is no notice."""
        assert [] == inert_notices(PLAIN)

    def test_every_path_stands_in_the_file(self) -> None:
        """Given a file that uses all of them, then each notice points at something that the file has."""
        text = (
            "pipeline = { name = 'p', deadline = '1h' }\nschedule.cron = '0 3 * * *'\nalerts = {}\n"
            "pools.db = 1\n"
            "datasets.d = { probe = ['x'], fresh_within = { warn = '1h' } }\n"
            "steps.a = { command = ['a'], retry = { attempts = 2 } }\n"
        )
        pipeline = parse_pipeline(text, file="f", schema=load_schema("pipeline")).pipeline

        notices = inert_notices(pipeline)

        assert 7 == len(notices)
        for notice in notices:
            value: object = pipeline.document
            for key in notice.path:
                assert isinstance(value, dict)
                value = value[key]
