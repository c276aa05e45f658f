"""Tests of the variables that a recorded run is run again with: plain ones as recorded, secrets as far as they are known to be the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ledger.canonical import blob_digest, canonical_bytes
from ledger.events import NewEvent
from ledger.store import Ledger, open_ledger
from orchestrator.cli.keyring import digest_key
from orchestrator.cli.reading import View
from orchestrator.cli.recorded_run import RecordedRun, Variables, recorded_run, variables_again
from orchestrator.core.definition import Parameter, Pipeline, Step, Variable
from orchestrator.core.events import Event, RunFinished, RunResumed, event_data, event_type
from orchestrator.core.graph import build_graph
from orchestrator.core.keyed import keyed_digest
from orchestrator.projections.read_models import ReadModels
from tests.orchestrator.projections.test_views import started

VALUE = "battery-staple-0815"
PIPELINE = Pipeline(
    "p",
    {"a": Step("a", command=("true",), env=("KEY", "REGION", "SIZE"))},
    variables={"KEY": Variable("KEY", secret=True), "REGION": Variable("REGION", default="today")},
    params={"SIZE": Parameter("SIZE", default="0")},
)
PLAIN = {"REGION": {"origin": "default", "value": "then"}, "SIZE": {"origin": "--set", "value": "7"}}


@pytest.fixture(autouse=True)
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Give the user a key of keyed digests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made = digest_key(make=True)
    assert made is not None
    return made


def again(
    folder: Path,
    secrets: Mapping[str, str] | None,
    *,
    had: bool = True,
    value: str | None = VALUE,
    trusted: tuple[str, ...] = (),
) -> Variables:
    """Return the variables of a run that recorded *secrets*, where `.env` has *value* today."""
    if value is not None:
        (folder / ".env").write_text(f"KEY={value}\n", encoding="utf-8")
    run = RecordedRun(
        run_id="r",
        name="p",
        night="2026-01-31",
        definition=folder / "pipeline.toml",
        start={"variables": PLAIN | ({"KEY": {"origin": ".env"}} if had else {})},
        environment=None if secrets is None else {"secrets": secrets},
        text=b"",
        pipeline=PIPELINE,
        graph=build_graph(PIPELINE),
        steps={},
    )
    return variables_again(run, ("a",), env_files=(), trusted=frozenset(trusted))


def test_the_same(tmp_path: Path, key: bytes) -> None:
    """Given the same secret, then it is taken; plain variables and parameters are those of the record, whatever is there today."""
    found = again(tmp_path, {"KEY": keyed_digest(key, "KEY", VALUE)})
    assert (found.problems, found.trusted) == ((), ())
    values = {name: item.value for name, item in found.environment.variables.items()}
    assert values == {"KEY": VALUE, "REGION": "then"}
    assert {name: item.value for name, item in found.environment.params.items()} == {"SIZE": "7"}


@pytest.mark.parametrize(
    ("secrets", "options", "said"),
    [
        ({"KEY": "other"}, {}, "no digest of it is recorded"),
        ({"KEY": "keyed:none"}, {}, "no digest of it is recorded"),
        (None, {}, "no digest of it is recorded"),
        ({"KEY": "keyed:00000000:1"}, {}, "under which that is recorded is another one"),
        ({}, {"had": False}, "the secret KEY has a value today; the run had none"),
        ({}, {"value": None}, "the secret KEY has no value today; the run had one"),
    ],
)
def test_not_known_to_be_the_same(
    secrets: Mapping[str, str] | None, options: Mapping[str, object], said: str, tmp_path: Path
) -> None:
    """Given a secret that is another one, or of which nobody can say, then it is named with why, and can be trusted by name."""
    (problem,) = again(tmp_path, secrets, **options).problems  # type: ignore[arg-type]
    assert said in problem.message
    assert VALUE not in str(problem)
    trusted = again(tmp_path, secrets, trusted=("KEY",), **options)  # type: ignore[arg-type]
    is_there = "value" not in options
    assert (len(trusted.problems), trusted.trusted) == (int(not is_there), ("KEY",) if is_there else ())


def test_another_value(tmp_path: Path, key: bytes) -> None:
    """Given another value than the run had, then that is said, and neither of both."""
    (problem,) = again(tmp_path, {"KEY": keyed_digest(key, "KEY", "former-value-1")}).problems
    assert problem.message == "the secret KEY is not what the run had"


def test_none_then_and_none_now(tmp_path: Path) -> None:
    """Given a secret that had no value and has none, then all is well."""
    assert again(tmp_path, {}, had=False, value=None).problems == ()


def append(ledger: Ledger, *events: Event, blobs: Mapping[str, bytes]) -> None:
    """Append *events* to the run r1."""
    new = [NewEvent(*event_type(event), event_data(event)) for event in events]
    ledger.append("run/r1", new, expected_version=None, blobs=dict(blobs))


@pytest.mark.parametrize(
    ("second", "kept", "kinds"),
    [
        ("sha256:other", True, ["definition_not_kept", "definition_changed"]),
        (None, False, ["definition_not_kept"]),
        (None, True, []),
    ],
)
def test_definitions(second: str | None, kept: bool, kinds: list[str], tmp_path: Path) -> None:  # noqa: FBT001
    """Given a run that went on with another definition, or whose definition is not kept, then that is told."""
    text = canonical_bytes({"pipeline": {"name": "shop"}, "steps": {"a": {"command": ["true"]}}})
    graph = canonical_bytes({"steps": [{"step": "a"}], "datasets": {}})
    blobs = {blob_digest(graph): graph} | ({blob_digest(text): text} if kept else {})
    start = started("r1", "2026-01-01", definition=blob_digest(text), graph=blob_digest(graph))
    end = RunFinished("failed", 1, 1, {})
    with open_ledger(tmp_path / "l.db", projections=[ReadModels()]) as ledger:
        append(ledger, start, end, blobs=blobs)
        if second is not None:
            values = event_data(start) | {"before": "failed", "definition": second}
            append(ledger, RunResumed(**{name: values.get(name) for name in _FIELDS}), end, blobs={})  # type: ignore[arg-type]
        found = recorded_run(View(tmp_path / "l.db", ledger.connection, None), "r1")
    assert [problem.kind for problem in found.problems] == kinds
    assert found.text == (text if kept and second is None else b"{}")
    assert found.folder == tmp_path.parent.resolve()


_FIELDS = tuple(field.name for field in RunResumed.__attrs_attrs__)
