"""Tests of `--as-of`: what commands say of an earlier moment is what they said then."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.event_corpus import OLD_LEDGERS
from tests.nights import BROKEN, SHOP, write_shop
from tests.programs import Json, data_of, events_of, ledger_of, program, refused, value_of


class Seen(NamedTuple):
    """What was printed when *seq* was the last event."""

    seq: int
    status: Json
    runs: Json
    show: Json
    changes: Json


class Story(NamedTuple):
    """A pipeline, and what was seen of it after each command."""

    shop: Path
    seen: list[Seen]


def ask(shop: Path, *arguments: str) -> Any:  # noqa: ANN401 - whatever was printed
    """Return what a reading command prints as JSON."""
    return value_of(program(*arguments, "--json", cwd=shop), arguments[0])


def last_seq(shop: Path) -> int:
    """Return the number of the last event."""
    return int(events_of(ledger_of(shop))[-1]["seq"])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Live through good, failed, repaired and refused nights, and look after each."""
    shop = write_shop(tmp_path_factory.mktemp("story") / "shop")
    seen = []

    def look() -> None:
        answers = [ask(shop, "status"), ask(shop, "runs"), ask(shop, "show", "latest"), ask(shop, "changes")]
        seen.append(Seen(last_seq(shop), *answers))

    night = ("--for", "2026-01-02")
    program("run", "-q", "--for", "2026-01-01", cwd=shop)
    look()
    (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
    (shop / "raw" / "2.csv").write_text("2\n", encoding="utf-8")
    program("run", "-q", *night, cwd=shop)
    look()
    program("note", "latest", "late", cwd=shop)
    program("ack", "latest", cwd=shop)
    look()
    program("run", "-q", "--env-file", "nowhere.env", cwd=shop)
    look()
    (shop / "pipeline.toml").write_text(SHOP, encoding="utf-8")
    program("run", "-q", *night, cwd=shop)
    look()
    return Story(shop, seen)


class TestAsOf:
    """As it stood then."""

    def test_is_what_was_seen(self, story: Story) -> None:
        """Given what commands printed during a history, then they print the same as of each of these moments."""
        for then in story.seen:
            moment = ("--as-of", f"seq:{then.seq}")
            assert ask(story.shop, "status", *moment) == then.status
            assert ask(story.shop, "runs", *moment) == then.runs
            assert ask(story.shop, "changes", *moment) == then.changes
            shown = ask(story.shop, "show", "latest", *moment)
            as_of = shown.pop("as_of")
            assert shown == then.show
            assert (as_of["seq"], as_of["events"]) == (then.seq, then.seq + 1)
            assert as_of["checkpoint"]["size"] <= then.seq + 1

    def test_says_what_it_stands_at(self, story: Story) -> None:
        """Given a moment, then stderr tells event, time, size, root and checkpoint; commands to type are not told of the past."""
        failed = story.seen[1]
        done = program("status", "--as-of", f"seq:{failed.seq}", cwd=story.shop)

        (line,) = [line for line in done.stderr.splitlines() if "as of event" in line]
        checkpoint = ask(story.shop, "show", "latest", "--as-of", f"seq:{failed.seq}")["as_of"]["checkpoint"]
        assert line.startswith(f"as of event {failed.seq}, ")
        assert line.endswith(f"the newest checkpoint over {checkpoint['size']} of them")
        assert "the last run failed" in done.stdout
        assert "next:" not in done.stdout
        shown = program("show", "latest", "--as-of", f"seq:{failed.seq}", cwd=story.shop).stdout
        assert "repaired by" not in shown
        assert "next:" not in shown
        assert (
            "next:" not in program("explain", "latest", "totals", "--as-of", f"seq:{failed.seq}", cwd=story.shop).stdout
        )

    def test_amid_a_run(self, story: Story) -> None:
        """Given an event in the middle of a run, then the run is running, its steps stand where they stood, and nothing seals it."""
        events = events_of(ledger_of(story.shop))
        amid = next(event["seq"] for event in events if event["type"] == "attempt.finished")
        shown = ask(story.shop, "show", "latest", "--as-of", f"seq:{amid}")

        assert shown["status"] == "running"
        assert [step["status"] for step in shown["steps"]] == ["running", "pending", "pending"]
        assert shown["as_of"]["checkpoint"] is None
        said = program("show", "latest", "--as-of", f"seq:{amid}", cwd=story.shop)
        assert "running: shop" in said.stdout
        assert said.stderr.rstrip().endswith("no checkpoint")
        assert ask(story.shop, "status", "--as-of", f"seq:{amid}")[0]["alive"] is True

    def test_by_time(self, story: Story) -> None:
        """Given the time at which a run ended, then that is what it stands at; a zone may be named, and none means UTC."""
        ended = story.seen[0].show["finished_at"]
        local = ended.replace("Z", "+00:00")
        for text in (ended, local, ended.removesuffix("Z")):
            shown = ask(story.shop, "show", "latest", "--as-of", f"time:{text}")
            assert (shown["run_id"], shown["status"]) == (story.seen[0].show["run_id"], "succeeded")
            assert shown["as_of"]["recorded_at"] == ended
            # It was sealed a moment later.
            assert shown["as_of"]["checkpoint"] is None

    def test_before_the_first_run(self, story: Story) -> None:
        """Given the moment at which the ledger was made, then nothing is listed, and no run is found."""
        assert ask(story.shop, "runs", "--as-of", "seq:0") == []
        assert ask(story.shop, "status", "--as-of", "seq:0") == []
        (problem,) = refused(program("show", "latest", "--as-of", "seq:0", "--json", cwd=story.shop))
        assert problem["kind"] == "no_runs"
        assert "at that moment, event 0, the ledger held no run; " in problem["message"]

    def test_before_a_run(self, story: Story) -> None:
        """Given a moment before a run that is named by its id, then that is said, and not that there is none."""
        run_id = story.seen[-1].show["run_id"]
        (problem,) = refused(program("show", run_id, "--as-of", "seq:0", "--json", cwd=story.shop))
        assert problem["kind"] == "unknown_run"
        assert f"at that moment, event 0, the ledger held no run {run_id}; " in problem["message"]

    @pytest.mark.parametrize(
        ("moment", "says"),
        [
            ("yesterday", "takes seq:N, the number of an event, or time:T"),
            ("seq:-1", "takes seq:N"),
            ("seq:" + "9" * 40, "takes seq:N"),
            ("seq:٣", "takes seq:N"),
            ("seq:100000", "the last is seq:"),
            ("time:soon", "takes a time such as time:2026-01-31T06:00Z"),
            ("time:0001-01-01T00:00+10:00", "takes a time such as"),
            ("time:9000-01-01", "has not come yet"),
            ("time:2000-01-01", "has no event as early as that: it begins at 20"),
        ],
    )
    def test_no_moment(self, story: Story, moment: str, says: str) -> None:
        """Given what is no moment of this ledger, then it is refused, and says what would be one."""
        (problem,) = refused(program("runs", "--as-of", moment, "--json", cwd=story.shop))
        assert problem["kind"] == "bad_moment"
        assert says in problem["message"]

    def test_the_age_of_files_is_not_of_then(self, tmp_path: Path) -> None:
        """Given a source that is to be fresh, then its age at an earlier moment is not told by the files of now."""
        limited = SHOP.replace("min_files = 1", 'min_files = 1\nfresh_within = { warn = "26h" }')
        shop = write_shop(tmp_path / "shop", limited)
        program("run", "-q", cwd=shop)

        def basis(*moment: str) -> list[str]:
            return [entry["basis"] for entry in ask(shop, "status", *moment)[0]["freshness"]]

        assert basis() == ["files"]
        assert basis("--as-of", f"seq:{last_seq(shop)}") == ["none"]

    def test_a_ledger_that_goes_on_from_another(self, story: Story, tmp_path: Path) -> None:
        """Given a restored ledger, then at its first moment everything of the former one is there."""
        backup, restored = tmp_path / "backup.db", tmp_path / "new" / "ledger.db"
        program("audit", "backup", str(backup), cwd=story.shop)
        where = ("--ledger", str(restored))
        assert program("audit", "restore", str(backup), *where, "--reason", "lost", cwd=tmp_path).returncode == 0
        shown = ask(tmp_path, "show", "latest", "--as-of", "seq:0", *where)
        assert (shown["run_id"], shown["as_of"]["events"]) == (story.seen[-1].show["run_id"], 1)
        early = f"time:{story.seen[-1].show['finished_at']}"
        (problem,) = refused(program("show", "latest", "--as-of", early, *where, "--json", cwd=tmp_path))
        former = problem["message"].removesuffix(": look there with --ledger").partition(", and goes on from ")[2]
        assert ask(tmp_path, "show", "latest", "--ledger", former, "--as-of", early)["run_id"] == shown["run_id"]

    def test_without_a_ledger(self, tmp_path: Path) -> None:
        """Given no ledger yet, then nothing is listed."""
        assert ask(tmp_path, "runs", "--as-of", "seq:0") == []

    def test_of_an_older_program(self, tmp_path: Path) -> None:
        """Given a ledger in an older format, then its moments are shown as well, and it stays as it is."""
        for number, old in enumerate(OLD_LEDGERS):
            folder = tmp_path / str(number)
            folder.mkdir()
            copy = folder / "ledger.db"
            shutil.copyfile(old, copy)
            run_id = data_of(copy, "run.started")[0]["run_id"]
            with sqlite3.connect(copy) as connection:
                (seq,) = connection.execute("SELECT min(seq) FROM events WHERE type = 'run.finished'").fetchone()
            connection.close()
            before = copy.read_bytes()
            shown = ask(folder, "show", run_id, "--ledger", str(copy), "--as-of", f"seq:{seq}")
            assert shown["finished_at"] is not None
            assert [run["run_id"] for run in ask(folder, "runs", "--ledger", str(copy), "--as-of", f"seq:{seq}")] == [
                run_id
            ]
            assert copy.read_bytes() == before
