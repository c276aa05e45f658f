"""Tests of asking datasets that are no files, with real processes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import attrs
import pytest

from orchestrator.core.definition import Dataset
from orchestrator.core.redaction import Redactor
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.digests import DatasetPlace, FileDigester
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.liveness import DEAD, process_fields
from orchestrator.runtime.ports import Answer, Exited, Measured, MeasureRequest
from orchestrator.runtime.probing import OUTPUT_BYTES_MAX, Probes, check_probes
from orchestrator.runtime.signals import prepare_process
from tests.faults.steps import launch
from tests.pipelines import data_pipeline
from tests.programs import wait_until

pytestmark = pytest.mark.system


def is_dead(pid: int) -> bool:
    """Whether there is no process *pid* any more, or nothing but its end is left of it."""
    return not process_fields(pid) or process_fields(pid)[0] in DEAD


@attrs.define
class Bench:
    """A folder, an executor, and the datasets that are asked."""

    folder: Path
    executor: ProcessExecutor
    places: dict[str, DatasetPlace] = attrs.field(factory=dict)
    redactor: Redactor = attrs.field(factory=lambda: Redactor({"TOKEN": "correct-horse"}))

    def probes(self) -> Probes:
        """Return what asks."""
        return Probes(
            self.executor,
            places=self.places,
            folder=self.folder,
            environment={"d": {"PATH": os.environ["PATH"], "TOKEN": "correct-horse"}},
            new_stream=self.redactor.stream,
        )

    def has(self, script: str, *, timeout_us: int = 20_000_000, name: str = "d") -> None:
        """Say that the dataset *name* is asked by a shell."""
        self.places[name] = DatasetPlace(None, "**/*", "probe", ("/bin/sh", "-c", script), timeout_us)

    def answer(self) -> Answer:
        """Return what the only dataset says."""
        probes = self.probes()
        answer = probes.ask("d")
        while not answer.is_there:
            probes.wait()
        return answer

    def digester(self) -> FileDigester:
        """Return what measures."""
        return FileDigester(
            folder=self.folder,
            datasets=self.places,
            code={},
            cache=DigestCache(None),
            load_manifest=lambda _: None,
            probes=self.probes(),
        )


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Iterator[Bench]:
    prepare_process()
    executor = ProcessExecutor(clock=SystemClock(), new_stream=Redactor([]).stream)
    yield Bench(tmp_path, executor)
    executor.close()


class TestAnswer:
    """What a probe prints stands for the content."""

    def test_output(self, bench: Bench) -> None:
        """Given a probe, then its manifest holds the digest of what it printed, on both streams, and nothing of that itself."""
        bench.has("echo out; echo err >&2")
        answer = bench.answer()
        assert answer.manifest is not None
        said = {"bytes": 8, "digest": "sha256:" + sha256(b"out\nerr\n").hexdigest()}
        assert json.loads(answer.manifest) == {"files": [], "probe": said, "recipe": 1, "strength": "probe"}
        assert (answer.bytes, answer.failure) == (8, None)

    def test_what_it_sees(self, bench: Bench) -> None:
        """Given a probe, then it runs beside the definition, with its variables alone, without input, in a session of its own."""
        bench.has("env | sort > seen; cat; ps -o sid= -p $$ > sid; echo $$ > pid")
        bench.answer()
        seen = dict(line.split("=", 1) for line in (bench.folder / "seen").read_text().splitlines())
        assert seen.keys() - {"_", "SHLVL", "PWD", "OLDPWD"} == {"PATH", "TOKEN", "ORCHESTRATE_PROBE"}
        assert (bench.folder / "sid").read_text().strip() == (bench.folder / "pid").read_text().strip()

    @pytest.mark.parametrize(
        ("script", "failure"),
        [
            ("echo no such table; exit 3", "exit code 3"),
            ("exit 3", "exit code 3"),
            ("echo correct-horse; exit 1", "exit code 1"),
            ("kill -SEGV $$", "ended by SIGSEGV"),
            (f"yes | head -c {OUTPUT_BYTES_MAX + 1}", f"it prints more than {OUTPUT_BYTES_MAX} bytes"),
        ],
    )
    def test_failure(self, bench: Bench, script: str, failure: str) -> None:
        """Given a probe that fails, then there is no answer, and why is told without what it printed, which may be the data."""
        bench.has(script)
        answer = bench.answer()
        assert answer.failure == failure
        assert answer.manifest is None

    def test_as_much_as_is_allowed(self, bench: Bench) -> None:
        """Given output just as long as the limit, then it counts."""
        bench.has(f"yes | head -c {OUTPUT_BYTES_MAX}")
        assert (bench.answer().failure, bench.answer().bytes) == (None, OUTPUT_BYTES_MAX)

    def test_time_is_up(self, bench: Bench) -> None:
        """Given a probe that hangs and ignores TERM, then it is killed with all that it has started."""
        bench.has("trap '' TERM; setsid sleep 60 & echo $! > pid; wait; sleep 60", timeout_us=300_000)
        assert bench.answer().failure == "its time was up (300ms)"
        wait_until(lambda: is_dead(int((bench.folder / "pid").read_text())), "the end of what it has started")

    def test_what_cannot_start(self, bench: Bench) -> None:
        """Given a command that is not there, then that is told."""
        bench.places["d"] = DatasetPlace(None, "**/*", "probe", ("no-such-command",))
        assert "no-such-command is not in PATH" in (bench.answer().failure or "")

    def test_nothing_survives(self, bench: Bench) -> None:
        """Given a probe that leaves processes behind, in its group and escaped, then they are dead when its answer is there."""
        bench.has("sleep 60 > /dev/null 2>&1 & echo $! > a; setsid sleep 60 > /dev/null 2>&1 & echo $! > b; echo done")
        assert bench.answer().failure is None
        for name in "ab":
            assert is_dead(int((bench.folder / name).read_text()))


class TestAmongSteps:
    """Probes and steps are watched by one executor, and kept apart."""

    def test_a_step_is_not_hurt(self, bench: Bench) -> None:
        """Given a step that runs while a probe comes and goes, and the other way round, then neither takes the other for its own."""
        bench.has("sleep 0.2; echo 1")
        probes = bench.probes()
        bench.executor.start(launch(bench.folder, "sleep 0.1; (sleep 0.2; echo late) | cat", step="a"))
        answers = [probes.ask("d")]
        exits: list[Exited] = []
        while not exits:
            exits += bench.executor.poll(None)
            answers += [probes.ask("d")] if len(answers) < 20 else []
        while not all(answer.is_there for answer in answers):
            probes.wait()
        assert [(exited.step, exited.exit_code, exited.survivors) for exited in exits] == [("a", 0, ())]
        assert [answer.failure for answer in answers] == [None] * len(answers)

    def test_many(self, bench: Bench) -> None:
        """Given more datasets than are asked at once, then all answer, those that cannot start too."""
        for number in range(300):
            bench.places[f"d{number}"] = DatasetPlace(None, "**/*", "probe", ("/no/such",))
        for number in range(10):
            bench.has(f"echo {number}", name=f"s{number}")
        probes = bench.probes()
        answers = [probes.ask(name) for name in bench.places]
        while not all(answer.is_there for answer in answers):
            probes.wait()
        assert sum(answer.failure is None for answer in answers) == 10


class TestMeasuring:
    """A digester goes on with other work while a probe runs."""

    def test_others_go_first(self, bench: Bench) -> None:
        """Given a probe that waits, then what was asked for later is measured, and nobody turns in circles."""
        bench.has("while ! test -e go; do sleep 0.01; done; echo 1")
        bench.places["file"] = DatasetPlace(str(bench.folder / "file"), "**/*", "content")
        (bench.folder / "file").write_text("1")
        digester = bench.digester()
        digester.submit(MeasureRequest("slow", {"file": None, "d": None}))
        digester.submit(MeasureRequest("quick", {"file": None}))
        assert [measured.step for measured in digester.advance()] == ["quick"]
        assert not digester.busy
        assert digester.advance() == []
        (bench.folder / "go").touch()
        found: list[Measured] = []
        while not found:
            bench.executor.poll(None)
            found += digester.advance()
        assert found[0].inputs.keys() == {"file", "d"}
        assert None not in found[0].inputs.values()
        assert found[0].extents["d"].bytes == 2

    def test_dropped(self, bench: Bench) -> None:
        """Given probes that nobody waits for any more, running and waiting for their turn, then they are ended."""
        bench.has("echo $$ >> pids; exec sleep 60")
        digester = bench.digester()
        for _ in range(6):
            digester.submit(MeasureRequest("a", {"d": None}))
        digester.advance()
        pids = bench.folder / "pids"
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 4, "the start of the probes")
        digester.drop("a")
        while not all(is_dead(int(pid)) for pid in pids.read_text().split()):
            bench.executor.poll(100_000)
        assert len(pids.read_text().split()) == 4

    def test_path_that_is_asked(self, bench: Bench) -> None:
        """Given a path and a probe, then the path has to exist, and the probe tells whether it changed."""
        bench.has("cat version")
        bench.places["d"] = attrs.evolve(bench.places["d"], path=str(bench.folder / "repository"))
        (bench.folder / "version").write_text("1")
        digester, request = bench.digester(), MeasureRequest("a", {"d": None})
        assert digester.measure(request).inputs == {"d": None}
        (bench.folder / "repository").mkdir()
        before = digester.measure(request).inputs
        (bench.folder / "repository" / "file").touch()
        assert digester.measure(request).inputs == before
        (bench.folder / "version").write_text("2")
        after = digester.measure(attrs.evolve(request, inputs=before))
        assert after.inputs != before
        assert after.files == {}

    def test_what_fails_does_not_exist(self, bench: Bench) -> None:
        """Given a probe that fails, then its dataset has no digest, and why is known."""
        bench.has("echo no table; exit 1")
        measured = bench.digester().measure(MeasureRequest("a", outputs=("d",)))
        assert measured.outputs == {"d": None}
        assert measured.extents["d"].failure == "its probe failed: exit code 1"


class TestPreflight:
    """A source has to answer before anything starts."""

    def test_sources_that_are_read(self, bench: Bench) -> None:
        """Given sources with probes, then those that selected steps read are asked, and each that fails is named with how to try it."""
        pipeline = data_pipeline({"a": ["one", "two"], "b": ["three"], "c": ["a"]})
        asked = {name: Dataset(name, probe=("x",), digest="probe") for name in ("one", "two", "three")}
        pipeline = attrs.evolve(pipeline, datasets={**pipeline.datasets, **asked})
        for name in ("one", "two", "three"):
            bench.has(f"touch {name}; {'true' if name == 'one' else 'exit 1'}", name=name)
        (problem,) = check_probes(pipeline, bench.places, bench.probes(), selected=["a", "c"])
        assert (problem.kind, problem.path) == ("probe_failed", ("datasets", "two", "probe"))
        assert problem.message == "source two: its probe failed: exit code 1"
        assert "try it by hand: /bin/sh -c" in (problem.suggestion or "")
        assert not (bench.folder / "three").exists()
