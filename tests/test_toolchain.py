"""The developers' own tools: coverage gates, locks, the Makefile and the version."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import orchestrator
from tests.coverage_gates import FileCoverage, judge, read_report

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def _pins(lock: Path) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE):
        pins.setdefault(name, set()).add(version)
    return pins


class TestCoverageGates:
    """`tests/coverage_gates.py`."""

    def test_a_branch_that_did_not_run_misses_the_gate_of_the_ledger(self) -> None:
        """One branch of a thousand is enough to miss 100 %, and its line is named."""
        lines, passed = judge(
            [
                FileCoverage("ledger/store.py", 999, 1000, (17,)),
                FileCoverage("orchestrator/core/plan.py", 10, 10, ()),
                FileCoverage("orchestrator/cli/app.py", 10, 10, ()),
            ]
        )
        assert not passed
        assert any("ledger/store.py: 1 of 1000 did not run, at lines 17" in line for line in lines)

    def test_the_rest_may_miss_one_in_twenty(self) -> None:
        """95 % of what is neither ledger nor core passes; the core does not count towards it."""
        core = [FileCoverage("ledger/store.py", 10, 10, ()), FileCoverage("orchestrator/core/plan.py", 10, 10, ())]
        assert judge([*core, FileCoverage("orchestrator/cli/app.py", 95, 100, (1,))])[1]
        assert not judge([*core, FileCoverage("orchestrator/cli/app.py", 94, 100, (1,))])[1]

    def test_a_folder_that_was_not_measured_misses_its_gate(self) -> None:
        """An empty report is no success."""
        assert not judge([])[1]

    def test_a_report_is_read_with_lines_and_branches(self) -> None:
        """Both count, and a line whose branch did not run counts as missing."""
        summary = {"covered_lines": 3, "num_statements": 4, "covered_branches": 1, "num_branches": 2}
        entry = {"summary": summary, "missing_lines": [9], "missing_branches": [[4, 9]]}
        assert read_report(json.dumps({"files": {"ledger/a.py": entry}})) == [FileCoverage("ledger/a.py", 4, 6, (4, 9))]


class TestLocks:
    """`requirements/*.txt`."""

    @pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
    def test_every_package_is_pinned_with_its_hash_and_no_address(self, lock: Path) -> None:
        """Each entry names one version and at least one hash; nothing says where to get it."""
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index" not in text
        assert "--find-links" not in text
        entries = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
        assert [entry for entry in entries if "--hash=sha256:" not in entry or "==" not in entry] == []

    @pytest.mark.parametrize("name", ["build", "core", "demo"])
    def test_a_smaller_lock_is_part_of_the_largest(self, name: str) -> None:
        """One environment can hold them all, in whatever order they are installed."""
        everything, part = _pins(ROOT / "requirements/dev.txt"), _pins(ROOT / f"requirements/{name}.txt")
        assert {package: pins for package, pins in part.items() if not pins <= everything.get(package, set())} == {}

    def test_every_declared_dependency_is_locked(self) -> None:
        """A dependency added to `pyproject.toml` without `make lock` is found here."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        declared = list(project["project"]["dependencies"])
        for extra in project["project"]["optional-dependencies"].values():
            declared += extra
        declared += project["dependency-groups"]["build"] + project["dependency-groups"]["dev"]
        names = {re.split(r"[\s<>=!~;\[]", requirement)[0].lower() for requirement in declared}
        assert sorted(names - _pins(ROOT / "requirements/dev.txt").keys()) == []


