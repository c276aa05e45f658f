"""Tests of telling a living process from a later one with its number."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.runtime.liveness import boot_id, is_alive, process_name, process_start


class TestProcessStart:
    """A start time makes a number an identity."""

    def test_living_process(self) -> None:
        """It has one, always the same."""
        start = process_start(os.getpid())

        assert start is not None
        assert start.isdigit()
        assert start == process_start(os.getpid())

    def test_dead_process(self) -> None:
        """It has none."""
        with subprocess.Popen(["true"]) as process:
            process.wait()

        assert process_start(process.pid) is None

    @pytest.mark.parametrize("name", ["a) b (c", ")", "(", "1 2 3"])
    def test_hostile_name(self, tmp_path: Path, name: str) -> None:
        """Given a program whose name has brackets and blanks, then its start time is found all the same."""
        program = tmp_path / name
        program.symlink_to("/bin/sleep")
        with subprocess.Popen([program, "300"]) as process:
            try:
                start = process_start(process.pid)
                later = process_start(os.getpid())
            finally:
                process.kill()

        assert start is not None
        assert later is not None
        assert int(start) >= int(later)


class TestProcessName:
    """What people are told of a process."""

    def test_name_that_is_no_text(self, tmp_path: Path) -> None:
        """Given a name that the kernel has cut within a character, then it is one that can be recorded all the same."""
        program = tmp_path / "fourteen bytesä"
        program.symlink_to("/bin/sleep")
        with subprocess.Popen([program, "300"]) as process:
            try:
                name = process_name(process.pid)
            finally:
                process.kill()

        assert name == "fourteen bytes\ufffd"


class TestBootId:
    """A reboot makes every number meaningless."""

    def test_same_for_the_whole_boot(self) -> None:
        """It is that of the kernel."""
        assert boot_id() == boot_id() != ""

    def test_kernel_without_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is empty then, and the same all the time."""

        def refuse(*_: object, **__: object) -> str:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_text", refuse)

        assert "" == boot_id()


class TestIsAlive:
    """A process is known by boot, number and start."""

    def test_this_process(self) -> None:
        """Another boot or start is another process."""
        pid, start, boot = os.getpid(), process_start(os.getpid()) or "", boot_id()

        assert is_alive(pid=pid, start=start, boot=boot)
        assert not is_alive(pid=pid, start=start + "0", boot=boot)
        assert not is_alive(pid=pid, start=start, boot="another")
        assert not is_alive(pid=2**22 + 1, start=start, boot=boot)
