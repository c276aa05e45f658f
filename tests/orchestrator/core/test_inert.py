"""Tests of the notices about keys that have no effect yet."""

from __future__ import annotations

import attrs
import pytest

from orchestrator.core.definition import Dataset, Pipeline, Variable
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
                attrs.evolve(PLAIN, access_group="data"),
                "access.group does nothing yet: files stay readable by their owner alone",
                ("access", "group"),
            ),
            (
                attrs.evolve(PLAIN, variables={"V": Variable("V"), "K": Variable("K", secret=True, rekey=True)}),
                "rekey does nothing yet: a secret takes part in keys by its name alone",
                ("env", "vars", "K", "rekey"),
            ),
            (
                with_datasets(Dataset("y", retention_us=1), Dataset("z", retention_us=1)),
                "retention does nothing yet: nothing is removed",
                ("datasets", "y", "retention"),
            ),
            (
                with_datasets(Dataset("x"), Dataset("y", classification="personal")),
                "classification does nothing yet: a flow from a higher to a lower class is not refused",
                ("datasets", "y", "classification"),
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
            "pipeline = { name = 'p', fail_fast = true }\nschedule.cron = '0 3 * * *'\naccess.group = 'g'\n"
            "env.vars.K = { secret = true, rekey = true }\n"
            "datasets.d = { probe = ['x'], classification = 'public', retention = '1d', fresh_within = { warn = '1h' } }\n"
            "steps.a = { command = ['a'] }\n"
        )
        pipeline = parse_pipeline(text, file="f", schema=load_schema("pipeline")).pipeline

        notices = inert_notices(pipeline)

        assert 4 == len(notices)
        for notice in notices:
            value: object = pipeline.document
            for key in notice.path:
                assert isinstance(value, dict)
                value = value[key]
