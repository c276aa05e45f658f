"""Tests of `orchestrate schedule`: units that systemd accepts, and a line that does what it says under cron."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.programs import Done, Json, data_of, ledger_of, no_traceback, program, refused, value_of

TEXT = '[pipeline]\nname = "p"\n[schedule]\ncron = "30 2 * * *"\n[steps.a]\nshell = "test ! -e broken"\n'


def define(folder: Path, text: str = TEXT) -> Path:
    """Write a definition."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pipeline.toml").write_text(text, encoding="utf-8")
    return folder


def schedule(folder: Path, *options: str) -> Json:
    """Return the value of `schedule --json`."""
    value: Json = value_of(program("schedule", "--json", *options, cwd=folder), "schedule")
    return value


def run_by_cron(crontab: str, home: Path) -> Done:
    """Do what cron does with the one entry of *crontab*: take the backslashes away, give the command to sh with next to no environment."""
    (entry,) = [line for line in crontab.splitlines() if line[:1].isdigit() or line.startswith("*")]
    command = re.sub(r"\\([%\\])", r"\1", entry.split(None, 5)[5])
    assert not re.search(r"(?<!\\)(\\\\)*%", entry), "an unescaped % ends the command"
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "x"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestUnits:
    """What systemd gets."""

    def test_service(self, tmp_path: Path) -> None:
        """Given a definition, then the service stops the orchestrator first and long enough, and takes away what no step needs."""
        value = schedule(
            define(
                tmp_path,
                TEXT + 'grace = "45s"\n[steps.b]\nwhen = "always"\ntimeout = "1m"\ncommand = ["true"]\n'
                '[steps.c]\nneeds = ["b"]\nwhen = "on_failure"\ntimeout = "2m"\ncommand = ["true"]\n',
            )
        )
        lines = value["service"].splitlines()
        for line in (
            "Type=oneshot",
            "KillMode=mixed",
            "OOMPolicy=continue",
            "NoNewPrivileges=yes",
            "ProtectSystem=full",
        ):
            assert line in lines
        assert (
            "TimeoutStopSec=320" in lines
        )  # twice 45 s grace, three minutes and twice ten seconds of clean-up, half a minute to record it
        assert value["unit"] == "orchestrate-p"

    def test_timer(self, tmp_path: Path) -> None:
        """Given a zone, then the timer fires by it, and catches nothing up."""
        value = schedule(define(tmp_path, TEXT.replace('* * *"', '* * *"\ntimezone = "Europe/Berlin"')))
        assert "OnCalendar=*-*-* 02:30:00 Europe/Berlin" in value["timer"].splitlines()
        assert "Persistent=false" in value["timer"].splitlines()
        assert value["notes"][0].startswith("the clocks in Europe/Berlin leave out the time of the night 20")

    def test_temporary_folder_stays_visible(self, tmp_path: Path) -> None:
        """Given a pipeline below /tmp, then no private /tmp hides it; elsewhere the service has one of its own."""
        below = str(tmp_path).startswith(("/tmp/", "/var/tmp/"))
        assert f"PrivateTmp={'no' if below else 'yes'}" in schedule(define(tmp_path))["service"].splitlines()

    @pytest.mark.needs("systemd-analyze")
    @pytest.mark.parametrize("folder", ["plain", "with space", 'odd %i "x" \\ $HOME'])
    def test_systemd_accepts_them(self, folder: str, tmp_path: Path) -> None:
        """Given also a folder with blanks, specifiers and quotes, then systemd has nothing against the units."""
        place = define(tmp_path / folder)
        value = schedule(place, "--ledger", "elsewhere %n $X.db")
        units = tmp_path / "units"
        units.mkdir()
        names = [units / f"{value['unit']}.{ending}" for ending in ("service", "timer")]
        for path in names:
            path.write_text(value[path.suffix[1:]], encoding="utf-8")
        # SYSTEMD_UNIT_PATH with a colon at its end adds to the paths of the machine.
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *names],
            env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{units}:"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert [line for line in done.stderr.splitlines() if "orchestrate-p" in line] == []

    def test_texts_alone(self, tmp_path: Path) -> None:
        """Given an option, then that part alone is printed, ready for a file; without one, all of them with their places."""
        value = schedule(define(tmp_path))
        for option, part in (("--service", "service"), ("--timer", "timer"), ("--cron", "crontab")):
            assert program("schedule", option, cwd=tmp_path).stdout == value[part]
        text = program("schedule", cwd=tmp_path).stdout
        assert text.startswith("# /etc/systemd/system/orchestrate-p.service\n[Unit]\n")
        assert all(value[part].rstrip("\n") in text for part in ("service", "timer", "crontab"))

    def test_what_the_surroundings_lack_is_said(self, tmp_path: Path) -> None:
        """Given a variable that is passed on from this shell, then a note says that nobody sets it at night."""
        define(tmp_path, TEXT + '[env]\npass = ["PATH", "TOKEN_DIR"]\n')
        done = program("schedule", "--timer", cwd=tmp_path)
        assert done.stderr == "note: [env] pass names TOKEN_DIR: neither systemd nor cron sets it by itself\n"

    @pytest.mark.parametrize(("value", "carried"), [("/srv/keys 100%", True), ("relative", False)])
    def test_where_the_keys_lie(self, value: str, tmp_path: Path, *, carried: bool) -> None:
        """Given a configuration folder of one's own, then unit and crontab name it, quoted; a value that counts as not set is left out."""
        define(tmp_path)
        done = program("schedule", "--json", cwd=tmp_path, env={"XDG_CONFIG_HOME": value})
        texts = value_of(done, "schedule")
        assert ('Environment="XDG_CONFIG_HOME=/srv/keys 100%%"' in texts["service"].splitlines()) is carried
        assert (" XDG_CONFIG_HOME='/srv/keys 100\\%' " in texts["crontab"]) is carried
        assert ("XDG_CONFIG_HOME" in texts["service"] + texts["crontab"]) is carried

    def test_system_folder_may_be_written(self, tmp_path: Path) -> None:
        """Given a ledger below /etc, then the service may write there."""
        value = schedule(define(tmp_path), "--ledger", "/etc/orchestrate-of-a-test/ledger.db")
        assert 'ReadWritePaths="/etc/orchestrate-of-a-test"' in value["service"].splitlines()


