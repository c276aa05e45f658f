"""Tests of what an attempt finds when it starts, and of what is left when it has ended."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

from orchestrator.core.decide import Baseline, Measurement
from orchestrator.core.fingerprint import Material
from orchestrator.core.report import StepReport
from orchestrator.core.tracing import span_id_of, trace_id_of
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.digests import CodePlace, DatasetPlace, FileDigester
from orchestrator.runtime.ports import Launch, MeasureRequest
from orchestrator.runtime.result import BadResultError
from orchestrator.runtime.workbench import RunWorkbench
from tests.pipelines import data_pipeline
from tests.simulation import simulated_plan


@attrs.define
class Bench:
    """A folder with a source in it, and the workbench of a run over it."""

    folder: Path
    manifests: dict[str, bytes] = attrs.field(factory=dict)

    @property
    def raw(self) -> Path:
        """Where the source lies."""
        return self.folder / "raw"

    def place(self) -> Mapping[str, DatasetPlace]:
        """Return where the datasets lie."""
        return {name: DatasetPlace(str(self.folder / name), "**/*", "content") for name in ("raw", "a")}

    def measure(self) -> str | None:
        """Return the digest of the source."""
        digester = FileDigester(
            folder=self.folder,
            datasets=self.place(),
            code={"a": CodePlace()},
            cache=DigestCache(None),
            load_manifest=self.manifests.get,
        )
        digester.submit(MeasureRequest("a", {"raw": None}))
        (measured,) = digester.advance()
        self.manifests.update(measured.manifests)
        return measured.inputs["raw"]

    def workbench(self, *, before: str | None = None) -> RunWorkbench:
        """Return the workbench of a run whose step `a` reads the source and last saw it as *before*."""
        plan = simulated_plan(data_pipeline({"a": ["raw"], "b": []}))
        known = {} if before is None else {"inputs": {"raw": before}}
        step = attrs.evolve(plan.steps["a"], baseline=Baseline(components=known))
        return RunWorkbench(
            attrs.evolve(plan, steps={**plan.steps, "a": step}),
            folder=self.folder / "ledger",
            datasets=self.place(),
            environment={"a": {"PATH": "/bin", "A": "1"}, "b": {"PATH": "/bin"}},
            manifest=self.manifests.get,
            redact=lambda text: text.replace("secret", "***"),
        )


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.raw.mkdir()
    return bench


def prepared(workbench: RunWorkbench, digest: str | None) -> tuple[Launch, dict[str, object]]:
    """Return what the first attempt of `a` is started with, and the entry of its source in the input list."""
    launch = workbench.prepare("a", 1, Measurement(Material({}, inputs={"raw": digest})))
    entry = json.loads(Path(launch.env["ORCHESTRATE_INPUTS"]).read_text(encoding="utf-8"))["datasets"]["raw"]
    return launch, entry


class TestPrepare:
    """A process is told what it is, and what has changed for it."""

    def test_environment(self, bench: Bench) -> None:
        """The variables of the step, and facts of the attempt; nothing else."""
        launch = bench.workbench().prepare("b", 3, Measurement(Material({})))
        result = bench.folder / "ledger/exchange/run-1/b.3.result.json"

        assert {
            "PATH": "/bin",
            "ORCHESTRATE_RUN_ID": "run-1",
            "ORCHESTRATE_STEP": "b",
            "ORCHESTRATE_ATTEMPT": "3",
            "ORCHESTRATE_NIGHT": "2026-01-01",
            "ORCHESTRATE_RESULT": str(result),
            "TRACEPARENT": f"00-{trace_id_of('run-1', None)}-{span_id_of('run-1', step='b', attempt=3)}-01",
            "BAGGAGE": "orchestrate.run_id=run-1,orchestrate.step=b,orchestrate.night=2026-01-01",
        } == launch.env
        assert bench.folder / "ledger/logs/run-1/b.3.log" == launch.log_path

    def test_first_time_all_is_added(self, bench: Bench) -> None:
        """Nothing was seen before."""
        (bench.raw / "x.csv").write_text("1")
        digest = bench.measure()
        launch, entry = prepared(bench.workbench(), digest)

        assert {"path": str(bench.raw), "digest": digest, "removed": []} == {
            key: value for key, value in entry.items() if key != "files"
        }
        assert [("x.csv", 1, "added")] == [
            (file["path"], file["size"], file["change"])
            for file in entry["files"]  # type: ignore[attr-defined]
        ]
        assert "1" == launch.env["A"]

    def test_changes_since_the_last_success(self, bench: Bench) -> None:
        """Each file says what it is: added, changed or same; and what is gone is named."""
        for name in ("changed", "gone", "same"):
            (bench.raw / name).write_text("1")
        before = bench.measure()
        (bench.raw / "changed").write_text("2")
        (bench.raw / "gone").unlink()
        (bench.raw / "added").write_text("1")
        _, entry = prepared(bench.workbench(before=before), bench.measure())

        assert [("added", "added"), ("changed", "changed"), ("same", "same")] == [
            (file["path"], file["change"])
            for file in entry["files"]  # type: ignore[attr-defined]
        ]
        assert ["gone"] == entry["removed"]

    @pytest.mark.parametrize("kept", [True, False])
    def test_dataset_that_is_gone(self, bench: Bench, *, kept: bool) -> None:
        """All its files are removed, as far as they are known."""
        (bench.raw / "x").touch()
        before = bench.measure()
        if not kept:
            bench.manifests.clear()
        _, entry = prepared(bench.workbench(before=before), None)

        assert ([], ["x"] if kept else [], None) == (entry["files"], entry["removed"], entry["digest"])

    def test_exchange_is_private(self, bench: Bench) -> None:
        """Given a mask that takes nothing away, then only the owner can enter the folder and read the list."""
        former = os.umask(0)
        try:
            launch, _ = prepared(bench.workbench(), bench.measure())
        finally:
            os.umask(former)
        inputs = Path(launch.env["ORCHESTRATE_INPUTS"])
        folders = [inputs.parent, inputs.parent.parent]

        assert [0o700, 0o700, 0o600] == [stat.S_IMODE(path.stat().st_mode) for path in (*folders, inputs)]

    def test_a_list_that_exists_is_not_overwritten(self, bench: Bench) -> None:
        """A link in its place is not followed."""
        workbench = bench.workbench()
        victim = bench.folder / "victim"
        (bench.folder / "ledger/exchange/run-1/a.1.inputs.json").symlink_to(victim)

        with pytest.raises(FileExistsError):
            workbench.prepare("a", 1, Measurement(Material({}, inputs={"raw": None})))
        assert not victim.exists()


class TestCollect:
    """What an attempt leaves is read once and removed."""

    def test_report(self, bench: Bench) -> None:
        """Report and input list are gone afterwards."""
        workbench = bench.workbench()
        launch, _ = prepared(workbench, bench.measure())
        Path(launch.env["ORCHESTRATE_RESULT"]).write_text('{"metrics": {"rows": 3}}')

        assert StepReport(metrics={"rows": 3}) == workbench.collect("a", 1)
        assert [] == list((bench.folder / "ledger/exchange/run-1").iterdir())
        assert workbench.collect("a", 1) is None

    def test_bad_report_is_removed_too(self, bench: Bench) -> None:
        """It must not be taken for that of somebody else."""
        workbench = bench.workbench()
        launch = workbench.prepare("b", 1, Measurement(Material({})))
        path = Path(launch.env["ORCHESTRATE_RESULT"])
        path.write_text("nonsense")

        with pytest.raises(BadResultError):
            workbench.collect("b", 1)
        assert not path.exists()

    def test_close_removes_whatever_is_left(self, bench: Bench) -> None:
        """Also a folder in the place of a report; twice is no mistake."""
        workbench = bench.workbench()
        launch = workbench.prepare("b", 1, Measurement(Material({})))
        Path(launch.env["ORCHESTRATE_RESULT"], "deep").mkdir(parents=True)

        with pytest.raises(BadResultError):
            workbench.collect("b", 1)
        workbench.close()
        workbench.close()
        assert not (bench.folder / "ledger/exchange/run-1").exists()

    def test_texts_are_redacted(self, bench: Bench) -> None:
        """With what the run knows."""
        assert "a ***" == bench.workbench().redact("a secret")
