"""The history as dataframes: of a ledger, of a chain of them with things renamed on the way, beside a run, and of a copy alone."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from ledger.backup import write_backup
from ledger.errors import ForeignFileError, LedgerNotFoundError, StorageError
from ledger.store import open_ledger
from orchestrator.history import History, IncompleteHistoryWarning
from orchestrator.history.reading import opened
from orchestrator.projections.read_models import ReadModels
from orchestrator.projections.views import VIEWS
from tests.old_ledgers import FORMAT_1, old_shop
from tests.programs import ledger_of, program, value_of
from tests.quarter import Quarter

KINDS = ("runs", "steps", "attempts", "events", "datasets", "metrics")

DEFINITION = """\
[pipeline]
name = "shop"
[datasets.raw]
path = "raw"
[datasets.bronze]
path = "bronze"
[steps.load]
shell = '''mkdir -p bronze; cp raw/* bronze/
echo '{"metrics": {"rows": 3, "share": 0.5, "note": "x"}, "outputs": {"bronze": {"rows": 2}}}' > $ORCHESTRATE_RESULT'''
reads = ["raw"]
writes = ["bronze"]
[steps.report]
shell = "true"
reads = ["bronze"]
"""
RENAMED = (
    DEFINITION.replace('name = "shop"', 'name = "store"\nformerly = ["shop"]')
    .replace("[steps.load]", '[steps.ingest]\nformerly = ["load"]')
    .replace("[datasets.bronze]", '[datasets.copper]\nformerly = ["bronze"]')
    .replace('["bronze"]\n[steps.report]', '["copper"]\n[steps.report]')
    .replace('"outputs": {"bronze"', '"outputs": {"copper"')
    .replace('reads = ["bronze"]', 'reads = ["copper"]')
)


@pytest.fixture(scope="module", name="quarter")
def _quarter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quarter") / "ledger.db"
    with Quarter(path) as quarter:
        quarter.live_through()
    return path


@pytest.fixture(scope="module", name="chain")
def _chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a pipeline that was renamed with all that is in it, and whose ledger was restored after a loss."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "raw").mkdir()
    for number, text in enumerate((DEFINITION, RENAMED, RENAMED), start=1):
        (folder / "raw" / f"{number}.csv").write_text(f"{number}\n", encoding="utf-8")
        (folder / "pipeline.toml").write_text(text, encoding="utf-8")
        value_of(program("run", "--json", "--for", f"2026-01-0{number}", cwd=folder))
        if number == 2:
            value_of(program("audit", "backup", "kept/backup.db", "--json", cwd=folder))
            for file in (folder / ".orchestrate").glob("ledger.db*"):
                file.unlink()
            value_of(program("audit", "restore", "kept/backup.db", "--reason", "lost", "--json", cwd=folder))
    return folder


def without_guards(path: Path, statement: str) -> None:
    """Do to the ledger what its guards forbid, and put them back."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute(statement)
        for _, sql in guards:
            connection.execute(sql)
        connection.commit()


