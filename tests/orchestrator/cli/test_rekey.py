"""Tests of secrets whose new value runs their steps again: by a keyed digest, whose key is the user's and not the ledger's."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli import keyring
from orchestrator.core.keyed import keyed_digest
from tests.programs import Done, data_of, ledger_of, program, refused, value_of

FIRST, SECOND = "correct-horse-4711", "battery-staple-0815"
DEFINITION = """
[pipeline]
name = "p"
[env.vars]
TOKEN = {{ secret = true, rekey = {rekey} }}
[datasets.raw]
path = "raw.csv"
[datasets.out]
path = "out.csv"
[steps.load]
shell = "{shell}"
reads = ["raw"]
writes = ["out"]
env = ["TOKEN"]
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a configuration folder of its own, and return where the key will lie."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "orchestrate" / "rekey-key"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project whose step takes a secret that counts."""
    folder = tmp_path / "p"
    folder.mkdir()
    write(folder)
    (folder / "raw.csv").write_text("1\n", encoding="utf-8")
    secret(folder, FIRST)
    return folder


def write(folder: Path, *, rekey: str = "true", does: str = "cat raw.csv > out.csv") -> None:
    """Write the definition."""
    (folder / "pipeline.toml").write_text(DEFINITION.format(rekey=rekey, shell=does), encoding="utf-8")


def secret(folder: Path, value: str) -> None:
    """Put *value* into `.env`."""
    (folder / ".env").write_text(f"TOKEN={value}\n", encoding="utf-8")
    (folder / ".env").chmod(0o600)


def ran(folder: Path) -> tuple[str, Done]:
    """Run, and return what became of the step."""
    done = program("run", "--json", cwd=folder)
    (step,) = value_of(done, "run", code=None)["steps"]
    return step["reason"] or step["status"], done


class TestNewValue:
    """The value counts, and is nowhere."""

    def test_runs_again(self, project: Path) -> None:
        """Given a secret, then the same value runs nothing, a new one runs the step and is the reason, and the former one does so again."""
        outcomes = []
        for value in (FIRST, FIRST, SECOND, SECOND, FIRST):
            secret(project, value)
            outcomes.append(ran(project)[0])

        assert ["succeeded", "no_new_data", "succeeded", "no_new_data", "succeeded"] == outcomes
        assert "it ran because: variable TOKEN changed" in program("explain", "latest", "load", cwd=project).stdout

    def test_value_is_nowhere(self, project: Path, config: Path) -> None:
        """Given runs, then neither the ledger's folder nor the key has the value; the key is private, and not beside the ledger."""
        ran(project)

        files = [path for path in project.rglob("*") if path.is_file() and path.name != ".env"]
        assert not any(FIRST.encode() in path.read_bytes() for path in (*files, config))
        assert not any(config.read_bytes().strip() in path.read_bytes() for path in files)
        assert 0o600 == config.stat().st_mode & 0o777
        (started,) = data_of(ledger_of(project), "run.started")
        assert {"origin", "keyed"} == started["variables"]["TOKEN"].keys()

    def test_without_it(self, project: Path, config: Path) -> None:
        """Given a secret without rekey, then a new value runs nothing; the key is made for the environment of the run alone."""
        write(project, rekey="false")
        ran(project)
        secret(project, SECOND)

        assert "no_new_data" == ran(project)[0]
        assert config.exists()
        assert "keyed" not in data_of(ledger_of(project), "run.started")[0]["variables"]["TOKEN"]

    def test_equal_values(self) -> None:
        """Given one value under two names, or under two keys, then the digests differ."""
        key = bytes(32)

        assert 3 == len({keyed_digest(key, "A", "x"), keyed_digest(key, "B", "x"), keyed_digest(b"1" * 32, "A", "x")})
        assert keyed_digest(key, "A", "\udcff") == keyed_digest(key, "A", "\udcff")


