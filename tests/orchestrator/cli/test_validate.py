"""Tests of `orchestrate validate`: everything that could refuse a run, and nothing recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nights import SECRET, SHOP, write_shop
from tests.programs import everything_in, program, refused, value_of


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Give the folder of a pipeline that is in order."""
    return write_shop(tmp_path / "shop")


class TestValid:
    """What is in order is shown as a run would see it."""

    def test_shows_variables_commands_and_places(self, shop: Path) -> None:
        """Given a pipeline in order, then values with their origins, the programs and the datasets; secrets without value."""
        value = value_of(
            program("validate", "--json", "--for", "2026-01-31", "--set", "REGION=bos", cwd=shop), "validate"
        )
        assert (value["status"], value["problems"], value["night"]) == ("valid", [], "2026-01-31")
        assert value["variables"] == {
            "API_KEY": {"origin": ".env"},
            "REGION": {"origin": "--set", "value": "bos"},
        }
        assert value["datasets"]["raw"] == str(shop / "raw")
        assert set(value["commands"]) == {"/bin/sh", "true"}
        assert value["withheld"] == []

    def test_text(self, shop: Path) -> None:
        """Given no --json, then a headline and tables of variables and commands; nothing is made."""
        before = everything_in(shop)
        lines = program("validate", cwd=shop).stdout.splitlines()
        assert lines[0] == "pipeline.toml is valid: shop, 3 steps, 3 datasets"
        assert [line.split() for line in lines if line.startswith(("API_KEY", "REGION"))] == [
            ["API_KEY", "(secret)", ".env"],
            ["REGION", "nyc", "default"],
        ]
        assert any(line.startswith("/bin/sh") for line in lines)
        assert everything_in(shop) == before

    def test_nothing_to_show_for_a_small_one(self, tmp_path: Path) -> None:
        """Given neither variables nor a command that is found, then the headline alone."""
        (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["./nope"]\n')
        done = program("validate", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "pipeline.toml is valid: p, 1 step, 0 datasets\n")

    def test_env_lists_what_no_step_receives(self, shop: Path) -> None:
        """Given --env, then the shell's variables that no step gets are listed, by name alone."""
        value = value_of(program("validate", "--env", "--json", cwd=shop, env={"MY_TOKEN": SECRET}), "validate")
        assert "MY_TOKEN" in value["withheld"]
        assert not {"PATH", "HOME", "API_KEY"} & set(value["withheld"])
        done = program("validate", "--env", cwd=shop, env={"MY_TOKEN": SECRET})
        assert done.stdout.splitlines()[-1].startswith("withheld from every step: ")
        assert SECRET not in done.stdout

    def test_env_with_nothing_withheld(self, shop: Path) -> None:
        """Given a shell with nothing but what is passed on, then nothing is withheld."""
        import subprocess

        from tests.programs import PROGRAM

        done = subprocess.run(
            [PROGRAM, "validate", "--env"],
            cwd=shop,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # Python itself sets LC_CTYPE where no locale is set.
        assert done.stdout.splitlines()[-1] in (
            "withheld from every step: nothing",
            "withheld from every step: LC_CTYPE",
        )


class TestWarnings:
    """What does not refuse a run is a warning on stderr, and a problem of that severity in JSON."""

    @pytest.mark.parametrize(
        ("change", "kind", "told"),
        [
            (('command = ["true"]', 'command = ["no-such-program"]'), "missing_command", "not_started"),
            (("[datasets.raw]", "[env.vars.IDLE]\ndefault = 'x'\n[datasets.raw]"), "unused_variable", "IDLE"),
        ],
    )
    def test_each_is_named_with_its_line(self, shop: Path, change: tuple[str, str], kind: str, told: str) -> None:
        """Given something that does no harm yet, then exit code 0 and a warning with its place."""
        (shop / "pipeline.toml").write_text(SHOP.replace(*change), encoding="utf-8")
        value = value_of(program("validate", "--json", cwd=shop), "validate")
        found = {problem["kind"]: problem for problem in value["problems"]}
        assert kind in found or any(told in problem["message"] for problem in found.values())
        assert {problem["severity"] for problem in found.values()} == {"warning"}
        assert all(problem["line"] for problem in found.values())
        done = program("validate", cwd=shop)
        assert done.returncode == 0
        assert "warning: pipeline.toml:" in done.stderr
        assert told in done.stderr

    def test_as_cron_looks_along_its_path(self, tmp_path: Path) -> None:
        """Given a command that only this shell's PATH has, then --as-cron does not find it."""
        (tmp_path / "bin").mkdir()
        tool = tmp_path / "bin" / "mytool"
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
        (tmp_path / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["mytool"]\n')
        env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
        here = value_of(program("validate", "--json", cwd=tmp_path, env=env), "validate")
        cron = value_of(program("validate", "--json", "--as-cron", cwd=tmp_path, env=env), "validate")
        assert here["commands"] == {"mytool": str(tool)}
        assert cron["commands"] == {"mytool": None}
        assert [problem["kind"] for problem in cron["problems"]] == ["missing_command"]

    def test_commands_are_looked_up_in_the_folder_of_the_step(self, tmp_path: Path) -> None:
        """Given a command with a slash and a cwd, then it is looked for there; unselected steps are left alone."""
        folder = tmp_path / "tools"
        folder.mkdir()
        tool = folder / "t.sh"
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[steps.a]\ncommand = ["./t.sh"]\ncwd = "tools"\n[steps.b]\ncommand = ["./u.sh"]\n'
        )
        value = value_of(program("validate", "--json", "--only", "a", cwd=tmp_path), "validate")
        assert (value["commands"], value["problems"]) == ({"./t.sh": str(tool)}, [])


class TestRefused:
    """Everything at once, exit code 2, nothing left behind."""

    def test_every_problem_of_environment_and_sources(self, shop: Path) -> None:
        """Given a missing variable, a bad one and an empty source, then all three are listed, with the rest of the answer."""
        (shop / ".env").write_text("REGION=NYC1\n", encoding="utf-8")
        (shop / "raw" / "1.csv").unlink()
        before = everything_in(shop)
        value = value_of(program("validate", "--json", cwd=shop), "validate", code=2)
        assert (value["status"], value["exit_code"]) == ("refused", 2)
        assert sorted(problem["kind"] for problem in value["problems"]) == [
            "bad_variable",
            "missing_variable",
            "too_few_files",
        ]
        done = program("validate", cwd=shop)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 3
        assert everything_in(shop) == before

    def test_every_problem_of_the_definition(self, shop: Path) -> None:
        """Given several mistakes in the definition, then each has its line, and a near miss its suggestion."""
        (shop / "pipeline.toml").write_text(
            SHOP.replace('pattern = "*.csv"', 'patern = "*.csv"').replace('reads = ["gold"]', 'reads = ["glod"]'),
            encoding="utf-8",
        )
        problems = refused(program("validate", "--json", cwd=shop))
        assert [(problem["line"], problem["suggestion"]) for problem in problems if problem["suggestion"]] != []
        assert all(problem["line"] for problem in problems)
        text = program("validate", cwd=shop).stderr
        assert "pattern" in text
        assert "gold" in text

    def test_secret_that_would_be_recorded(self, shop: Path) -> None:
        """Given a plain variable with the value of a secret, then it is refused and the value is nowhere in the answer."""
        done = program("validate", "--json", "--set", f"REGION={SECRET}", cwd=shop)
        kinds = [problem["kind"] for problem in value_of(done, "validate", code=2)["problems"]]
        assert "holds_secret" in kinds
        assert SECRET not in done.stdout + done.stderr


class TestForesight:
    """What a run would stumble over later."""

    def test_missing_script_and_folder(self, tmp_path: Path) -> None:
        """Given a script and a working folder that are not there, then both are named, with their places; nothing is refused."""
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[params]\nx = {}\n'
            '[steps.a]\ncommand = ["sh", "gone.sh", "--x.sh"]\n[steps.b]\ncommand = ["true"]\ncwd = "nowhere"\n'
            '[steps.c]\ncommand = ["sh", "${x}.sh"]\n'
        )
        value = value_of(program("validate", "--json", "--omit", "c", cwd=tmp_path), "validate")
        assert [(item["kind"], item["line"]) for item in value["problems"]] == [
            ("missing_script", 6),
            ("missing_folder", 9),
        ]
        assert value["status"] == "valid"
        kinds = [item["kind"] for item in value_of(program("validate", "--json", cwd=tmp_path), code=2)["problems"]]
        assert "missing_parameter" in kinds

    def test_a_name_that_belongs_to_another_definition(self, tmp_path: Path) -> None:
        """Given a ledger that knows the name from elsewhere, then validate and plan refuse what run would refuse."""
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "pipeline.toml").write_text('[pipeline]\nname = "p"\n[steps.a]\ncommand = ["true"]\n')
        env = {"ORCHESTRATE_LEDGER": str(tmp_path / "ledger.db")}
        assert program("run", "-q", cwd=tmp_path / "one", env=env).returncode == 0
        for command in ("validate", "plan", "run"):
            done = program(command, cwd=tmp_path / "two", env=env)
            assert done.returncode == 2
            assert "pipeline.toml:2:1: in this ledger the name p belongs to " in done.stderr

    def test_overlapping_datasets(self, tmp_path: Path) -> None:
        """Given a dataset that is written inside another that is read whole, then a warning at its path."""
        (tmp_path / "in" / "out").mkdir(parents=True)
        (tmp_path / "pipeline.toml").write_text(
            '[pipeline]\nname = "p"\n[datasets.a]\npath = "in"\n[datasets.b]\npath = "./in/out"\n'
            '[datasets.c]\npath = "in2"\n[steps.s]\ncommand = ["true"]\nreads = ["a"]\nwrites = ["b", "c"]\n'
        )
        done = program("validate", cwd=tmp_path)
        assert done.returncode == 0
        assert "warning: pipeline.toml:6:1: datasets.b lies inside datasets.a" in done.stderr
        assert "datasets.c" not in done.stderr
