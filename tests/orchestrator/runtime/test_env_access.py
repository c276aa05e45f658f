"""Tests of who else may read or write a file of variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.runtime.env_access import access_problems

ME = 4711


def told(path: Path, *, secret: bool = True, user: int = os.geteuid()) -> list[tuple[str, str]]:
    """Return severity and kind of each problem with the file at *path*."""
    return [(item.severity, item.kind) for item in access_problems(path, shown=".env", secret=secret, user=user)]


@pytest.fixture
def env(tmp_path: Path) -> Path:
    """Give a file."""
    path = tmp_path / ".env"
    path.write_text("TOKEN=x\n", encoding="utf-8")
    return path


class TestModes:
    """What the mode allows to others."""

    @pytest.mark.parametrize(
        ("mode", "secret", "expected"),
        [
            (0o600, True, []),
            (0o400, True, []),
            (0o644, False, []),
            (0o640, True, [("warning", "env_readable")]),
            (0o604, True, [("warning", "env_readable")]),
            (0o620, True, [("warning", "env_writable")]),
            (0o664, False, [("warning", "env_writable")]),
            (0o602, False, [("error", "env_writable")]),
            (0o666, True, [("error", "env_writable"), ("warning", "env_readable")]),
        ],
    )
    def test_mode(self, env: Path, mode: int, expected: list[tuple[str, str]], *, secret: bool) -> None:
        """Given a mode, then reading counts where there is a secret in the file, and writing always; all the world may not write."""
        env.chmod(mode)

        assert expected == told(env, secret=secret)

    def test_what_is_said(self, env: Path) -> None:
        """Given a file that everybody may read, then its mode and what to type."""
        env.chmod(0o644)

        (problem,) = access_problems(env, shown="my env", secret=True)

        message = "my env: others than its owner may read the environment file (0644), which holds a secret"
        assert f"{message} (chmod go-rwx 'my env')" == str(problem)


class TestOwners:
    """Whose it is."""

    @pytest.mark.parametrize(("owner", "warned"), [(ME, False), (0, False), (4712, True)])
    def test_owner(self, env: Path, owner: int, *, warned: bool) -> None:
        """Given a file of mine, of root or of somebody else, then only the last is warned of."""
        env.chmod(0o600)
        if os.geteuid():
            pytest.skip("only root can give a file away")
        os.chown(env, owner, -1)

        assert warned == (("warning", "env_owner") in told(env, user=ME))

    def test_user_with_a_name(self, env: Path) -> None:
        """Given a user whom the machine knows, then by name."""
        if os.geteuid():
            pytest.skip("only root can give a file away")
        os.chown(env, 1, -1)

        assert "belongs to the user daemon, who" in str(list(access_problems(env, shown=".env", secret=True, user=ME)))


class TestPlaces:
    """What is no file."""

    def test_nothing_there(self, tmp_path: Path) -> None:
        """Given nothing, a folder, or a name that none can be, then nothing is said here: who reads it says so."""
        for path in (tmp_path / "none", tmp_path, tmp_path / "a\0b"):
            assert [] == told(path)

    def test_link(self, env: Path, tmp_path: Path) -> None:
        """Given a link, then what it leads to counts."""
        env.chmod(0o602)
        (tmp_path / "link").symlink_to(env)

        assert [("error", "env_writable")] == told(tmp_path / "link", secret=False)