class TestPlan:
    """Looking changes nothing."""

    def test_before_the_first_run(self, project: Path, config: Path) -> None:
        """Given no key, then plan makes none."""
        assert 0 == program("plan", cwd=project).returncode
        assert not config.exists()

    def test_new_value(self, project: Path) -> None:
        """Given a new value, then plan says that it is the reason."""
        ran(project)
        assert "no new data" in program("plan", cwd=project).stdout
        secret(project, SECOND)

        assert "variable TOKEN changed" in program("plan", cwd=project).stdout


class TestLostKey:
    """The key is gone, damaged, or another one."""

    def test_loss_is_named(self, project: Path, config: Path) -> None:
        """Given a key that is gone, then a new one is made, the step runs again, and why is told; the next run is as before."""
        ran(project)
        config.unlink()
        assert "whether the secret TOKEN changed is not known" in program("plan", cwd=project).stdout
        assert not config.exists()

        outcome, done = ran(project)

        assert "succeeded" == outcome
        assert f"warning: the key in {config} is not the one under which the last successes are recorded" in done.stderr
        shown = program("explain", "latest", "load", cwd=project).stdout
        assert "whether the secret TOKEN changed is not known: the key of its digest is another one" in shown
        outcome, done = ran(project)
        assert ("no_new_data", "") == (outcome, done.stderr)

    def test_former_key_is_put_back(self, project: Path, config: Path) -> None:
        """Given a copy of the key that is put back, then nothing runs again."""
        ran(project)
        copy = config.read_bytes()
        config.unlink()
        config.write_bytes(copy)

        assert "no_new_data" == ran(project)[0]

    @pytest.mark.parametrize("content", [b"", b"x" * 64, b"0" * 63, b"0" * 64 + b"\n\n"])
    def test_damaged(self, project: Path, config: Path, content: bytes) -> None:
        """Given a file that is no key, then exit code 2, its place and what is expected, and it stays as it is."""
        config.parent.mkdir(parents=True)
        config.write_bytes(content)

        (problem,) = refused(program("run", "--json", cwd=project))

        assert (str(config) in problem["message"], "64 hexadecimal digits" in problem["message"]) == (True, True)
        assert content == config.read_bytes()
        assert data_of(ledger_of(project), "definition.changed") == []

    def test_unreadable(self, project: Path, config: Path) -> None:
        """Given a folder in its place, then exit code 2."""
        config.mkdir(parents=True)

        (problem,) = refused(program("run", "--json", cwd=project))

        assert str(config) in problem["message"]

    def test_file_system_without_nameless_files(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a file system that knows no nameless files, then the key is made all the same; and one that somebody else has just made counts."""
        monkeypatch.setattr(keyring, "write_new", lambda *_, **__: False)
        first = keyring.digest_key(make=True)

        config.parent.chmod(0o700)
        keyring._make_digest_key(config)

        assert first == keyring.digest_key(make=True)


class TestDoctor:
    """What of the key may bite."""

    def test_open_to_others(self, project: Path, config: Path) -> None:
        """Given a key that others may read, then a warning with what to type; else none."""
        ran(project)
        well = program("doctor", cwd=project).stdout
        config.chmod(0o640)

        assert str(config) not in well
        assert (
            f"others than its owner may use the key {config} (0640) (chmod 600 {config})"
            in program("doctor", cwd=project).stdout
        )


class TestResume:
    """A secret that is replaced between a run and its resume."""

    def test_is_told(self, project: Path) -> None:
        """Given another value at the resume, then a warning says that the old one is masked no more; given the same one, none."""
        write(project, does="exit 3")
        assert "exit" == ran(project)[0]
        same = program("resume", "latest", cwd=project)
        secret(project, SECOND)
        other = program("resume", "latest", cwd=project)

        assert "another value" not in same.stderr
        assert "the secret TOKEN has another value than the run was started with" in other.stderr
        assert FIRST not in other.stdout + other.stderr
