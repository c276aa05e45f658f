"""Tests of who started a run, on which machine, from which commit."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.runtime import provenance
from orchestrator.runtime.provenance import current_actor, git_state, trigger

Git = Callable[..., str]


@pytest.fixture(name="git")
def _git(tmp_path: Path) -> Git:
    """Return git in *tmp_path*, without anybody's settings."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def run(*arguments: str) -> str:
        name = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *name, *arguments], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture(name="repository")
def _repository(tmp_path: Path, git: Git) -> Path:
    """Return a repository with one commit."""
    git("init", "-q")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pipeline.toml").write_text("1")
    (tmp_path / "other").write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    return tmp_path


class TestGitState:
    """The commit that a definition was run from."""

    def test_clean(self, repository: Path, git: Git) -> None:
        """In the top folder and below it."""
        expected = {"commit": git("rev-parse", "HEAD"), "dirty": False}

        assert expected == git_state(repository) == git_state(repository / "sub")

    @pytest.mark.parametrize(
        ("changed", "dirty"), [("sub/pipeline.toml", True), ("other", False), ("sub/untracked", False)]
    )
    def test_dirty(self, repository: Path, changed: str, *, dirty: bool) -> None:
        """Given changes of tracked files in the folder, then it is dirty; what lies elsewhere or is new does not count."""
        (repository / changed).write_text("2")

        state = git_state(repository / "sub")
        assert state is not None
        assert dirty is state["dirty"]

    def test_none(self, tmp_path: Path) -> None:
        """Outside of a repository git is not started."""
        assert git_state(tmp_path) is None

    def test_no_commit_yet(self, tmp_path: Path, git: Git) -> None:
        """A new repository has nothing to name."""
        git("init", "-q")

        assert git_state(tmp_path) is None

    @pytest.mark.parametrize("content", ["", "gitdir: /nowhere", None])
    def test_broken_repository(self, tmp_path: Path, content: str | None) -> None:
        """What only looks like one has no commit."""
        if content is None:
            (tmp_path / ".git").mkdir()
        else:
            (tmp_path / ".git").write_text(content)

        assert git_state(tmp_path) is None

    def test_no_git(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine without git still runs pipelines."""
        monkeypatch.setenv("PATH", "/nowhere")

        assert git_state(repository) is None

    def test_git_that_hangs(self, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """It is given up, and the run goes on."""
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "git").write_text("#!/bin/sh\nexec sleep 300\n")
        (tmp_path / "bin" / "git").chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setattr(provenance, "_GIT_TIMEOUT_SECONDS", 0.05)

        assert git_state(repository) is None


class TestActor:
    """Who acts, as the host claims."""

    @pytest.fixture(autouse=True)
    def _process(self, tmp_path: Path) -> None:
        self.process = tmp_path

    def claims(self, *, loginuid: str = "4294967295", cgroup: str = "0::/\n") -> None:
        """Let the kernel say of the process who logged in and where it belongs."""
        (self.process / "loginuid").write_text(loginuid)
        (self.process / "cgroup").write_text(cgroup)

    def test_optional_facts_are_there_where_they_are_known(self) -> None:
        """Empty ones are left out; where the kernel tells nothing, the environment does."""
        environ = {"LOGNAME": "alice", "SUDO_USER": "", "INVOCATION_ID": "abc", "AWS_SECRET": "x"}
        actor = current_actor(environ, self.process)

        assert ("alice", "abc", "host") == (actor["login"], actor["unit"], actor["claimed_by"])
        assert {"user", "host", "claimed_by", "login", "unit"} == actor.keys() - {"terminal"}

    def test_login_is_who_logged_in_whatever_the_environment_says(self) -> None:
        """Given a login user that the kernel remembers, then it goes before LOGNAME; one who is unset does not."""
        own = current_actor({}, self.process)["user"]
        environ = {"LOGNAME": "somebody", "SUDO_USER": "alice"}

        self.claims(loginuid=f"{os.geteuid()}\n")
        actor = current_actor(environ, self.process)
        assert (own, "alice") == (actor["login"], actor["sudo"])

        self.claims()
        assert "somebody" == current_actor(environ, self.process)["login"]
        assert "login" not in current_actor({}, self.process)

    @pytest.mark.parametrize(
        ("cgroup", "unit"),
        [
            ("0::/system.slice/cron.service\n", "cron.service"),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
            ("0::/user.slice/user@1000.service/app.slice/etl.service/sub\n", "etl.service"),
            ("9:cpu:/x.service\n1:name=systemd:/system.slice/etl.service\n0::/\n", "etl.service"),
            ("9:cpu:/x.service\n0::/\n", "abc"),
            ("", "abc"),
        ],
    )
    def test_unit_is_the_innermost_service_or_session(self, cgroup: str, unit: str) -> None:
        """Given the control group of the process, then its unit; outside of any, systemd's invocation."""
        self.claims(cgroup=cgroup)

        assert unit == current_actor({"INVOCATION_ID": "abc"}, self.process)["unit"]

    def test_user_without_a_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a container the number has to do."""
        monkeypatch.setattr(os, "geteuid", lambda: 123_456_789)

        assert "123456789" == current_actor({})["user"]


class TestTrigger:
    """What kind of start it is."""

    @pytest.fixture(autouse=True)
    def _no_terminal(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with open(os.devnull) as nothing:  # noqa: PTH123 - a stream as the interpreter opens it
            monkeypatch.setattr(sys, "stdin", nothing)
            monkeypatch.setattr(sys, "stderr", None)
            yield

    def test_unattended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither unit nor terminal: cron, most often."""
        assert "unattended" == trigger()

        closed = open(os.devnull)  # noqa: PTH123, SIM115
        closed.close()
        monkeypatch.setattr(sys, "stdin", closed)
        assert "unattended" == trigger()

    def test_systemd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A unit has an invocation."""
        monkeypatch.setenv("INVOCATION_ID", "abc")

        assert "systemd" == trigger()

    def test_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A person sits there, also in a session that is a unit; the terminal is named."""
        master, slave = pty.openpty()
        with os.fdopen(slave, "r") as terminal, os.fdopen(master, "wb"):
            monkeypatch.setattr(sys, "stdin", terminal)

            assert "terminal" == trigger()
            monkeypatch.setenv("INVOCATION_ID", "abc")
            assert "terminal" == trigger()
            assert os.ttyname(slave) == current_actor({})["terminal"]
