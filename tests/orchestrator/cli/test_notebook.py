"""The notebooks that are shipped: pairs in step, copies, parameters, pages that ask nobody, and every cell on ledgers of every kind."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from pathlib import Path

import jupytext
import nbformat
import pytest

from ledger.errors import MissingExtraError
from ledger.store import open_ledger
from orchestrator.cli.app import run_command
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.notebooks import executing, page, shipped
from orchestrator.cli.notebooks.parameters import chosen_parameters, defaults_of
from orchestrator.core.events import RunReproduced
from orchestrator.history import History, IncompleteHistoryWarning
from orchestrator.projections.read_models import ReadModels
from tests.notebook_cells import NAMES, NOTEBOOKS, outputs_of
from tests.programs import ended, no_traceback, started, wait_until
from tests.quarter import ACTOR, Quarter
from tests.years import Years


class TestPairs:
    """What a review reads is what is executed."""

    @pytest.mark.parametrize("name", NAMES)
    def test_in_step(self, name: str) -> None:
        """The notebook has the cells of its text, no output, and says which interpreter it is for."""
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        text = jupytext.read(NOTEBOOKS / f"{name}.py")

        cells = [(cell.cell_type, cell.source, cell.metadata.get("tags")) for cell in notebook.cells]
        assert cells == [(cell.cell_type, cell.source, cell.metadata.get("tags")) for cell in text.cells]
        assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
        assert notebook.metadata.kernelspec.name == "python3"
        nbformat.validate(notebook)

    @pytest.mark.parametrize("name", NAMES)
    def test_cells_are_short(self, name: str) -> None:
        """A cell of code fits a glance, and prose stands before the first one of each part."""
        for cell in jupytext.read(NOTEBOOKS / f"{name}.py").cells:
            assert len(cell.source.splitlines()) <= 12, cell.source

    def test_every_notebook_is_known(self) -> None:
        """The command, the folder and the tests have the same ones."""
        assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(shipped.NOTEBOOKS) == sorted(NAMES)
        assert shipped.shipped_notebook("audit") == NOTEBOOKS / "audit.ipynb"
        with pytest.raises(FileNotFoundError, match="install orchestrate again"):
            shipped.shipped_notebook("nothing")


class TestCopy:
    """A notebook to edit."""

    def test_it_is_written_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given a name, then the notebook is there for its owner alone; what is there already stays, whatever it is."""
        monkeypatch.chdir(tmp_path)
        assert run_command(["notebook", "copy", "history"]) == 0
        copy = tmp_path / "history.ipynb"
        assert copy.read_bytes() == (NOTEBOOKS / "history.ipynb").read_bytes()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        copy.write_text("edited", encoding="utf-8")
        (tmp_path / "folder").mkdir()
        assert run_command(["notebook", "copy", "audit", "folder"]) == 0
        assert (tmp_path / "folder/audit.ipynb").is_file()
        capsys.readouterr()

        assert run_command(["notebook", "copy", "history"]) == 2
        assert "history.ipynb exists and is left as it is" in capsys.readouterr().err
        assert copy.read_text(encoding="utf-8") == "edited"
        assert run_command(["notebook", "copy", "history", str(tmp_path / ".orchestrate/logs/x")]) == 2
        assert run_command(["notebook", "copy", "nothing"]) == 2
        capsys.readouterr()
        assert run_command(["notebook", "copy", "history", "nowhere/x.ipynb"]) == 2
        assert "nowhere/x.ipynb cannot be written: No such file or directory" in capsys.readouterr().err


class TestParameters:
    """What a notebook is executed with."""

    def test_chosen(self) -> None:
        """What is given goes over what is known of the ledger, in the type of the default."""
        source = NOTEBOOKS / "history.ipynb"
        own = {"ledger": "/l.db", "pipeline": "shop", "other": "x"}
        found = chosen_parameters(source, [("since", "2026-01-01"), ("verify", "no")], own)
        assert found == {"ledger": "/l.db", "pipeline": "shop", "since": "2026-01-01", "verify": False}
        assert set(defaults_of(source)) >= {"ledger", "since", "until", "split", "run", "verify"}

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (("sinec", "x"), "no parameter 'sinec'. Did you mean 'since'?"),
            (("zzz", "x"), "no parameter 'zzz'. There are: ledger, pipeline,"),
            (("verify", "perhaps"), "verify is 'perhaps', expected true or false"),
        ],
    )
    def test_refused(self, given: tuple[str, str], message: str) -> None:
        """A parameter that is not there, and a value that is none, are named."""
        with pytest.raises(UsageRefusedError) as refused:
            chosen_parameters(NOTEBOOKS / "history.ipynb", [given], {})
        assert message in str(refused.value)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--html", "-", "--json"], "only one of --html - and --json"),
            (["--html", ".orchestrate/ledger.db"], "is a file of the ledger"),
            (["--html", "."], "'.' is no name of a file"),
            (["--html", "nowhere/x.html"], "nowhere/x.html cannot be written: there is no folder "),
            ([], "there is no ledger at"),
        ],
    )
    def test_usage(
        self,
        arguments: list[str],
        message: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """What cannot be done is said before anything is executed, and nothing is written."""
        monkeypatch.chdir(tmp_path)
        assert run_command(["notebook", "history", *arguments]) == 2
        said = capsys.readouterr()
        assert message in said.err + said.out
        assert list(tmp_path.iterdir()) == []

    def test_missing_extra(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Without the extra, the line that installs it is said, with exit code 2."""
        monkeypatch.setattr(shipped, "_NEEDED", ("nothing_of_this_name",))
        with pytest.raises(MissingExtraError):
            shipped.need_extra()
        assert run_command(["notebook", "audit"]) == 2
        assert 'a notebook needs the extra notebooks: pip install "orchestrate[notebooks]"' in capsys.readouterr().err


class TestExecution:
    """Executed with this interpreter, in a folder of its own."""

    def test_private_and_gone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What Jupyter and IPython keep is kept where nobody else looks, and not kept."""
        monkeypatch.setenv("IPYTHONDIR", "mine")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with executing._private_folder() as folder:
            assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())} == {0o700}
            assert os.environ["JUPYTER_RUNTIME_DIR"] == str(folder / "runtime")
            assert os.environ["IPYTHONDIR"].startswith(str(folder))
        assert not folder.exists()
        assert os.environ["IPYTHONDIR"] == "mine"
        assert "JUPYTER_RUNTIME_DIR" not in os.environ

    def test_a_page_asks_nobody(self) -> None:
        """Given cells with markup, scripts and addresses in their outputs, then the policy of the page stands before them."""
        notebook = nbformat.v4.new_notebook()
        output = nbformat.v4.new_output("display_data", {"text/html": "<b>bold</b>"})
        notebook.cells = [
            nbformat.v4.new_markdown_cell("# A *title*"),
            nbformat.v4.new_code_cell("x = 1", outputs=[output]),
        ]
        plain, with_code = (page.page_of(notebook, "<audit>", code=code) for code in (False, True))
        assert plain.index(page.POLICY) < plain.index("<b>bold</b>")
        assert "<title>&lt;audit&gt;</title>" in plain
        assert "<script" not in plain + with_code
        assert ('class="n">x<' in plain, 'class="n">x<' in with_code) == (False, True)


