"""Tests of the helper for steps that are Python programs: inside of a real run, in a process with our variables, and by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator import step
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.digests import DatasetPlace, FileDigester
from orchestrator.runtime.ports import MeasureRequest
from tests.conftest import OrchestrateCommand

PIPELINE = """
[pipeline]
name = "test"

[datasets.raw]
path = "raw"
pattern = "*.csv"

[datasets.out]
path = "out.json"

[steps.work]
command = ["{python}", "work.py"]
reads = ["raw"]
writes = ["out"]
"""

WORK = """
import json
from pathlib import Path
from orchestrator import step

found = {
    "night": step.night(),
    "all": [path.name for path in step.files("raw")],
    "new": [path.name for path in step.new_files("raw")],
    "changed": [path.name for path in step.changed_files("raw")],
    "removed": step.inputs()["raw"]["removed"],
    "content": [path.read_text() for path in step.files("raw")],
}
Path("out.json").write_text(json.dumps(found))
step.report(metrics={"rows": 1})
step.report(metrics={"rows": 842, "share": 0.5, "ok": True}, outputs={"out": {"rows": 842, "digest": step.digest("out.json")}}, message="done")
"""


def write(folder: Path) -> None:
    """Write a pipeline whose one step tells what it was told."""
    (folder / "pipeline.toml").write_text(PIPELINE.format(python=sys.executable))
    (folder / "work.py").write_text(WORK)
    (folder / "raw").mkdir(exist_ok=True)


def by_hand(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in a process of its own, outside of a run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATE_")}
    return subprocess.run(
        [sys.executable, "-c", f"from orchestrator import step\n{code}"],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.system
class TestInARun:
    """What the orchestrator tells a step, and what it hears from it."""

    def test_inputs_and_report(self, orchestrate: OrchestrateCommand, tmp_path: Path) -> None:
        """Given two runs, then the second is told what has changed since the first."""
        write(tmp_path)
        for name in ("changed", "gone", "same"):
            (tmp_path / "raw" / f"{name}.csv").write_text(name)
        assert 0 == orchestrate("run", "--for", "2026-01-31").returncode
        first = json.loads((tmp_path / "out.json").read_text())
        (tmp_path / "raw/changed.csv").write_text("2")
        (tmp_path / "raw/gone.csv").unlink()
        (tmp_path / "raw/added.csv").write_text("3")
        assert 0 == orchestrate("run", "--for", "2026-02-01").returncode
        second = json.loads((tmp_path / "out.json").read_text())

        assert ["changed.csv", "gone.csv", "same.csv"] == first["all"] == first["new"] == first["changed"]
        assert {
            "night": "2026-02-01",
            "all": ["added.csv", "changed.csv", "same.csv"],
            "new": ["added.csv"],
            "changed": ["added.csv", "changed.csv"],
            "removed": ["gone.csv"],
            "content": ["3", "2", "same"],
        } == second

    def test_names_that_are_no_text(self, orchestrate: OrchestrateCommand, tmp_path: Path) -> None:
        """Given files whose names are no UTF-8, and one whose name looks like such a one written out, then the step is given paths that exist."""
        write(tmp_path)
        names = [b"bad\xff.csv", b"\xc3\xa4\xe4\\xzz.csv", b"plain\\xff.csv", b"\xc3\xa4.csv"]
        for name in names:
            Path(os.fsdecode(os.fsencode(tmp_path / "raw") + b"/" + name)).write_bytes(name.hex().encode())
        assert 0 == orchestrate("run").returncode
        assert sorted(name.hex() for name in names) == sorted(
            json.loads((tmp_path / "out.json").read_text())["content"]
        )

    def test_ends(self, orchestrate: OrchestrateCommand, tmp_path: Path) -> None:
        """A report decides how the step ends; one that breaks the rules fails it."""
        cases: list[tuple[str, tuple[str, str, str | None, int]]] = [
            ("step.no_new_data('nothing came')", ("skipped", "no_new_data", None, 0)),
            ("step.fail('no such column')", ("failed", "exit", "permanent", 1)),
            ("step.fail('try later', error_class='transient', exit_code=7)", ("failed", "exit", "transient", 7)),
            ("step.report(status='failed', message='no')", ("failed", "reported", "permanent", 0)),
            ("step.report(status='perfect')", ("failed", "bad_result", "permanent", 0)),
            ("step.report(metrics={'../x': 1})", ("failed", "bad_result", "permanent", 0)),
            ("step.report(message='\\ud800')", ("failed", "bad_result", "permanent", 0)),
        ]
        text = '[pipeline]\nname = "test"\n'
        for number, (work, _) in enumerate(cases):
            command = json.dumps([sys.executable, "-c", f"from orchestrator import step\n{work}"])
            text += f"[steps.s{number}]\ncommand = {command}\n"
        (tmp_path / "pipeline.toml").write_text(text)

        assert 1 == orchestrate("run").returncode
        for found in json.loads(orchestrate("show", "latest", "--json").stdout)["steps"]:
            work, expected = cases[int(found["step"][1:])]
            (attempt,) = found["attempts"]
            ended = (found["status"], found["reason"], attempt["error_class"], attempt["exit_code"])
            assert (work, *expected) == (work, *ended)


class TestInAProcess:
    """The helper with the variables that a run sets."""

    def entry(self, folder: Path, files: Sequence[Mapping[str, object]], **more: object) -> str:
        """Write an input list and return its path."""
        entry = {"path": str(folder / "raw"), "digest": "sha256:x", "files": files, "removed": [], **more}
        (folder / "inputs.json").write_text(json.dumps({"datasets": {"raw": entry}}))
        return str(folder / "inputs.json")

    def test_files_by_change(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """All, new ones, and those that changed."""
        files = [{"path": f"{change}.csv", "change": change} for change in ("added", "changed", "same")]
        monkeypatch.setenv("ORCHESTRATE_INPUTS", self.entry(tmp_path, files))
        raw = tmp_path / "raw"

        assert [raw / "added.csv", raw / "changed.csv", raw / "same.csv"] == step.files("raw")
        assert [raw / "same.csv"] == step.files("raw", change=("same",))
        assert [raw / "added.csv"] == step.new_files("raw")
        assert [raw / "added.csv", raw / "changed.csv"] == step.changed_files("raw")
        assert "sha256:x" == step.inputs()["raw"]["digest"]

    def test_dataset_that_is_one_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its name within itself is empty."""
        monkeypatch.setenv("ORCHESTRATE_INPUTS", self.entry(tmp_path, [{"path": "", "change": "added"}]))

        assert [tmp_path / "raw"] == step.new_files("raw")

    def test_dataset_that_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A step that has forgotten to declare it is told."""
        monkeypatch.setenv("ORCHESTRATE_INPUTS", self.entry(tmp_path, []))

        with pytest.raises(KeyError):
            step.files("other")

    def test_report_appears_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A later one replaces an earlier one, and nothing else is left."""
        monkeypatch.setenv("ORCHESTRATE_RESULT", str(tmp_path / "result.json"))
        step.report(metrics={"rows": 1}, message="ä")
        step.report(status="failed", error_class="transient", outputs={"out": {"rows": 2}})

        expected = {"status": "failed", "error_class": "transient", "outputs": {"out": {"rows": 2}}}
        assert expected == json.loads((tmp_path / "result.json").read_text())
        assert ["result.json"] == [path.name for path in tmp_path.iterdir()]

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_no_number_is_refused_where_it_is_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
    ) -> None:
        """The traceback points to the step; the earlier report stays."""
        monkeypatch.setenv("ORCHESTRATE_RESULT", str(tmp_path / "result.json"))
        step.report()
        with pytest.raises(ValueError, match="not JSON compliant"):
            step.report(metrics={"rows": value})

        assert {"status": "succeeded"} == json.loads((tmp_path / "result.json").read_text())

    @pytest.mark.parametrize("pattern", ["**/*", "*.csv", "**"])
    def test_digest(self, tmp_path: Path, pattern: str) -> None:
        """What it says of a folder is what the orchestrator says, whatever the names; of a file it is the file's own."""
        data = tmp_path / "data"
        (data / "sub").mkdir(parents=True)
        for name in (
            "b.csv",
            "a b.csv",
            "sub/ä\u2028\x01\t\x7f.csv",
            'sub/"\\.txt',
            "sub/😀",
            ".hidden",
            "bad\udcff.csv",
        ):
            (data / name).write_bytes(os.fsencode(name))
        digester = FileDigester(
            folder=tmp_path,
            datasets={"data": DatasetPlace(str(data), pattern, "content")},
            code={},
            cache=DigestCache(None),
            load_manifest=lambda _: None,
        )
        digester.submit(MeasureRequest("step", {"data": None}))
        (measured,) = digester.advance()
        assert step.digest(data, pattern) == measured.inputs["data"]
        assert step.digest(data / "b.csv") == f"sha256:{sha256(b'b.csv').hexdigest()}"

    def test_no_new_data_ends_well(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a report, and exit code 0."""
        monkeypatch.setenv("ORCHESTRATE_RESULT", str(tmp_path / "result.json"))
        with pytest.raises(SystemExit) as ended:
            step.no_new_data("nothing came")

        assert 0 == ended.value.code
        assert {"status": "no_new_data", "message": "nothing came"} == json.loads(
            (tmp_path / "result.json").read_text()
        )

    def test_fail_ends_badly(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With a report, a message, and the exit code that was asked for."""
        monkeypatch.setenv("ORCHESTRATE_RESULT", str(tmp_path / "result.json"))
        with pytest.raises(SystemExit) as ended:
            step.fail("no such column", error_class="misuse", exit_code=64)

        assert 64 == ended.value.code
        assert "no such column\n" == capsys.readouterr().err
        expected = {"status": "failed", "message": "no such column", "error_class": "misuse"}
        assert expected == json.loads((tmp_path / "result.json").read_text())


class TestByHand:
    """A step can be tried without a run."""

    def test_nothing_is_known(self) -> None:
        """Neither a night nor inputs."""
        done = by_hand("print(step.night(), step.inputs())")

        assert "None {}\n" == done.stdout

    def test_report_is_printed(self) -> None:
        """To standard error, so that output stays output."""
        done = by_hand("step.report(metrics={'rows': 3})")

        assert ("", 'report: {"status": "succeeded", "metrics": {"rows": 3}}\n') == (done.stdout, done.stderr)

    @pytest.mark.parametrize(("code", "ended"), [("step.no_new_data()", 0), ("step.fail('no')", 1)])
    def test_ends(self, code: str, ended: int) -> None:
        """With the same exit code as in a run."""
        done = by_hand(code)

        assert ended == done.returncode
        assert "report: " in done.stderr
        assert "Traceback" not in done.stderr

    def test_it_may_be_copied(self, tmp_path: Path) -> None:
        """Given the file alone, then it works with nothing but the standard library."""
        shutil.copy(str(step.__file__), tmp_path / "helper.py")
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, '.'); import helper; helper.report()"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

        assert (0, 'report: {"status": "succeeded"}\n') == (done.returncode, done.stderr)
