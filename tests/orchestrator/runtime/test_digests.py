"""Tests of digests of datasets and code, on real files."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from orchestrator.core.output_contract import Extent
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.digests import (
    CodePlace,
    DatasetPlace,
    FileDigester,
    manifest_changes,
    manifest_files,
)
from orchestrator.runtime.ports import Measured, MeasureRequest

OLD_NS = 1_600_000_000_000_000_000


@attrs.define
class Bench:
    """A folder with a dataset in it, and a digester over it."""

    folder: Path
    pattern: str = "**/*"
    strength: str = "content"
    code: CodePlace = attrs.field(factory=CodePlace)
    scratch: Path | None = None
    manifests: dict[str, bytes] = attrs.field(factory=dict)

    def measure(self, request: MeasureRequest, cache: DigestCache | None = None) -> Measured:
        """Answer *request*, and count the turns that it took."""
        digester = FileDigester(
            folder=self.folder,
            datasets={
                "data": DatasetPlace(str(self.folder / "data"), self.pattern, self.strength),
            },
            code={"step": self.code},
            cache=cache or DigestCache(None),
            load_manifest=self.manifests.get,
            redact=lambda name: name.replace("s3cret", "***"),
            scratch=self.scratch,
        )
        digester.submit(request)
        found: list[Measured] = []
        while digester.busy:
            found += digester.advance()
        self.manifests.update(found[0].manifests)
        return found[0]

    def digest(self) -> str | None:
        """Return the digest of the dataset."""
        return self.measure(MeasureRequest("step", {"data": None})).inputs["data"]

    def write(self, name: str, text: str) -> Path:
        """Write a file of the dataset."""
        path = self.folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class TestDataset:
    """A dataset's digest is its content, and nothing else."""

    def test_missing_has_none_and_empty_has_one(self, bench: Bench) -> None:
        """A folder that is not there is told from one without files."""
        assert bench.digest() is None
        (bench.folder / "data").mkdir()
        assert bench.digest() is not None

    def test_times_do_not_matter(self, bench: Bench) -> None:
        """The same content with another modification time has the same digest."""
        path = bench.write("a.csv", "1")
        before = bench.digest()
        os.utime(path, ns=(OLD_NS, OLD_NS))

        assert before == bench.digest()

    @pytest.mark.parametrize("change", ["content", "name", "added", "removed"])
    def test_every_change_of_content_matters(self, bench: Bench, change: str) -> None:
        """Another byte, name or number of files gives another digest."""
        path = bench.write("a.csv", "1")
        bench.write("sub/b.csv", "2")
        before = bench.digest()
        if change == "content":
            path.write_text("3")
        elif change == "name":
            path.rename(path.with_name("c.csv"))
        elif change == "added":
            bench.write("sub/c.csv", "")
        else:
            path.unlink()

        assert before != bench.digest()

    def test_pattern_limits_what_belongs_to_it(self, bench: Bench) -> None:
        """Files that the pattern does not match do not count."""
        bench.pattern = "*.csv"
        bench.write("a.csv", "1")
        before = bench.digest()
        bench.write("notes.txt", "1")
        bench.write("sub/b.csv", "1")

        assert before == bench.digest()

    def test_single_file(self, bench: Bench) -> None:
        """A dataset may be one file."""
        (bench.folder / "data").write_text("1")
        before = bench.digest()
        (bench.folder / "data").write_text("2")

        assert before is not None
        assert before != bench.digest()

    def test_manifest_is_the_content_of_the_digest(self, bench: Bench) -> None:
        """The manifest names each file with its size and digest; its own digest is the dataset's."""
        bench.write("b.csv", "22")
        bench.write("a.csv", "1")
        measured = bench.measure(MeasureRequest("step", outputs=("data",)))
        digest = measured.outputs["data"]

        assert digest is not None
        assert [("a.csv", 1), ("b.csv", 2)] == [
            (name, size) for name, (size, _) in manifest_files(measured.manifests[digest]).items()
        ]

    def test_listing_looks_at_names_sizes_and_times_only(self, bench: Bench) -> None:
        """With `listing` the content is not read, and a new time is a change."""
        bench.strength = "listing"
        path = bench.write("a.csv", "1")
        os.utime(path, ns=(OLD_NS, OLD_NS))
        before = bench.digest()
        path.write_text("2")
        os.utime(path, ns=(OLD_NS, OLD_NS))
        same = bench.digest()
        os.utime(path, ns=(OLD_NS + 1, OLD_NS + 1))

        assert before == same
        assert before != bench.digest()

    def test_changes_against_the_last_success_are_counted(self, bench: Bench) -> None:
        """Given the manifest of last time, then added, changed and removed files are counted."""
        path = bench.write("a.csv", "1")
        gone = bench.write("b.csv", "1")
        before = bench.digest()
        path.write_text("2")
        gone.unlink()
        bench.write("c.csv", "1")
        bench.write("d.csv", "1")

        measured = bench.measure(MeasureRequest("step", {"data": before}))

        assert measured.files == {"data": {"added": 2, "changed": 1, "removed": 1}}

    def test_odd_names_are_kept_apart(self, bench: Bench) -> None:
        """A name that is no UTF-8 has a place in the manifest."""
        bench.write("a", "1")
        (bench.folder / "data" / os.fsdecode(b"\xff")).write_text("1")
        measured = bench.measure(MeasureRequest("step", {"data": None}))

        assert ["\\xff", "a"] == sorted(manifest_files(next(iter(measured.manifests.values()))))

    def test_extent(self, bench: Bench) -> None:
        """How much a dataset is comes with its digest; the digest of a file that is a dataset too."""
        bench.write("a.csv", "n\n1\n")
        bench.write("sub/b.csv", "n\n1\n2\n")
        request = MeasureRequest("step", outputs=("data",), code=False)
        assert bench.measure(request).extents == {"data": Extent(2, 10)}
        counted = bench.measure(attrs.evolve(request, rows=("data",))).extents
        assert counted == {"data": Extent(2, 10, rows=3)}

    def test_extent_of_a_file(self, bench: Bench) -> None:
        """The digest of a file that is a dataset is known too, where its content was read."""
        (bench.folder / "data").write_text("1")
        digest = "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
        request = MeasureRequest("step", outputs=("data",), rows=("data",), code=False)
        found = bench.measure(request).extents["data"]
        assert (found.files, found.bytes, found.file_digest, found.rows) == (1, 1, digest, None)
        assert "are counted" in (found.failure or "")
        bench.strength = "listing"
        assert bench.measure(request).extents["data"].file_digest is None


