"""
The drill: backup, loss, restore, verify, next night. `make drill` plays it in a folder of its own and prints each step; a test plays it too.

What it does is the procedure of `docs/how-to/backup-and-restore.md`, with the program as a process of its own and a disk that is lost on purpose.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.programs import PROGRAM, Done

TIMEOUT_SECONDS = 60

DEFINITION = """\
[pipeline]
name = "shop"
[datasets.raw]
path = "raw"
[datasets.gold]
path = "gold"
[steps.totals]
shell = "mkdir -p gold; cat raw/* > gold/all.csv"
reads = ["raw"]
writes = ["gold"]
[steps.check]
command = ["test", "-s", "gold/all.csv"]
reads = ["gold"]
"""

Say = Callable[[str], object]


class DrillFailedError(Exception):
    """Raised when a step of the drill did not go as the procedure says."""


class Drill:
    """
    Play the drill in *folder*, which is empty.

    Attributes:
        shop: The project.
        away: Where backups are kept: another disk, in earnest.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self.shop, self.away = folder / "shop", folder / "away"
        self._say = say
        self._config = folder / "config"
        self._keys: list[str] = []

    @property
    def ledger(self) -> Path:
        """The ledger of the project."""
        return self.shop / ".orchestrate" / "ledger.db"

    def play(self) -> None:
        """Play every act in order; the first that goes wrong ends it."""
        for act in (self.prepare, self.back_up, self.lose, self.restore, self.verify, self.next_night):
            self._say(f"\n== {(act.__doc__ or '').strip()}")
            act()

    def prepare(self) -> None:
        """Two nights run, sealed with a key."""
        (self.shop / "raw").mkdir(parents=True)
        self.away.mkdir()
        (self.shop / "raw" / "1.csv").write_text("1\n", encoding="utf-8")
        (self.shop / "pipeline.toml").write_text(DEFINITION, encoding="utf-8")
        self._run("run", "--quiet", "--for", "2026-01-01")
        self._keys.append(self._run("audit", "keygen").stdout.strip())
        self._run("run", "--quiet", "--for", "2026-01-02")

    def back_up(self) -> None:
        """The ledger is backed up, and its last checkpoint kept somewhere else."""
        self._run("audit", "backup", str(self.away / "ledger.db"))
        self._run("audit", "checkpoint", "--last", "--out", str(self.away / "ledger.checkpoint"))

    def lose(self) -> None:
        """One more night runs; then the ledger is lost."""
        self._run("run", "--quiet", "--for", "2026-01-03")
        for path in self.ledger.parent.glob("ledger.db*"):
            path.unlink()
        _expect(not self.ledger.exists(), "the ledger is still there")

    def restore(self) -> None:
        """A new ledger continues the backup and names what was lost."""
        value = self._json(
            "audit",
            "restore",
            str(self.away / "ledger.db"),
            "--checkpoint",
            str(self.away / "ledger.checkpoint"),
            "--reason",
            "drill: the disk was lost",
        )
        _expect(value["lost"] is not None, "nothing is said to be lost, though a night was")
        lost = value["lost"]
        self._say(f"lost: events {lost['first']} to {lost['last']}, runs {', '.join(lost['runs'])}")
        _expect(len(lost["runs"]) == 1, "the run that was lost is not named")
        self._keys.append(self._run("audit", "keygen").stdout.strip())

    def verify(self) -> None:
        """The new ledger and the former one verify under both keys, the former one against the checkpoint that was kept."""
        pinned = [word for key in self._keys for word in ("--key", key)]
        self._run("audit", "verify", *pinned, "--checkpoint", str(self.away / "ledger.checkpoint"))

    def next_night(self) -> None:
        """The next night skips what is up to date, and the former runs are still found."""
        value = self._json("run", "--for", "2026-01-04")
        reasons = {step["step"]: step["reason"] for step in value["steps"]}
        _expect(
            set(reasons.values()) <= {"up_to_date", "no_new_data"} and value["status"] == "nothing_to_do",
            f"the next night did not skip what is up to date: {reasons}",
        )
        nights = [row["night"] for row in self._json("runs")]
        _expect(nights == ["2026-01-04", "2026-01-02", "2026-01-01"], f"the runs listed are those of {nights}")
        self._run("explain", "latest", "totals")
        self._run("show", self._json("runs")[-1]["run_id"])

    def _run(self, *arguments: str) -> Done:
        self._say(f"$ orchestrate {' '.join(arguments)}")
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.shop,
            env={
                "XDG_CONFIG_HOME": str(self._config),
                "HOME": str(self._config),
                "PATH": "/usr/bin:/bin",
                "NO_COLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if "--json" not in arguments:
            self._say((done.stdout + done.stderr).rstrip())
        _expect(done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def _json(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever was printed
        return json.loads(self._run(*arguments, "--json").stdout)


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise DrillFailedError(what)


def main() -> int:
    """Play the drill in a folder that is removed afterwards; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="orchestrate-drill-"))
    try:
        Drill(folder, lambda line: sys.stdout.write(f"{line}\n")).play()
    except (DrillFailedError, subprocess.TimeoutExpired) as error:
        sys.stdout.write(f"\nthe drill failed: {error}\n")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write("\nthe drill went as it should\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
