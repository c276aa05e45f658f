"""The notebooks as a user executes them, on sixty real nights: pages that a browser shows without a network, whatever the user's own Jupyter is."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import nbformat
import pytest

from tests.counting import count
from tests.notebook_cells import NAMES
from tests.programs import Json, program, value_of
from tests.system.test_report_in_browser import Browser, Visit, browser, visit  # noqa: F401 - a fixture

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(1800)]

PICTURES = {"audit": 4, "history": 8, "reproducibility": 1}
"""How many charts a page has at least."""

_FROM_ELSEWHERE = re.compile(r"(?:src|href)=[\"']?(?:https?:)?//|@import|url\(\s*[\"']?https?:|import\(", re.IGNORECASE)


@pytest.fixture(scope="module", name="flights")
def _flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flights")
    done = program("demo", "--nights", "60", "demo", cwd=folder, timeout=1200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return folder / "demo"


@pytest.fixture(scope="module", name="pages")
def _pages(flights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Execute each notebook, as somebody whose own kernel named python3 is broken and whose configuration is too."""
    folder = tmp_path_factory.mktemp("pages")
    home, temporary = folder / "home", folder / "tmp"
    kernel = home / ".local/share/jupyter/kernels/python3/kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["false"], "display_name": "broken", "language": "python"}), encoding="utf-8")
    startup = home / ".ipython/profile_default/startup/00-fail.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("raise SystemExit('not mine')", encoding="utf-8")
    temporary.mkdir(mode=0o700)
    env = {"HOME": str(home), "TMPDIR": str(temporary), "PATH": os.environ["PATH"]}
    pages = {}
    for name in NAMES:
        page = folder / f"{name}.html"
        options = ["--html", str(page), "--output", str(folder / f"{name}.ipynb"), "--json"]
        value: Json = value_of(program("notebook", name, *options, cwd=flights, env=env, timeout=400), "notebook")
        assert value == {"notebook": name, "html": str(page), "output": str(folder / f"{name}.ipynb")}
        pages[name] = page
    # What it worked with is gone.
    assert list(temporary.iterdir()) == []
    return pages


class TestPages:
    """One file each, that needs nothing else."""

    @pytest.mark.parametrize("name", NAMES)
    def test_complete_and_offline(self, name: str, pages: dict[str, Path]) -> None:
        """Given a page, then it has its charts and its checkpoint, no script, and nothing of it comes from elsewhere."""
        text = pages[name].read_text(encoding="utf-8")
        assert text.count("data:image/svg+xml;base64,") >= PICTURES[name]
        assert "orchestrate-ledger/" in text
        assert "<strong>It verifies</strong>" in text
        assert "<script" not in text
        assert _FROM_ELSEWHERE.search(text) is None
        assert "Traceback" not in text
        assert stat.S_IMODE(pages[name].stat().st_mode) == 0o600
        count("bytes of notebook pages", len(text))

    @pytest.mark.parametrize("name", NAMES)
    def test_the_notebook_is_kept_too(self, name: str, pages: dict[str, Path]) -> None:
        """Given `--output`, then the executed notebook is there, with its outputs and no trace of where it was executed."""
        path = pages[name].with_suffix(".ipynb")
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert [cell for cell in notebook.cells if cell.get("outputs")]
        assert "papermill" not in notebook.metadata
        assert "orchestrate-" + "runtime" not in path.read_text(encoding="utf-8")

    @pytest.mark.needs("chromium")
    @pytest.mark.parametrize("name", NAMES)
    def test_in_a_browser(self, name: str, pages: dict[str, Path], browser: Browser) -> None:  # noqa: F811 - the fixture
        """Given a browser without a way to any host, then every picture is drawn, the console says nothing, and nobody is asked."""
        seen: Visit = visit(browser, pages[name])
        assert seen.dom.count("data:image/svg+xml;base64,") >= PICTURES[name]
        assert seen.console == []
        assert seen.hosts == set()


class TestCommand:
    """How the command behaves on the way."""

    def test_progress_and_parameters(self, flights: Path, tmp_path: Path) -> None:
        """Given a pipe in the place of a terminal, then the page goes to stdout, and what is wrong with a parameter's value ends with 2."""
        done = program("notebook", "reproducibility", "--html", "-", "--code", cwd=flights, timeout=400)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("<!doctype html>")
        assert 'class="highlight' in done.stdout
        wrong = program("notebook", "reproducibility", "-p", "pipeline", "nothing", cwd=flights, timeout=400)
        assert wrong.returncode == 2
        assert "stopped: ValueError: the ledger knows no pipeline 'nothing': there are flights" in wrong.stderr
        assert not (flights / "reproducibility.html").exists()
