"""
The documentation says what is true: its code runs, its links lead somewhere, its decisions are held by tests.

`console` and `python` blocks of a page are executed in order in one sandbox; `bash` blocks are checked against the
program's own options; `toml`, `json`, `yaml` and `sql` blocks are read by what reads them in earnest. Directives stand
in `tests/documents.py`. In expected output `...` matches anything and runs of blanks are alike.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml

from orchestrator.runtime.definition_file import read_definition
from tests.conftest import OrchestrateCommand
from tests.documents import (
    LANGUAGES,
    ROOT,
    Block,
    Example,
    blocks_of,
    commands_in,
    examples_of,
    front_matter_of,
    links_of,
    pages,
    sections_of,
)
from tests.programs import PROGRAM

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
DECISIONS = sorted((ROOT / "docs/adr").glob("[0-9][0-9][0-9][0-9]-*.md"))
MARK = "--- end of command "

PIPELINE = """
[pipeline]
name = "tiny"
[steps.one]
command = ["true"]
"""


def _of(*languages: str) -> pytest.MarkDecorator:
    chosen = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.place)


def _relative(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class TestBlocks:
    """Fenced blocks that are read, not run."""

    @pytest.mark.parametrize("page", PAGES, ids=_relative)
    def test_every_block_names_a_language_that_is_checked(self, page: Path) -> None:
        """A fence without a language would escape these tests."""
        assert [block.place for block in blocks_of(page) if block.language not in LANGUAGES] == []

    @_of("json", "jsonl")
    def test_json_is_json(self, block: Block) -> None:
        """A JSON block parses, a JSON lines block line by line."""
        for document in block.text.splitlines() if block.language == "jsonl" else [block.text]:
            json.loads(document)

    @_of("yaml")
    def test_yaml_is_yaml(self, block: Block) -> None:
        """A YAML block parses."""
        yaml.safe_load(block.text)

    @_of("toml")
    def test_toml_is_toml(self, block: Block) -> None:
        """A TOML block parses."""
        tomllib.loads(block.text)

    @_of("toml")
    def test_a_whole_definition_is_a_right_one(self, block: Block, tmp_path: Path) -> None:
        """A block with a `[pipeline]` table has no problem in its definition; what it names need not exist."""
        if "pipeline" not in tomllib.loads(block.text):
            return
        (tmp_path / "pipeline.toml").write_text(block.text, encoding="utf-8")
        assert read_definition(tmp_path / "pipeline.toml").warnings == ()

    @_of("python")
    def test_python_compiles(self, block: Block) -> None:
        """Also where it is not run."""
        ast.parse(block.text, block.place)

    @_of("bash")
    def test_shell_text_is_shell(self, block: Block) -> None:
        """`bash -n` reads it."""
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    @_of("bash", "console")
    def test_commands_and_options_exist(self, block: Block) -> None:
        """Every `orchestrate …` is understood by the program, every `make …` has its target."""
        text = block.text
        if block.language == "console":
            text = "\n".join(example.command for example in examples_of(block))
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        for arguments in commands_in(text, "make"):
            assert {word for word in arguments if re.fullmatch(r"[a-z]+", word)} <= targets, arguments
        for arguments in commands_in(text, "orchestrate"):
            assert _complaint(*arguments) == ""

    @pytest.mark.system
    @_of("sql")
    def test_sql_fits_the_ledger(self, block: Block, tmp_path: Path, orchestrate: OrchestrateCommand) -> None:
        """Each statement compiles against the tables of a ledger in which something ran."""
        (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
        assert orchestrate("run").returncode == 0
        connection = sqlite3.connect(f"file:{tmp_path}/.orchestrate/ledger.db?mode=ro", uri=True)
        try:
            for statement in filter(str.strip, block.text.split(";\n")):
                connection.execute("EXPLAIN " + statement, _AnyParameter())
        finally:
            connection.close()


class _AnyParameter(dict[str, str]):
    """Give every named parameter of a statement a value."""

    def __missing__(self, key: str) -> str:
        return key


@cache
def _complaint(*arguments: str) -> str:
    """Say what the program has against *arguments*; with --help it reads all of them but does nothing."""
    done = subprocess.run(
        [PROGRAM, *arguments, "--help"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if done.returncode == 0 else f"orchestrate {' '.join(arguments)}: {done.stderr}"


def _script(page: Path) -> tuple[str, list[Example]]:
    """Turn the console, python and file blocks of *page* into one shell script, with a mark after each command."""
    examples: list[Example] = []
    lines = [f"mark() {{ local s=$?; printf '\\n{MARK}%s\\n' \"$1\"; return $s; }}"]
    for block in blocks_of(page):
        if block.file is not None:
            lines.append(f"mkdir -p \"$(dirname '{block.file}')\" && cat > '{block.file}' <<'END OF FILE'")
            lines += [block.text.removesuffix("\n"), "END OF FILE"]
        elif block.not_run is not None or block.language not in ("console", "python"):
            continue
        elif block.language == "python":
            lines += [f"python - <<'END OF FILE' > .out 2>&1 || {{ cat .out; echo 'failed: {block.place}'; }}"]
            lines += [block.text.removesuffix("\n"), "END OF FILE", "rm -f .out", f"mark {len(examples)}"]
            examples.append(Example(block, f"python block {block.place}", ""))
        else:
            for example in examples_of(block):
                lines += [example.command, f"mark {len(examples)}"]
                examples.append(example)
    return "\n".join([*lines, ""]), examples


RUNNABLE = [page for page in PAGES if _script(page)[1]]


class TestExamples:
    """Fenced blocks that are run."""

    @pytest.mark.system
    @pytest.mark.parametrize("page", RUNNABLE, ids=_relative)
    def test_a_page_does_what_it_shows(self, page: Path, tmp_path: Path) -> None:
        """The commands of a page, typed in order into one shell, print what the page says."""
        script, examples = _script(page)
        environment = {**os.environ, "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
        environment["XDG_CONFIG_HOME"] = str(tmp_path / ".config")  # keys of one page are no keys of another
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=110,
            check=False,
        )
        outputs = re.split(rf"\n{re.escape(MARK)}\d+\n", done.stdout)
        assert len(outputs) == len(examples) + 1, done.stdout
        differing = [
            f"{example.block.place}: $ {example.command}\nexpected:\n{example.output}\nactual:\n{output}"
            for example, output in zip(examples, outputs, strict=False)
            if not _alike(example.output, output)
        ]
        assert differing == [], "\n\n".join(differing)

    def test_a_wrong_example_is_found(self) -> None:
        """The comparison forgives blanks and `...`, nothing else."""
        assert _alike("run ... succeeded\n", "run 2026 succeeded")
        assert not _alike("run ... succeeded\n", "run 2026 failed")
        assert not _alike("", "something")


def _alike(expected: str, actual: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected.strip() + "\n", actual.strip() + "\n", flags)


def _documented_modules() -> list[str]:
    sources = [path for package in ("ledger", "orchestrator") for path in sorted((ROOT / package).rglob("*.py"))]
    with_examples = [path for path in sources if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in with_examples]


class TestDocstrings:
    """Examples in docstrings."""

    @pytest.mark.parametrize("module", _documented_modules())
    def test_examples_in_docstrings_hold(self, module: str) -> None:
        """`doctest` finds nothing to say."""
        name = module.removesuffix(".__init__")
        outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
        assert outcome.attempted > 0
        assert outcome.failed == 0


class TestLinks:
    """Pages are connected."""

    @pytest.mark.parametrize("page", PAGES, ids=_relative)
    def test_links_lead_to_files_that_exist(self, page: Path) -> None:
        """Relative links name a file of this repository."""
        local = [
            link.partition("#")[0] for link in links_of(page) if "://" not in link and not link.startswith("mailto:")
        ]
        assert [link for link in local if link and not (page.parent / link).exists()] == []

    def test_every_page_can_be_reached_from_the_index(self) -> None:
        """A page that nobody links to is not found by readers either."""
        reached, waiting = set(), [ROOT / "docs/index.md"]
        while waiting:
            page = waiting.pop()
            if page in reached or not page.is_file():
                continue
            reached.add(page)
            targets = [(page.parent / link.partition("#")[0]).resolve() for link in links_of(page) if "://" not in link]
            waiting += [target for target in targets if target.suffix == ".md"]
        assert sorted(_relative(page) for page in (ROOT / "docs").rglob("*.md") if page not in reached) == []


STATUSES = ("proposed", "accepted", "rejected", "deprecated")
REQUIRED_SECTIONS = (
    "Context and Problem Statement",
    "Considered Options",
    "Decision Outcome",
    "Consequences",
    "Confirmation",
)


class TestDecisions:
    """Architecture decision records in MADR form."""

    @pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
    def test_a_decision_has_status_date_and_the_sections_of_madr(self, decision: Path) -> None:
        """The front matter and the headings are those of the template."""
        text = decision.read_text(encoding="utf-8")
        fields = front_matter_of(text)
        assert fields.get("status", "").strip("\"'").startswith((*STATUSES, "superseded by")), fields
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", fields.get("date", "")), fields
        assert [section for section in REQUIRED_SECTIONS if section not in sections_of(text)] == []

    @pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
    def test_a_decision_names_the_test_that_fails_when_it_is_broken(self, decision: Path) -> None:
        """Its Confirmation names at least one test, and each that it names exists."""
        confirmation = sections_of(decision.read_text(encoding="utf-8")).get("Confirmation", "")
        named = re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)*)`", confirmation)
        assert named, "the Confirmation names no test as `tests/…/test_x.py::TestNoun::test_what`"
        assert [path + names for path, names in named if not _test_exists(path, names.split("::")[1:])] == []

    def test_the_index_lists_every_decision_once(self) -> None:
        """In the order of their numbers, which are all different."""
        listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (ROOT / "docs/adr/README.md").read_text(encoding="utf-8"))
        assert listed == [decision.name for decision in DECISIONS]
        assert len({name[:4] for name in listed}) == len(listed)


def _test_exists(path: str, names: list[str]) -> bool:
    if not (ROOT / path).is_file():
        return False
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    for name in names:
        found = [node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name]
        if not found:
            return False
        body = found[0].body
    return True


FORBIDDEN = {
    "the host of a package index": re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org"),
    "an absolute path of one machine": re.compile(rf"{re.escape(str(ROOT))}\b|(?<![\w.])/(?:work|root)/"),
}


class TestWords:
    """What no file may hold."""

    def test_no_file_names_an_index_or_a_path_of_one_machine(self) -> None:
        """Packages come from where the reader's machine says, and files stand where the reader put them."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        found = []
        for name in sorted(set(listed.stdout.split("\0")) - {""}):
            path = ROOT / name
            if not path.is_file() or b"\0" in (content := path.read_bytes()):
                continue
            for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
                found += [
                    f"{name}:{number} holds {what}" for what, pattern in FORBIDDEN.items() if pattern.search(line)
                ]
        assert found == []


