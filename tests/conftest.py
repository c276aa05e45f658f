"""
What every test shares: Hypothesis profiles, a clean environment, the system tools, and the program as a command.

`HYPOTHESIS_PROFILE` chooses `dev` (the default), `ci` or `nightly`; the first two always try the same examples.
`ORCHESTRATE_TEST_REQUIRE=all` makes a missing system tool a failure instead of a skip.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings

from tests import counting
from tests.measuring import measure_programs_of
from tests.programs import program

ROOT = Path(__file__).resolve().parent.parent

SYSTEM_TOOLS: Mapping[str, str] = {
    "strace": "system calls and torn writes",
    "chromium": "reports and notebooks as a browser shows them",
    "ninja": "the comparison with ninja",
    "make": "the developers' commands",
    "openssl": "signatures where the extra `sign` is not installed",
    "setpriv": "a step that the program may not signal",
    "sqlite3": "the ledger as SQLite's own shell reads it",
    "systemd-analyze": "units and times of timers as systemd reads them",
}
"""Programs that pip cannot supply, and what is tested with each."""

OrchestrateCommand: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]

for _name, _examples, _derandomize in (("dev", 50, True), ("ci", 100, True), ("nightly", 5_000, False)):
    settings.register_profile(
        _name,
        settings(
            max_examples=_examples,
            derandomize=_derandomize,
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            print_blob=True,
        ),
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker `needs`, whose arguments are keys of `SYSTEM_TOOLS`."""
    config.addinivalue_line("markers", "needs(tool, ...): system tools without which the test cannot run")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose system tools are not there, or fail it where everything is required; and choose which of its programs are measured."""
    measure_programs_of(item, ROOT / "tests")
    named = [tool for marker in item.iter_markers("needs") for tool in marker.args]
    unknown = sorted(set(named) - SYSTEM_TOOLS.keys())
    assert not unknown, f"system tools that conftest.py does not list: {unknown}"
    missing = [tool for tool in named if shutil.which(tool) is None]
    if missing and os.environ.get("ORCHESTRATE_TEST_REQUIRE") == "all":
        pytest.fail(f"system tools are required but missing: {', '.join(missing)}", pytrace=False)
    if missing:
        pytest.skip(f"system tools not found: {', '.join(missing)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Give what the test counts to its report, which reaches the controller also from another process."""
    try:
        return (yield)
    finally:
        item.user_properties += counting.taken()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was counted, which system tools are not there, and what therefore went untested."""
    ended = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    if counted := counting.lines(ended):
        terminalreporter.section("counted")
        terminalreporter.write_line("\n".join(counted))
    for tool, purpose in SYSTEM_TOOLS.items():
        if shutil.which(tool) is None:
            terminalreporter.write_line(f"system tool not found: {tool} (untested: {purpose})", yellow=True)


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the developer's settings, keys and home out of every test, and signals as a terminal hands them on: shells start jobs in the background without, `nohup` too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("ORCHESTRATE_", "OTEL_", "XDG_")) and name != "ORCHESTRATE_TEST_REQUIRE":
                patch.delenv(name)
        for name in ("TRACEPARENT", "TRACESTATE", "BAGGAGE", "FORCE_COLOR", "INVOCATION_ID"):
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_COLOR", "1")
        patch.setenv("LC_ALL", "C.UTF-8")
        patch.setenv("TZ", "UTC")
        yield


@pytest.fixture
def orchestrate(tmp_path: Path) -> OrchestrateCommand:
    """
    Give the program as a command: `orchestrate("run", "--json", cwd=…, env={…})`.

    It runs in *tmp_path* unless *cwd* says otherwise; *env* is laid over the test's environment. Nothing is checked.
    """

    def run(
        *arguments: str, cwd: Path = tmp_path, env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        return program(*arguments, cwd=cwd, env=env, timeout=timeout)

    return run