class TestFrames:
    """A ledger as dataframes."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_types_do_not_depend_on_rows(self, kind: str, quarter: Path, tmp_path: Path) -> None:
        """Given a ledger with rows and one without, then columns and their types are the same, times have a zone and nights are days."""
        empty = tmp_path / "ledger.db"
        open_ledger(empty, projections=[ReadModels()]).close()
        full, none = (getattr(History(path, verify=False), kind)() for path in (quarter, empty))

        assert none.dtypes.to_dict() == full.dtypes.to_dict()
        assert full["night"].dtype == "datetime64[us]"
        times = [name for name in full if name.endswith("_at")]
        assert times
        assert {str(full[name].dtype) for name in times} == {"datetime64[us, UTC]"}

    @pytest.mark.parametrize("name", VIEWS)
    def test_views_are_the_views(self, name: str, quarter: Path) -> None:
        """A dataframe of a view has its columns and rows, whoever asks."""
        frame = History(quarter, verify=False).view(name)
        with contextlib.closing(sqlite3.connect(quarter)) as connection:
            (rows,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone()  # noqa: S608 -- ours

        assert list(frame) == ["ledger", *VIEWS[name].columns]
        assert len(frame) == rows

    def test_what_is_in_it(self, chain: Path) -> None:
        """Given nights of a shop, then data has digests, files and bytes, and metrics are numbers one by one."""
        history = History(chain / ".orchestrate", verify=False, zone="Europe/Berlin")
        data, metrics = (frame[frame["night"].dt.day == 2] for frame in (history.datasets(), history.metrics()))

        assert sorted(zip(data["use"], data["dataset"], data["files"], data["bytes"], strict=True)) == [
            ("reads", "copper", 2, 4),
            ("reads", "raw", 2, 4),
            ("writes", "copper", 2, 4),
        ]
        assert data.loc[data["use"] == "writes", "rows"].tolist() == [2]
        assert set(data["digest"].str[:7]) == {"sha256:"}
        found = zip(metrics["dataset"].fillna("-"), metrics["metric"], metrics["value"], strict=True)
        assert sorted(found) == [("-", "rows", 3.0), ("-", "share", 0.5), ("copper", "rows", 2.0)]
        assert str(history.runs()["started_at"].dtype) == "datetime64[us, Europe/Berlin]"

    def test_events_by_type_and_column(self, quarter: Path) -> None:
        """Only what is asked for is read; the run and the night of an event are columns of it."""
        history = History(quarter, verify=False)
        some = history.events(types=["run.started", "note.added"], columns=["night", "type", "seq"])

        assert list(some) == ["ledger", "seq", "night", "type"]
        assert set(some["type"]) == {"run.started", "note.added"}
        assert some["night"].isna().tolist() == (some["type"] == "note.added").tolist()
        assert len(history.events()) == history.events().attrs["size"]

    def test_what_is_not_there(self, quarter: Path, tmp_path: Path) -> None:
        """A column, a view or a ledger that is not there is named, and so is a file that is none."""
        history = History(quarter, verify=False)
        with pytest.raises(ValueError, match="events have no column 'nigth': there are seq, "):
            history.events(columns=["nigth"])
        with pytest.raises(ValueError, match="there is no view 'audit_nothing'"):
            history.view("audit_nothing")
        with pytest.raises(LedgerNotFoundError):
            History(tmp_path / "ledger.db")
        (tmp_path / "text").write_text("nothing", encoding="utf-8")
        with pytest.raises(ForeignFileError):
            History(tmp_path / "text")


class TestCheckpoint:
    """Each dataframe says at which moment it was read, and what stands behind that."""

    def test_verified(self, tmp_path: Path) -> None:
        """Given a sound ledger, then each dataframe names origin, size and root, and that it verified."""
        with Quarter(tmp_path / "ledger.db") as quarter:
            quarter.at("2026-01-01").run("2026-01-01")
        history = History(tmp_path)
        assert history.verdict is not None
        for kind in KINDS:
            facts = getattr(history, kind)().attrs
            assert facts["root"] == history.verdict.root.hex()
            assert facts["origin"] == f"orchestrate-ledger/{history.verdict.ledger_id}"
            assert (facts["size"], facts["verified"], facts["level"]) == (history.verdict.events, True, 1)
            assert (facts["problems"], facts["former"], facts["tables"]) == ([], [], "held")
            assert json.loads(json.dumps(facts)) == facts

    def test_nobody_asked(self, quarter: Path) -> None:
        """Then that is what the dataframe says."""
        facts = History(quarter, verify=False).runs().attrs
        assert (facts["verified"], facts["level"]) == (None, None)

    def test_altered(self, quarter: Path, tmp_path: Path) -> None:
        """Given a table that somebody changed, then it is read all the same, and says that it does not verify."""
        shutil.copyfile(quarter, tmp_path / "ledger.db")
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            connection.execute("UPDATE runs SET status = 'succeeded' WHERE status = 'failed'")
            connection.commit()
        runs = History(tmp_path).runs()

        assert "failed" not in set(runs["status"])
        assert runs.attrs["verified"] is False
        assert runs.attrs["tables"] == "failed"
        assert runs.attrs["problems"]

    def test_replaced_after_verifying(self, tmp_path: Path) -> None:
        """Given another ledger in the place of the one that was verified, or other events in it, then nothing stands behind it."""
        path = tmp_path / "ledger.db"
        with Quarter(path) as quarter:
            quarter.at("2026-01-01").run("2026-01-01")
        history = History(path)
        assert history.runs().attrs["verified"] is True
        without_guards(path, "UPDATE events SET leaf_hash = zeroblob(32) WHERE seq = 3")
        history._roots.clear()  # Another process would know none.

        assert history.runs().attrs["verified"] is False
        assert "are not those that were verified" in history.runs().attrs["problems"][-1]

        for side in ("", "-wal", "-shm"):
            Path(f"{path}{side}").unlink(missing_ok=True)
        with Quarter(path) as quarter:
            quarter.at("2026-02-01").run("2026-02-01")
        assert history.runs().attrs["verified"] is None


class TestContinuity:
    """History does not end where something was renamed or lost."""

    def test_renamed_and_restored(self, chain: Path) -> None:
        """Given a pipeline, a step and a dataset that were renamed and a ledger that was restored, then each is one series."""
        history = History(chain / ".orchestrate")
        runs, steps, data = history.runs(), history.steps(), history.datasets()

        assert runs["pipeline"].tolist() == ["store"] * 3
        assert runs["recorded_pipeline"].tolist() == ["shop", "store", "store"]
        assert runs["ledger"].nunique() == 2
        assert steps.query("step == 'ingest'")["night"].dt.day.tolist() == [1, 2, 3]
        assert steps.query("step == 'ingest'")["recorded_step"].tolist() == ["load", "ingest", "ingest"]
        assert set(data["dataset"]) == {"raw", "copper"}
        assert set(history.metrics()["dataset"].dropna()) == {"copper"}
        assert history.view("audit_nights")["pipeline"].tolist() == ["store"] * 3
        assert set(history.view("audit_definition_changes")["pipeline"]) == {"store"}
        (former,) = runs.attrs["former"]
        assert (former["verified"], former["problem"]) == (True, None)
        assert former["origin"] != runs.attrs["origin"]
        assert len(history.events()) == former["size"] + runs.attrs["size"]

    def test_a_former_ledger_that_is_not_there(self, chain: Path, tmp_path: Path) -> None:
        """Given the present ledger alone, then what is missing is said, in a warning and in the dataframe."""
        shutil.copyfile(ledger_of(chain), tmp_path / "ledger.db")
        with pytest.warns(IncompleteHistoryWarning, match="a part of the history is not there: there is no ledger at"):
            runs = History(tmp_path, verify=False).runs()

        assert runs["night"].dt.day.tolist() == [3]
        assert "ledger." in runs.attrs["former"][0]["problem"]

    def test_a_ledger_of_an_older_program(self, tmp_path: Path) -> None:
        """Its tables are made for each reading; the file stays as it is."""
        shop = old_shop(tmp_path)
        before = FORMAT_1.read_bytes()
        history = History(shop / ".orchestrate")

        assert len(history.runs()) == len(history.events(types=["run.started"])) > 0
        assert len(history.steps()) > 0
        assert history.runs().attrs["verified"] is True
        assert (shop / ".orchestrate/ledger.db").read_bytes() == before


class TestLive:
    """A run is not disturbed, and a copy is enough."""

    def test_beside_a_writer(self, tmp_path: Path) -> None:
        """Given a writer with an open ledger, then reading sees what is committed, holds nothing afterwards, and the log can be folded."""
        path = tmp_path / "ledger.db"
        with Quarter(path) as quarter:
            quarter.at("2026-01-01").run("2026-01-01")
            history = History(path)
            frames = [getattr(history, kind)() for kind in KINDS]
            quarter.at("2026-01-02").run("2026-01-02")

            assert len(history.runs()) == 2
            assert history.runs().attrs["size"] > history.runs().attrs["verified_size"] == frames[0].attrs["size"]
            assert history.runs().attrs["verified"] is True
            busy, log, folded = quarter.ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert (busy, log, folded) == (0, 0, 0)

    def test_one_moment(self, tmp_path: Path) -> None:
        """Given a run that is recorded while a ledger is open for reading, then that reading does not see it."""
        path = tmp_path / "ledger.db"
        with Quarter(path) as quarter, opened(path, {}) as found:
            quarter.at("2026-01-02").run("2026-01-02")
            assert found.connection.execute("SELECT count(*) FROM audit_runs").fetchone() == (0,)
            assert found.root_at(found.moment.size + 1) is None

    def test_a_backup_alone(self, quarter: Path, tmp_path: Path) -> None:
        """Given nothing but the file of a backup, in a folder that nobody may write to, then it is all there, with the same root."""
        copy = tmp_path / "laptop" / "copy.db"
        write_backup(quarter, copy)
        copy.chmod(0o400)
        copy.parent.chmod(0o500)
        try:
            here, there = History(copy), History(quarter)
            for kind in KINDS:
                pd.testing.assert_frame_equal(getattr(here, kind)(), getattr(there, kind)())
            assert here.runs().attrs["root"] == there.runs().attrs["root"]
            assert [item.name for item in copy.parent.iterdir()] == ["copy.db"]
        finally:
            copy.parent.chmod(0o700)

    def test_a_damaged_file(self, quarter: Path, tmp_path: Path) -> None:
        """Given a page that is no page, then what cannot be read is said as the ledger says it."""
        path = tmp_path / "ledger.db"
        shutil.copyfile(quarter, path)
        history = History(path, verify=False)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'attempts'").fetchone()
            (size,) = connection.execute("PRAGMA page_size").fetchone()
        with path.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)
        with pytest.raises(StorageError, match="malformed"):
            history.attempts()


def test_definition_that_is_no_definition(tmp_path: Path) -> None:
    """Given runs whose definition is no JSON object, then nothing is known of former names, and the runs are there."""
    path = tmp_path / "ledger.db"
    with Quarter(path) as quarter:
        quarter.at("2026-01-01").run("2026-01-01")
    without_guards(path, "UPDATE blobs SET bytes = CAST('[' AS BLOB) WHERE digest = (SELECT definition FROM runs)")
    assert History(path, verify=False).runs()["pipeline"].tolist() == ["shop"]