class TestOddThings:
    """Whatever lies in a dataset's folder, a measurement comes to its end."""

    def test_what_is_no_file_does_not_count(self, bench: Bench) -> None:
        """A FIFO does not hang, a link to nothing or to itself does not fail, a folder is no file."""
        bench.write("a.csv", "1")
        before = bench.digest()
        os.mkfifo(bench.folder / "data" / "fifo")
        (bench.folder / "data" / "dead").symlink_to("gone")
        (bench.folder / "data" / "loop").symlink_to("loop")
        (bench.folder / "data" / "folder").mkdir()

        assert before == bench.digest()

    def test_dataset_that_is_a_link_to_itself(self, bench: Bench) -> None:
        """It does not exist, as for whoever would read it."""
        (bench.folder / "data").symlink_to("data")

        assert bench.digest() is None

    def test_dataset_below_a_file(self, bench: Bench) -> None:
        """It does not exist either."""
        (bench.folder / "file").touch()
        places = {"data": DatasetPlace(str(bench.folder / "file" / "data"), "*", "content")}

        asked = digester(bench, places)
        asked.submit(MeasureRequest("step", {"data": None}))
        assert asked.advance()[0].inputs == {"data": None}

    def test_link_to_a_file_counts_with_its_content(self, bench: Bench) -> None:
        """What a step would read is what is measured."""
        (bench.folder / "elsewhere").write_text("1")
        (bench.folder / "data").mkdir()
        (bench.folder / "data" / "a").symlink_to("../elsewhere")
        before = bench.digest()
        (bench.folder / "elsewhere").write_text("2")

        assert before != bench.digest()

    def test_file_that_cannot_be_read_has_an_entry(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """The step may not need it; one that becomes readable is a change."""
        bench.write("a.csv", "1")
        before = bench.digest()
        monkeypatch.setattr("builtins.open", _refuse)
        unreadable = bench.digest()
        monkeypatch.undo()

        assert unreadable not in (None, before)
        assert "unreadable:13:" in str(bench.manifests[str(unreadable)])

    def test_single_file_of_many_chunks(self, bench: Bench) -> None:
        """It gives way like a folder."""
        with (bench.folder / "data").open("wb") as file:
            file.truncate(3 << 20)

        assert bench.digest() is not None

    def test_many_files(self, bench: Bench) -> None:
        """The listing of a large folder gives way too."""
        for number in range(600):
            bench.write(f"{number}.csv", "")
        digest = bench.digest()

        assert 600 == len(manifest_files(bench.manifests[str(digest)]))

    def test_work_goes_on_where_it_stopped(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given no time at all, then each call does a little, and the digest is the same."""
        for number in range(300):
            bench.write(f"{number}.csv", "x")
        with (bench.folder / "data" / "big").open("wb") as file:
            file.truncate(5 << 20)
        expected = bench.digest()
        monkeypatch.setattr("orchestrator.runtime.digests._BUDGET_NS", -1)

        assert expected == bench.digest()


class TestLargeFile:
    """A large file is hashed a little at a time."""

    def test_gives_way_while_it_works(self, bench: Bench) -> None:
        """Given a file of many chunks, then one call does not do it all."""
        path = bench.write("big", "")
        with path.open("wb") as file:
            file.truncate(256 << 20)
        digester = FileDigester(
            folder=bench.folder,
            datasets={"data": DatasetPlace(str(bench.folder / "data"), "**/*", "content")},
            code={},
            cache=DigestCache(None),
            load_manifest=lambda _: None,
        )
        digester.submit(MeasureRequest("step", {"data": None}))

        assert digester.advance() == []
        assert digester.busy


class TestCode:
    """Code is the files that a command names, and those that globs match."""

    def test_words_and_globs(self, bench: Bench) -> None:
        """Given words and globs, then each existing file is digested once, by its relative path."""
        (bench.folder / "lib").mkdir()
        (bench.folder / "run.py").write_text("1")
        (bench.folder / "lib/a.py").write_text("1")
        bench.code = CodePlace(("run.py", "missing.py", "lib"), ("lib/*.py", "run.py"))

        code = bench.measure(MeasureRequest("step")).code

        assert sorted(code) == ["lib/a.py", "run.py"]

    def test_code_is_left_out_where_it_is_not_asked_for(self, bench: Bench) -> None:
        """After an attempt only outputs are measured."""
        bench.code = CodePlace(("run.py",))
        (bench.folder / "run.py").write_text("1")

        assert bench.measure(MeasureRequest("step", code=False)).code == {}

    def test_large_code_gives_way(self, bench: Bench) -> None:
        """A binary of many megabytes is hashed a little at a time."""
        with (bench.folder / "tool").open("wb") as file:
            file.truncate(3 << 20)
        bench.code = CodePlace(("tool", "a\0b"))

        assert ["tool"] == list(bench.measure(MeasureRequest("step")).code)

    def test_step_without_code(self, bench: Bench) -> None:
        """There is nothing to look for."""
        assert bench.measure(MeasureRequest("another")).code == {}


class TestCache:
    """The cache saves work and never decides."""

    def test_same_file_is_not_read_again(self, bench: Bench, tmp_path: Path) -> None:
        """Given an old file, then its digest is taken from the cache, also by a later run."""
        path = bench.write("a.csv", "1")
        status = path.stat()
        cache = DigestCache(tmp_path / "cache/digests.db")
        cache.put(str(path), attrs_stat(status, OLD_NS), "sha256:known")
        cache.close()

        later = DigestCache(tmp_path / "cache/digests.db", read_only=True)

        assert later.get(str(path), attrs_stat(status, OLD_NS)) == "sha256:known"
        assert later.get(str(path), attrs_stat(status, OLD_NS + 1)) is None
        later.close()

    def test_measurement_believes_the_cache(self, bench: Bench, tmp_path: Path) -> None:
        """Given an old file, then what was found of it once is not read again."""
        path = bench.write("a.csv", "1")
        status = attrs_stat(path.stat(), OLD_NS)
        cache = DigestCache(None)
        cache.put(str(path), status, "sha256:known")
        cache._new[str(path)] = (
            os.fsencode(path), 1, path.stat().st_mtime_ns, path.stat().st_ctime_ns, path.stat().st_ino, "sha256:known"
        )  # fmt: skip
        measured = bench.measure(MeasureRequest("step", {"data": None}), cache)

        assert {"a.csv": (1, "sha256:known")} == manifest_files(next(iter(measured.manifests.values())))

    def test_file_that_just_changed_is_not_entered(self, bench: Bench, tmp_path: Path) -> None:
        """Given a file of this very second, then its digest is not trusted later."""
        path = bench.write("a.csv", "1")
        cache = DigestCache(tmp_path / "digests.db")
        cache.put(str(path), path.stat(), "sha256:early")

        assert cache.get(str(path), path.stat()) is None
        cache.close()

    @pytest.mark.parametrize("content", [b"not a database" * 100, b""])
    def test_broken_cache_is_only_slower(self, bench: Bench, tmp_path: Path, content: bytes) -> None:
        """Given a file that is no cache, then digests are right all the same."""
        (tmp_path / "digests.db").write_bytes(content)
        bench.write("a.csv", "1")
        cache = DigestCache(tmp_path / "digests.db")

        measured = bench.measure(MeasureRequest("step", {"data": None}), cache)
        cache.close()

        assert measured.inputs["data"] == bench.digest()


class TestManifestChanges:
    """Two manifests are compared file by file."""

    def test_nothing_before_means_all_added(self, bench: Bench) -> None:
        """A manifest that is not there counts as empty."""
        bench.write("a", "1")
        measured = bench.measure(MeasureRequest("step", {"data": None}))
        manifest = next(iter(measured.manifests.values()))

        assert manifest_changes(None, manifest)["added"] == ["a"]
        assert manifest_changes(manifest, None)["removed"] == ["a"]
        assert manifest_changes(manifest, manifest)["same"] == ["a"]


def digester(bench: Bench, places: dict[str, DatasetPlace]) -> FileDigester:
    """Return a digester of *places*."""
    return FileDigester(
        folder=bench.folder,
        datasets=places,
        code={},
        cache=DigestCache(None),
        load_manifest=lambda _: None,
    )


def _refuse(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def attrs_stat(status: os.stat_result, changed_ns: int) -> os.stat_result:
    """Return *status* as if the file had last changed at *changed_ns*."""
    values = list(status)
    extra = {"st_mtime_ns": changed_ns, "st_ctime_ns": changed_ns, "st_atime_ns": changed_ns}
    return os.stat_result(values, extra)


class TestScratch:
    """Runs are run again in a folder below the pipeline's own; nothing of it is the pipeline's."""

    def test_what_lies_there_is_not_seen(self, bench: Bench) -> None:
        """Given a dataset and code that take in everything, then they are what they were before a reproduction was kept there."""
        bench.write("a.csv", "1")
        (bench.folder / "run.py").write_text("")
        bench.code = CodePlace((), ("**/*.py",))
        bench.scratch = bench.folder / "data" / "reproductions"
        before = bench.measure(MeasureRequest("step", {"data": None}))
        bench.write("reproductions/run-1/a.csv", "1")
        bench.write("reproductions/run-1/run.py", "")
        after = bench.measure(MeasureRequest("step", {"data": None}))

        assert (before.inputs, before.code) == (after.inputs, after.code)
        assert list(after.code) == ["run.py"]
        bench.write("reproductions.csv", "1")
        assert bench.digest() != before.inputs["data"]


class TestNames:
    """Names of files are recorded, so they are redacted."""

    def test_a_secret_in_a_name_is_masked(self, bench: Bench) -> None:
        """In manifests and among the code; two such files stay two."""
        for name in ("x_s3cret.csv", "y_s3cret.csv"):
            bench.write(name, name)
        (bench.folder / "s3cret.py").write_text("")
        bench.code = CodePlace(("s3cret.py",), ("*.py",))
        measured = bench.measure(MeasureRequest("step", {"data": None}))

        (manifest,) = measured.manifests.values()
        assert ["x_***.csv", "y_***.csv"] == sorted(manifest_files(manifest))
        assert ["***.py"] == list(measured.code)

    def test_names_that_are_written_alike(self, bench: Bench) -> None:
        """Given two files whose recorded names are equal, then the manifest does not depend on the order in which the disk names them."""
        digests = []
        for contents in ("12", "21"):
            for name, content in zip(("x\udcff.csv", r"x\xff.csv"), contents, strict=True):
                bench.write(name, content)
            digests.append(bench.digest())

        assert digests[0] == digests[1]