class TestCron:
    """What cron gets."""

    @pytest.mark.parametrize("folder", ["plain", "a b", "100%", "it's \\%x\\\\y 'q'"])
    def test_the_line_runs_the_pipeline(self, folder: str, tmp_path: Path) -> None:
        """Given also a folder that cron and sh would misread, then the line runs it as cron does, silent on a good night and loud on a bad one."""
        place = define(tmp_path / folder)
        value = schedule(place, "--ledger", "kept 50%.db")
        done = run_by_cron(value["crontab"], tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert len(data_of(place / "kept 50%.db", "run.started")) == 1
        (place / "broken").touch()
        done = run_by_cron(value["crontab"], tmp_path)
        assert done.returncode == 1
        assert "failed" in done.stdout

    def test_definition_of_another_name(self, tmp_path: Path) -> None:
        """Given --pipeline, then the line names it."""
        define(tmp_path)
        (tmp_path / "pipeline.toml").rename(tmp_path / "other.toml")
        value = schedule(tmp_path, "--pipeline", "other.toml")
        assert run_by_cron(value["crontab"], tmp_path).returncode == 0
        assert len(data_of(ledger_of(tmp_path), "run.started")) == 1

    def test_zone_is_named(self, tmp_path: Path) -> None:
        """Given no zone, then the times are UTC, also where the machine has another zone."""
        assert "\nCRON_TZ=UTC\n30 2 * * *  cd " in schedule(define(tmp_path))["crontab"]


class TestRefused:
    """What cannot be scheduled."""

    def test_no_schedule(self, tmp_path: Path) -> None:
        """Given a definition without one, then exit 2 and what to add."""
        define(tmp_path, TEXT.replace('cron = "30 2 * * *"', ""))
        (problem,) = refused(program("schedule", "--json", cwd=tmp_path))
        assert problem["kind"] == "no_schedule"
        assert 'add [schedule] cron = "30 2 * * *" to pipeline.toml' in problem["message"]

    def test_wrong_schedule(self, tmp_path: Path) -> None:
        """Given an expression that is none, then every command that reads the definition says where and what."""
        define(tmp_path, TEXT.replace("30 2", "30 25"))
        done = program("run", cwd=tmp_path)
        assert done.returncode == 2
        assert (
            "pipeline.toml:4:1: schedule.cron '30 25 * * *' is no schedule: Bad hour (minute hour day " in done.stderr
        )

    def test_what_no_timer_says(self, tmp_path: Path) -> None:
        """Given the last day of the month in cronsim's own words, then exit 2."""
        define(tmp_path, TEXT.replace("30 2 *", "30 2 L"))
        assert refused(program("schedule", "--json", cwd=tmp_path))[0]["kind"] == "no_calendar"

    def test_name_on_two_lines(self, tmp_path: Path) -> None:
        """Given a folder whose name has a line break, then exit 2: no unit and no crontab can name it."""
        place = define(tmp_path / "two\nlines")
        assert refused(program("schedule", "--json", cwd=place))[0]["kind"] == "bad_path"

    def test_missing_extra(self, tmp_path: Path) -> None:
        """Given no cronsim, then exit 2 with the line that installs it."""
        define(tmp_path)
        (tmp_path / "cronsim.py").write_text("raise ModuleNotFoundError('cronsim')\n", encoding="utf-8")
        done = program("schedule", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "HOME": os.environ["HOME"]})
        assert done.returncode == 2
        assert 'needs the extra schedule: pip install "orchestrate[schedule]"' in done.stderr
        no_traceback(done)
