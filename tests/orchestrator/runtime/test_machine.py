"""Tests of what is found of the machine: packages by the names of folders, programs as steps would find them."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs
import pytest

from orchestrator.core.definition import Pipeline, Step
from orchestrator.core.graph import build_graph
from orchestrator.core.run_plan import RunPlan
from orchestrator.runtime.assembly import Surroundings, run_plan
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.digests import FileDigester
from orchestrator.runtime.machine import (
    PROGRAM_BYTES_MAX,
    Programs,
    interpreter_facts,
    packages_in,
    platform_facts,
)


def plan_of(folder: Path, commands: Mapping[str, tuple[str, ...]], *, cwd: str | None = None) -> RunPlan:
    """Return a plan of steps that start *commands*."""
    steps = {name: Step(name=name, command=argv, cwd=cwd) for name, argv in commands.items()}
    pipeline = Pipeline(name="p", steps=steps)
    around = Surroundings(folder, {}, frozenset(), {})
    return run_plan(
        pipeline, build_graph(pipeline), around,
        run_id="r", night="2026-01-31", selected=frozenset(steps), forced=False, max_parallel=1, baselines={},
    )  # fmt: skip


def facts_of(folder: Path, plan: RunPlan, path: str) -> dict[str, Any]:
    """Return what is found of the programs of *plan*, whose steps have *path* as their `PATH`."""
    digester = FileDigester(
        folder=folder, datasets={}, code={}, cache=DigestCache(None), load_manifest=lambda _: None
    )  # fmt: skip
    return Programs(folder, digester).facts(plan, {name: {"PATH": path} for name in plan.steps})


def program(path: Path, content: str = "#!/bin/sh\n") -> Path:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    path.chmod(0o755)
    return path


class TestPackages:
    """Names and versions, without reading."""

    def test_this_environment(self) -> None:
        """Given the packages of these tests, then they are those that the standard library finds, each with its version."""
        found = packages_in(sys.path)

        assert found["attrs"] == importlib.metadata.version("attrs")
        known = {
            str(item.metadata["Name"]).lower().replace("_", "-").replace(".", "-")
            for item in importlib.metadata.distributions()
        }
        assert known == found.keys()

    def test_by_any_tool(self, tmp_path: Path) -> None:
        """Given folders as several tools name them, then name and version are told; of two of one name the first counts."""
        for name in ("My_Pkg-1.0+local.dist-info", "old-2.0-py3.11.egg-info", "bare.egg-info", "none.egg-info"):
            (tmp_path / "one" / name).mkdir(parents=True)
        (tmp_path / "two" / "my.pkg-0.9.dist-info").mkdir(parents=True)
        (tmp_path / "one" / "bare.egg-info" / "PKG-INFO").write_text("Name: bare\nVersion: 3.1\n", encoding="utf-8")

        found = packages_in([str(tmp_path / name) for name in ("one", "two", "nowhere")])

        assert found == {"my-pkg": "1.0+local", "old": "2.0", "bare": "3.1", "none": "unknown"}


class TestMachine:
    """The interpreter and the machine."""

    def test_this_one(self) -> None:
        """Then they are what the system says."""
        assert platform_facts()["kernel"] == os.uname().release
        assert interpreter_facts()["version"] == sys.version.split()[0]

    def test_a_library_that_does_not_tell(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a C library without that name, then there is none."""

        def refused(name: str) -> str:
            raise ValueError(name)

        monkeypatch.setattr(os, "confstr", refused)
        assert platform_facts()["libc"] is None