class TestReading:
    """The reader of pages itself, `tests/documents.py`."""

    def test_blocks_carry_their_directives(self, tmp_path: Path) -> None:
        """A comment before a fence names the file that it is, or why it is not run."""
        page = tmp_path / "page.md"
        page.write_text("<!-- file: a.toml -->\n```toml\nx = 1\n```\n\n<!-- not run: slow -->\n```console\n$ a\n```\n")
        first, second = blocks_of(page)
        assert (first.file, first.not_run, first.text, first.line) == ("a.toml", None, "x = 1\n", 2)
        assert (second.file, second.not_run, second.language) == (None, "slow", "console")

    def test_commands_are_found_wherever_a_line_has_them(self) -> None:
        """Behind variables and `&&`, with a path before the name, up to a pipe."""
        text = "A=1 .venv/bin/orchestrate run --only x | cat && orchestrate \\\n  status # orchestrate no\necho orchestrated\n"
        assert list(commands_in(text, "orchestrate")) == [["run", "--only", "x"], ["status"]]

    def test_console_blocks_are_split_into_commands_and_output(self, tmp_path: Path) -> None:
        """`> ` continues a command only before its output."""
        block = Block(tmp_path, 1, "console", "$ a \\\n> b\nout\n> quoted\n$ c\n", None, None)
        assert [(example.command, example.output) for example in examples_of(block)] == [
            ("a \\\nb", "out\n> quoted\n"),
            ("c", ""),
        ]


if __name__ == "__main__":
    sys.stdout.write(_script(Path(sys.argv[1]).resolve())[0])
