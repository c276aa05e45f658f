"""Tests of an output against the recorded one: by digest, file by file, by content."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from orchestrator.core.reproduction import DatasetVerdict
from orchestrator.runtime import dataset_comparison
from orchestrator.runtime.content_comparison import Comparison, compare_files
from orchestrator.runtime.dataset_comparison import Output, compare_dataset
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.digests import DatasetPlace, FileDigester
from orchestrator.runtime.ports import MeasureRequest


@attrs.define
class Sides:
    """Two folders that hold the same dataset, measured as a run measures them."""

    folder: Path
    strength: str = "content"
    file: str = ""
    manifests: dict[str, bytes] = attrs.field(factory=dict)

    def write(self, side: str, **files: str) -> str:
        """Write *files* of a *side*, given without their ending, and return the digest of the dataset."""
        folder = self.folder / side
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            Path(folder, name.replace("_", ".")).write_text(text, encoding="utf-8")
        return self.digest(side)

    def place(self, side: str) -> DatasetPlace:
        """Return where it lies."""
        return DatasetPlace(str(self.folder / side / self.file), "**/*", self.strength)

    def digest(self, side: str) -> str:
        """Return the digest of the dataset as it lies there now."""
        cache = DigestCache(self.folder / f"{side}.db")
        digester = FileDigester(
            folder=self.folder, datasets={"d": self.place(side)}, code={}, cache=cache, load_manifest=lambda _: None
        )
        measured = digester.measure(MeasureRequest("s", outputs=("d",)))
        cache.close()
        self.manifests.update(measured.manifests)
        return str(measured.outputs["d"])

    def compared(self, expected: str, actual: str, *, withheld: bool = False) -> DatasetVerdict:
        """Compare both sides."""
        output = Output("d", self.place("then"), self.place("now"), is_withheld=withheld)
        return compare_dataset(
            output, expected, actual, manifest=self.manifests.get, redact=lambda text: text.replace("secret", "***")
        )


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """Give both sides, empty."""
    return Sides(tmp_path)


def test_each_file(sides: Sides) -> None:
    """Given files that are the same, equivalent, different, gone and new, then each that differs is named with how."""
    then = sides.write("then", a_csv="n\n1\n", b_json='{"a": 1, "b": 2}', c_csv="secret,x\n1,2\n", d_txt="1", e_csv="")
    now = sides.write("now", a_csv="n\n1\n", b_json='{"b": 2, "a": 1}', c_csv="secret,x\n2,2\n", d_txt="2", f_csv="")
    found = sides.compared(then, now)
    assert (found.verdict, found.expected, found.actual) == ("different", then, now)
    assert {file.path: (file.verdict, dict(file.detail)) for file in found.files} == {
        "b.json": ("equivalent", {"bytes": [16, 16], "rows": [1, 1]}),
        "c.csv": (
            "different",
            {"bytes": [13, 13], "rows": [1, 1], "rows_removed": 1, "rows_added": 1, "columns": ["***"]},
        ),
        "d.txt": ("different", {"bytes": [1, 1], "not_compared": "its form is not known"}),
        "e.csv": ("different", {"only": "then"}),
        "f.csv": ("different", {"only": "now"}),
    }


def test_equivalent_as_a_whole(sides: Sides) -> None:
    """Given that every file which differs is equivalent, then the dataset is."""
    then, now = sides.write("then", a_csv="n\n1\n"), sides.write("now", a_csv="n\r\n1\r\n")
    assert sides.compared(then, now).verdict == "equivalent"
    assert sides.compared(then, then) == DatasetVerdict("d", "identical", then, then)


def test_a_recorded_file_that_was_written_since(sides: Sides) -> None:
    """Given that the recorded file is another one now, gone, or a FIFO that nobody writes into, then its content cannot be compared, and it counts as different."""
    then, now = sides.write("then", a_csv="n\n1\n"), sides.write("now", a_csv="n\r\n1\r\n")
    sides.write("then", a_csv="n\n1\n2\n")
    (file,) = sides.compared(then, now).files
    assert (file.verdict, "not there any more" in str(file.detail["not_compared"])) == ("different", True)
    (sides.folder / "then" / "a.csv").unlink()
    assert sides.compared(then, now).verdict == "different"
    os.mkfifo(sides.folder / "then" / "a.csv")
    assert [(item.path, item.detail["not_compared"]) for item in sides.compared(then, now).files] == [
        ("a.csv", file.detail["not_compared"])
    ]


def test_a_recorded_file_that_is_written_meanwhile(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given that a night writes the recorded file while it is compared, then what was read of it says nothing."""
    then, now = sides.write("then", a_csv="n\n1\n"), sides.write("now", a_csv="n\r\n1\r\n")
    recorded = sides.folder / "then" / "a.csv"

    def disturbed(before: str, after: str, name: str) -> Comparison:
        found = compare_files(before, after, name)
        recorded.write_text("n\n2\n", encoding="utf-8")
        return found

    monkeypatch.setattr(dataset_comparison, "compare_files", disturbed)
    (file,) = sides.compared(then, now).files
    assert (file.verdict, "not there any more" in str(file.detail["not_compared"])) == ("different", True)