class TestPrograms:
    """As the step would find them."""

    def test_in_path(self, tmp_path: Path) -> None:
        """Given a program in the second folder of PATH, then it is found there, with size and digest, once for all of its steps."""
        path = program(tmp_path / "bin" / "load")
        (tmp_path / "first" / "load").mkdir(parents=True)
        plan = plan_of(tmp_path / "p", {"a": ("load", "x"), "b": ("load",), "c": ("nothing-of-that-name",)})

        found = facts_of(tmp_path / "p", plan, f"{tmp_path}/first:{tmp_path}/bin")

        assert found["commands"] == {"a": str(path), "b": str(path), "c": None}
        digest = "sha256:" + sha256(path.read_bytes()).hexdigest()
        assert found["programs"] == {str(path): {"size": path.stat().st_size, "digest": digest}}

    def test_in_the_folder(self, tmp_path: Path) -> None:
        """Given a program of the pipeline's own, then it is named relative to the folder, and a link tells where it leads."""
        program(tmp_path / "tools" / "v2")
        (tmp_path / "tools" / "now").symlink_to("v2")
        found = facts_of(tmp_path, plan_of(tmp_path, {"a": ("./now",)}, cwd="tools"), "")

        assert found["commands"] == {"a": "tools/now"}
        assert found["programs"]["tools/now"]["file"] == str(tmp_path / "tools" / "v2")

    def test_a_large_one(self, tmp_path: Path) -> None:
        """Given a very large program, then it is not read: its time stands for it."""
        path = program(tmp_path / "large")
        os.truncate(path, PROGRAM_BYTES_MAX + 1)
        (facts,) = facts_of(tmp_path / "p", plan_of(tmp_path / "p", {"a": (str(path),)}), "")["programs"].values()

        assert facts == {"size": PROGRAM_BYTES_MAX + 1, "modified_ns": str(path.stat().st_mtime_ns)}

    def test_a_link_that_breaks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a program that goes while it is looked at, then nothing more is told of it."""
        path = program(tmp_path / "gone")
        monkeypatch.setattr(os.path, "realpath", lambda _: str(tmp_path / "nowhere"))
        (facts,) = facts_of(tmp_path / "p", plan_of(tmp_path / "p", {"a": (str(path),)}), "")["programs"].values()
        assert facts == {"file": str(tmp_path / "nowhere")}

    def test_what_has_no_value_yet(self, tmp_path: Path) -> None:
        """Given a step that is not part of the run and whose command needs a value, then it is left out."""
        plan = attrs.evolve(plan_of(tmp_path, {"a": ("sh",)}), selected=frozenset())
        unresolved = attrs.evolve(plan.steps["a"], argv=("${TOOL}",))
        found = facts_of(tmp_path, attrs.evolve(plan, steps={"a": unresolved}), "/bin")
        assert found == {"commands": {}, "programs": {}}


class TestPythons:
    """The version of a Python, without starting it."""

    def python_of(self, tmp_path: Path, python: Path) -> dict[str, Any]:
        """Return what is found of *python* beyond its file."""
        found = facts_of(tmp_path / "p", plan_of(tmp_path / "p", {"a": (str(python),)}), "")
        (facts,) = found["programs"].values()
        return {name: value for name, value in facts.items() if name in ("python", "packages")}

    def test_of_an_environment(self, tmp_path: Path) -> None:
        """Given the Python of an environment, then its version is the one that this tells, with its packages."""
        real = program(tmp_path / "usr" / "python3.9")
        (tmp_path / "env" / "bin").mkdir(parents=True)
        (tmp_path / "env" / "bin" / "python").symlink_to(real)
        (tmp_path / "env" / "lib" / "python3.9" / "site-packages" / "polars-1.0.dist-info").mkdir(parents=True)
        (tmp_path / "env" / "pyvenv.cfg").write_text("home = /usr\nversion = 3.9.18\n", encoding="utf-8")
        python = tmp_path / "env" / "bin" / "python"

        assert self.python_of(tmp_path, python) == {"python": "3.9.18", "packages": {"polars": "1.0"}}
        (tmp_path / "env" / "pyvenv.cfg").write_text("home = /usr\n", encoding="utf-8")
        assert self.python_of(tmp_path, python) == {"python": "3.9", "packages": {"polars": "1.0"}}

    def test_by_its_name(self, tmp_path: Path) -> None:
        """Given a Python outside of any environment, then its name tells as much as it does; the orchestrator's own is known."""
        assert self.python_of(tmp_path, program(tmp_path / "python3.8")) == {"python": "3.8"}
        assert self.python_of(tmp_path, program(tmp_path / "python3")) == {}
        assert self.python_of(tmp_path, program(tmp_path / "pythonic")) == {}
        own = Path(os.path.realpath(sys.executable))
        assert self.python_of(tmp_path, own) == {"python": interpreter_facts()["version"]}