@pytest.fixture(scope="module", name="ledgers")
def _ledgers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ledgers")
    with Quarter(folder / "quarter.db") as quarter, Quarter(folder / "one.db") as one:
        quarter.live_through()
        one.at("2026-01-01").run("2026-01-01", status="failed")
    return {name: folder / f"{name}.db" for name in ("quarter", "one")}


class TestCells:
    """Every cell, on ledgers of every kind."""

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("kind", ["quarter", "one"])
    def test_little_data(self, name: str, kind: str, ledgers: dict[str, Path]) -> None:
        """Given few nights, then every cell shows something, and what is empty is a sentence."""
        shown = outputs_of(name, ledgers[kind])
        assert any(text.startswith("*") for text in shown)
        assert "orchestrate-ledger/" in shown[0]

    def test_no_run(self, tmp_path: Path) -> None:
        """Given a ledger without a run, then the notebook says that there is nothing to look at."""
        open_ledger(tmp_path / "ledger.db", projections=[ReadModels()]).close()
        with pytest.raises(ValueError, match="holds no run"):
            outputs_of("history", tmp_path / "ledger.db")

    def test_unknown_run(self, ledgers: dict[str, Path]) -> None:
        """Given a run that is none of the pipeline and its nights, then that is said, as of a pipeline; one that is, is looked at."""
        with pytest.raises(ValueError, match="there is no run 'nosuch' of this pipeline in these nights"):
            outputs_of("history", ledgers["one"], run="nosuch", verify=False)
        (known,) = History(ledgers["one"], verify=False).runs()["run_id"]
        assert outputs_of("history", ledgers["one"], run=known, verify=False)

    def test_verdicts_are_of_the_chosen_pipeline(self, tmp_path: Path) -> None:
        """Given two pipelines whose runs were reproduced, then the tables of verdicts have those of the chosen one alone, in the chosen nights."""
        with Quarter(tmp_path / "ledger.db") as quarter:
            for day in ("2026-01-01", "2026-01-02"):
                for pipeline, step in (("shop", f"sell{day[-2:]}"), ("mart", "stock")):
                    run = quarter.at(day).run(day, pipeline=pipeline)
                    told = RunReproduced(
                        pipeline, run, None, "different", ({"step": step, "verdict": "different"},), (), {}, ACTOR, {"step": step}
                    )  # fmt: skip
                    quarter.record(f"pipeline/{pipeline}", told)
        shown = "".join(outputs_of("reproducibility", tmp_path / "ledger.db", pipeline="shop", until="2026-01-01"))
        assert shown.count(">sell01<") == 2
        assert "sell02" not in shown
        assert "stock" not in shown

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_two_years(self, tmp_path: Path) -> None:
        """Given 730 nights, then every chart is drawn: nothing is too much, and what changed is marked."""
        Years(tmp_path / "ledger.db", 730)
        with contextlib.suppress(IncompleteHistoryWarning):
            shown = {name: outputs_of(name, tmp_path / "ledger.db") for name in NAMES}
        pictures = {name: sum("<img" in text for text in texts) for name, texts in shown.items()}
        assert pictures == {"audit": 5, "history": 10, "reproducibility": 3}


class TestToldToEnd:
    """A notebook that is ended leaves nothing behind."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    def test_nothing_is_left(self, number: signal.Signals, ledgers: dict[str, Path], tmp_path: Path) -> None:
        """Given TERM, HUP or Ctrl-C while the kernel is started, then the exit code is that of the signal, and neither its folder nor a file of its connection is left."""
        temporary = tmp_path / "t"
        temporary.mkdir()
        command = ("notebook", "audit", "-q", "--ledger", str(ledgers["one"]))
        with started(*command, cwd=tmp_path, env={"TMPDIR": str(temporary)}) as process:
            wait_until(lambda: list(temporary.glob("orchestrate-*/runtime/kernel.json")), "no kernel")
            assert [path.name.startswith("orchestrate-") for path in temporary.iterdir()] == [True]
            process.send_signal(number)
            done = ended(process)
        no_traceback(done)
        assert done.returncode == 128 + number
        assert list(temporary.iterdir()) == []
        assert [path.name for path in tmp_path.iterdir()] == ["t"]