class TestProject:
    """`pyproject.toml` and the Makefile."""

    def test_the_version_is_the_same_everywhere(self) -> None:
        """The package says the version that it is built as, and the change log has an entry for it."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["version"] == orchestrator.__version__
        changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        assert "## [Unreleased]" in changes or f"## [{project['version']}]" in changes

    @pytest.mark.needs("make")
    def test_help_lists_every_target_that_people_call(self) -> None:
        """`make` alone explains itself."""
        listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        phony = re.findall(r"^\.PHONY: ([\w-]+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert [target for target in phony if f"make {target} " not in listed] == []

    def test_the_wheel_ships_the_packages_with_their_data_and_nothing_else(self, tmp_path: Path) -> None:
        """Notebooks and the flights example stand inside the package, where installed code finds them."""
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
        subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
        (wheel,) = tmp_path.glob("*.whl")
        names = set(zipfile.ZipFile(wheel).namelist())
        wanted = {"ledger/py.typed", "orchestrator/py.typed", "orchestrator/notebooks/README.md"}
        assert wanted | {"orchestrator/examples/flights/pipeline.toml"} <= names
        assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"ledger", "orchestrator"}
        assert [name for name in names if re.search(r"\.(db|log|pyc|env)$|/data/|/tests/", name)] == []


COLLECTOR = yaml.safe_load((ROOT / "otel-collector.yaml").read_text(encoding="utf-8"))
BUILD = yaml.safe_load((ROOT / "otel-collector-build.yaml").read_text(encoding="utf-8"))
MODULES = {
    "otlp": "otlpreceiver",
    "memory_limiter": "memorylimiterprocessor",
    "redaction": "redactionprocessor",
    "transform": "transformprocessor",
    "file": "fileexporter",
    "otlp_grpc": "otlpexporter",
    "health_check": "healthcheckextension",
}
"""Where each type of component comes from."""


class TestCollector:
    """`otel-collector.yaml` as it stands; `tests/system/test_collector.py` has a Collector run by it."""

    def test_it_listens_on_this_machine_alone(self) -> None:
        """Neither receivers nor the health check can be reached from outside, unless somebody says so."""
        protocols = COLLECTOR["receivers"]["otlp"]["protocols"]
        given = [protocol["endpoint"] for protocol in protocols.values()]
        given.append(COLLECTOR["extensions"]["health_check"]["endpoint"])
        endpoints = [found[1] for text in given if (found := re.fullmatch(r"\$\{env:COLLECTOR_\w+:-(.+)\}", text))]
        assert [endpoint for endpoint in endpoints if not endpoint.startswith("127.0.0.1:")] == []
        assert len(set(endpoints)) == len(given) == 3

    @pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
    def test_every_signal_is_limited_first_and_masked_and_kept(self, signal: str) -> None:
        """The order matters: a limiter behind a buffer limits nothing."""
        pipeline = COLLECTOR["service"]["pipelines"][signal]
        assert pipeline["processors"][0] == "memory_limiter"
        assert "redaction" in pipeline["processors"]
        assert pipeline["exporters"][0] == "file"

    def test_it_names_what_it_uses_and_uses_what_it_names(self) -> None:
        """No component is defined in vain."""
        pipelines = COLLECTOR["service"]["pipelines"].values()
        for kind in ("receivers", "processors", "exporters"):
            assert {name for pipeline in pipelines for name in pipeline[kind]} == COLLECTOR[kind].keys()
        assert COLLECTOR["service"]["extensions"] == list(COLLECTOR["extensions"])

    def test_what_is_built_is_what_it_needs(self) -> None:
        """One module for each type of component, all of one release, that of the builder."""
        kinds = ("receivers", "processors", "exporters", "extensions")
        modules = [entry["gomod"].split() for kind in kinds for entry in BUILD[kind]]
        needed = {MODULES[name.partition("/")[0]] for kind in kinds for name in COLLECTOR[kind]}
        assert sorted(path.rpartition("/")[2] for path, _ in modules) == sorted(needed)
        assert {release for _, release in modules} == {f"v{BUILD['dist']['version']}"}

    @pytest.mark.parametrize(
        "text",
        [
            "authorization: Bearer abcdefgh12345678",
            "could not connect to postgres://etl:hunter22@db/flights",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGE=\nkey\n",
            "key AKIA" + "A" * 16,
            "token gh" + "p_" + "a" * 36,
            "login failed: password=hunter22",
            '{"api_key": "hunter22"}',
        ],
    )
    def test_a_credential_in_a_value_is_masked(self, text: str) -> None:
        """What remains of it says nothing."""
        for pattern in COLLECTOR["processors"]["redaction"]["blocked_values"]:
            text = re.sub(pattern, "****", text)
        assert "****" in text
        assert [rest for rest in ("hunter22", "abcdefgh", "bm90", "AAAA", "aaaa") if rest in text] == []

    @pytest.mark.parametrize(
        "text",
        ["a basic understanding of tokens", "https://example.org:8443/a?b=c", "no secret was given", "2013-02-08"],
    )
    def test_plain_words_are_not_masked(self, text: str) -> None:
        """A message that speaks of secrets is not one."""
        patterns = [re.compile(pattern) for pattern in COLLECTOR["processors"]["redaction"]["blocked_values"]]
        assert not any(pattern.search(text) for pattern in patterns)

    @pytest.mark.parametrize("key", ["cicd.pipeline.task.run.id", "cicd.pipeline.name", "orchestrate.key"])
    def test_our_own_attributes_are_not_masked(self, key: str) -> None:
        """A pattern for keys must not hit what a trace is for."""
        patterns = [re.compile(pattern) for pattern in COLLECTOR["processors"]["redaction"]["blocked_key_patterns"]]
        assert not any(pattern.search(key) for pattern in patterns)