def test_what_cannot_be_read(sides: Sides) -> None:
    """Given a file that is not of its form, then it is different, and it is said why it was not compared."""
    then, now = sides.write("then", a_json="{"), sides.write("now", a_json="{}")
    (file,) = sides.compared(then, now).files
    assert str(file.detail["not_compared"]).startswith("it is not what its name tells")


def test_another_order(sides: Sides) -> None:
    """Given the same rows in another order, then that is said."""
    then, now = sides.write("then", a_csv="n\n1\n2\n"), sides.write("now", a_csv="n\n2\n1\n")
    (file,) = sides.compared(then, now).files
    assert (file.verdict, file.detail["reordered"]) == ("different", True)


def test_names_that_may_be_data(sides: Sides) -> None:
    """Given data of which no text may be recorded, then columns are counted and not named; many are cut."""
    head = ",".join(f"c{number}" for number in range(60))
    then = sides.write("then", a_csv=f"{head}\n{'1,' * 59}1\n")
    now = sides.write("now", a_csv=f"{head}\n{'2,' * 59}2\n")
    (file,) = sides.compared(then, now, withheld=True).files
    assert (file.detail["columns_withheld"], "columns" in file.detail) == (60, False)
    (file,) = sides.compared(then, now).files
    columns = file.detail["columns"]
    assert isinstance(columns, list)
    assert (len(columns), file.detail["more_columns"]) == (50, 10)
    (file,) = sides.compared(
        sides.write("then", a_csv="n\n1\n"), sides.write("now", a_csv="n\n1\n1\n"), withheld=True
    ).files
    assert "columns_withheld" not in file.detail


def test_known_by_their_times(tmp_path: Path) -> None:
    """Given files that are known by size and time, then their contents are read, and equal ones do not differ."""
    sides = Sides(tmp_path, "listing")
    sides.write("then", a_csv="n\n1\n", b_csv="n\n1\n")
    sides.write("now", a_csv="n\n1\n", b_csv="n\n2\n")
    os.utime(tmp_path / "then" / "a.csv", ns=(1, 1))
    os.utime(tmp_path / "then" / "b.csv", ns=(1, 1))
    found = sides.compared(sides.digest("then"), sides.digest("now"))
    assert [file.path for file in found.files] == ["b.csv"]
    sides.write("now", b_csv="n\n1\n")
    assert sides.compared(sides.digest("then"), sides.digest("now")).verdict == "identical"


def test_without_a_manifest(sides: Sides) -> None:
    """Given a manifest that is not kept, or a dataset that is not there, then the digests alone speak."""
    then = sides.write("then", a_csv="n\n")
    assert sides.compared(then, "sha256:0").files == ()
    missing = compare_dataset(
        Output("d", sides.place("then"), sides.place("now")), then, None, manifest=sides.manifests.get, redact=str
    )
    assert (missing.verdict, missing.actual) == ("different", None)


def test_a_file_alone(tmp_path: Path) -> None:
    """Given a dataset that is a file, then its own name tells its form."""
    sides = Sides(tmp_path, file="a.csv")
    found = sides.compared(sides.write("then", a_csv="n\n1\n"), sides.write("now", a_csv="n\r\n1\r\n"))
    assert (found.verdict, found.files[0].path) == ("equivalent", "")
