"""Tests of what variables and parameters stand for, where a value comes from, and what reaches which step."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.definition import Dataset, Parameter, Pipeline, Step, Variable
from orchestrator.core.problems import Problem
from orchestrator.runtime.environment import (
    Environment,
    Resolved,
    child_environment,
    recorded_variables,
    resolve_environment,
    secrets_of,
    surroundings,
)

SECRET = "Zq9-correct-horse"


def variables(*items: Variable) -> dict[str, Variable]:
    """Return *items* by their names."""
    return {item.name: item for item in items}


def pipeline(*items: Variable, **changes: object) -> Pipeline:
    """Return a pipeline whose one step declares all *items*."""
    step = Step("a", command=("true",), env=tuple(item.name for item in items))
    fields: dict[str, object] = {"steps": {"a": step}, "variables": variables(*items)}
    return Pipeline("test", **{**fields, **changes})  # type: ignore[arg-type]


@attrs.frozen
class Bench:
    """A folder with environment files."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        """Write the file *name*."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    def resolve(
        self,
        what: Pipeline,
        *settings: str,
        env_files: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        selected: Sequence[str] | None = None,
    ) -> Environment:
        """Resolve the variables of *what*."""
        return resolve_environment(
            what,
            self.folder,
            selected=what.steps if selected is None else selected,
            env_files=[self.folder / name for name in env_files],
            settings=settings,
            environ=environ or {},
        )


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def told(environment: Environment) -> list[tuple[str, str]]:
    """Return kind and severity of each problem."""
    return [(problem.kind, problem.severity) for problem in environment.problems]


class TestOrder:
    """`--set`, `--env-file`, the parent where `pass` names it, the files, the default."""

    @pytest.mark.parametrize(
        ("sources", "value", "origin"),
        [
            ("set given passed file default", "set", "--set"),
            ("given passed file default", "given", "given.env"),
            ("passed file default", "passed", "environment"),
            ("file default", "file", ".env"),
            ("default", "default", "default"),
        ],
    )
    def test_the_first_source_wins(self, bench: Bench, sources: str, value: str, origin: str) -> None:
        """Each source overrules all that come after it; where the value is from is told."""
        what = pipeline(Variable("A", default="default"), env_pass=("A",))
        if "file" in sources:
            bench.write(".env", "A=file")
        bench.write("given.env", "A=given")
        found = bench.resolve(
            what,
            *(["A=set"] if "set" in sources else []),
            env_files=["given.env"] if "given" in sources else [],
            environ={"A": "passed"} if "passed" in sources else {},
        ).variables["A"]

        assert (value, origin) == (found.value, found.origin.removeprefix(f"{bench.folder}/"))

    def test_the_parent_counts_only_where_it_is_passed(self, bench: Bench) -> None:
        """A variable that the operator happens to have changes nothing."""
        found = bench.resolve(pipeline(Variable("A", default="d"), env_pass=("PATH",)), environ={"A": "parent"})

        assert "d" == found.variables["A"].value

    def test_a_later_file_overrules_an_earlier_one(self, bench: Bench) -> None:
        """In the definition and on the command line."""
        for name in ("one", "two"):
            bench.write(name, f"A={name}\nB={name}" if name == "one" else f"A={name}")
        what = pipeline(Variable("A"), Variable("B"), env_files=("one", "two"))

        assert {"A": "two", "B": "one"} == {k: v.value for k, v in bench.resolve(what).variables.items()}
        assert "one" == bench.resolve(what, env_files=["two", "one"]).variables["A"].value

    def test_an_empty_value_is_a_value(self, bench: Bench) -> None:
        """It overrules the default."""
        bench.write(".env", "A=")

        assert "" == bench.resolve(pipeline(Variable("A", default="d"))).variables["A"].value


class TestFiles:
    """Which files are read."""

    def test_the_usual_file_may_be_missing(self, bench: Bench) -> None:
        """A listed one may not."""
        assert [] == told(bench.resolve(pipeline()))
        assert [("env_missing", "error")] == told(bench.resolve(pipeline(env_files=("my.env",))))
        assert [("env_missing", "error")] == told(bench.resolve(pipeline(), env_files=["my.env"]))

    def test_no_file_is_read_where_none_is_listed(self, bench: Bench) -> None:
        """`files = []` means none."""
        bench.write(".env", "A=1")

        assert {} == bench.resolve(pipeline(Variable("A"), env_files=())).variables

    def test_undeclared_name_is_a_warning_with_a_suggestion(self, bench: Bench) -> None:
        """It reaches no step; the line is told, and what was probably meant."""
        bench.write(".env", "A=1\nREGOIN=x\n\nZZZ=y\n")
        near, far = bench.resolve(pipeline(Variable("A"), Variable("REGION"))).problems

        assert ("env_unused", 2, "warning") == (near.kind, near.line, near.severity)
        assert "did you mean REGION?" == near.suggestion
        assert (4, True) == (far.line, "declare it" in str(far))

    def test_undeclared_names_are_not_told_beside_a_malformed_line(self, bench: Bench) -> None:
        """Given a key without quotes, then its last line looks like a name and is none."""
        bench.write(".env", "KEY=-----BEGIN KEY-----\nMIIEvQIBADANBgkq/x\nAASCBKcw==\n")
        found = bench.resolve(pipeline(Variable("KEY", secret=True)))

        assert [("env_malformed", "error")] == told(found)
        assert "AASCBKcw" not in str(found.problems)

    def test_duplicate_name_is_refused(self, bench: Bench) -> None:
        """Two values for one name leave a doubt."""
        bench.write(".env", f"A={SECRET}\nA=Zq9-other\n")
        found = bench.resolve(pipeline(Variable("A", secret=True)))

        assert [("env_duplicate", "error")] == told(found)
        assert "Zq9" not in str(found.problems)


class TestValues:
    """A value is there where it is needed, and right."""

    @pytest.mark.parametrize(("text", "what"), [("", "has no value"), ("A=\n", "is empty (.env)")])
    def test_required(self, bench: Bench, text: str, what: str) -> None:
        """Missing and empty are both refused; the files to look at are named."""
        bench.write(".env", text)
        (problem,) = bench.resolve(pipeline(Variable("A", required=True))).problems

        assert "missing_variable" == problem.kind
        assert f"required variable A {what}" == problem.message
        assert "add A=… to .env" == problem.suggestion

    @pytest.mark.parametrize(
        ("files", "named"), [(None, ".env"), (("x.env", "y.env"), "x.env, y.env"), ((), "--env-file")]
    )
    def test_what_to_do_names_the_files(self, bench: Bench, files: tuple[str, ...] | None, named: str) -> None:
        """Those that are listed, or the option."""
        for name in files or ():
            bench.write(name, "")
        (problem,) = bench.resolve(pipeline(Variable("A", required=True), env_files=files)).problems

        assert f"add A=… to {named}" == problem.suggestion

    def test_what_only_others_need_may_be_missing(self, bench: Bench) -> None:
        """The variables of steps that are not selected are not looked at."""
        what = pipeline(Variable("A", required=True))

        assert [] == told(bench.resolve(what, selected=[]))

    def test_optional_variable_without_a_value(self, bench: Bench) -> None:
        """It just does not reach the step."""
        found = bench.resolve(pipeline(Variable("A", pattern="[0-9]+")))

        assert ([], {"a": {}}) == (told(found), child_environment(pipeline(Variable("A")), found, {}))

    @pytest.mark.parametrize("place", ["command", "code", "cwd", "path", "pattern"])
    def test_what_a_text_refers_to_has_a_value(self, bench: Bench, place: str) -> None:
        """Also where the variable is not required, wherever the text stands."""
        text: dict[str, object] = {"command": ("echo", "${A}")} if place == "command" else {}
        if place in ("code", "cwd"):
            text[place] = ("${A}/*.py",) if place == "code" else "${A}"
        step = Step("a", reads=("raw",), **{"command": ("true",), **text})  # type: ignore[arg-type]
        dataset = Dataset("raw", **({place: "${A}"} if place in ("path", "pattern") else {}))  # type: ignore[arg-type]
        what = Pipeline("test", {"a": step}, {"raw": dataset}, variables(Variable("A")))

        assert [("missing_variable", "error")] == told(bench.resolve(what))
        assert [] == told(bench.resolve(what, "A=x"))

    def test_pattern(self, bench: Bench) -> None:
        """The whole value has to match; a plain one is shown, a secret one never."""
        bench.write(".env", f"A=nyc1\nB={SECRET}\nC=nyc\n")
        what = pipeline(
            Variable("A", pattern="[a-z]{3}"),
            Variable("B", pattern="[a-z]{3}", secret=True),
            Variable("C", pattern="[a-z]{3}"),
        )
        one, two = bench.resolve(what).problems

        assert "variable A: 'nyc1' (.env) does not match '[a-z]{3}'" == one.message
        assert "variable B: its value (.env) does not match '[a-z]{3}'" == two.message

    def test_broken_pattern_is_the_definitions_problem(self, bench: Bench) -> None:
        """It was told there."""
        bench.write(".env", "A=x")

        assert [] == told(bench.resolve(pipeline(Variable("A", pattern="("))))


class TestPatterns:
    """A pattern is one once every reference is replaced."""

    @pytest.mark.parametrize(
        "text", ["${A}", "${A}/*.csv", *(["a**b", "${A}**"] if sys.version_info < (3, 13) else [])]
    )
    @pytest.mark.parametrize("place", ["code", "pattern"])
    def test_what_is_no_pattern(self, bench: Bench, text: str, place: str) -> None:
        """Given a value that makes it absolute, empty or otherwise none, then it is refused before anything looks for files."""
        step = Step("a", command=("x",), reads=("raw",), code=("ok/*.py", text) if place == "code" else ())
        dataset = Dataset("raw", path="raw", pattern=text if place == "pattern" else "*.csv")
        what = Pipeline("test", {"a": step}, {"raw": dataset}, variables(Variable("A", default="")))
        setting = {"${A}": "A=", "${A}**": "A=x"}.get(text, "A=/etc")
        (problem,) = bench.resolve(what, setting).problems

        path = ("steps", "a", "code", 1) if place == "code" else ("datasets", "raw", "pattern")
        assert ("bad_pattern", path) == (problem.kind, problem.path)
        assert [] == told(bench.resolve(what, setting, selected=[]))

    @pytest.mark.parametrize("text", ["*.csv", "**/*", "${NIGHT}/${A}-*.csv", "$${A}*"])
    def test_patterns(self, bench: Bench, text: str) -> None:
        """Usual ones, of the night too."""
        step = Step("a", command=("x",), writes=("out",), code=(text,))
        what = Pipeline("test", {"a": step}, {"out": Dataset("out", path="o", pattern=text)}, variables(Variable("A")))

        assert [] == told(bench.resolve(what, "A=nyc"))


class TestSettings:
    """What `--set` may say."""

    PARAMS: ClassVar = {"day": Parameter("day", "date"), "size": Parameter("size", default="s", choices=("s", "l"))}

    def problem(self, bench: Bench, setting: str) -> Problem:
        """Return the one problem of *setting*."""
        what = pipeline(Variable("REGION"), Variable("TOKEN", secret=True), params=self.PARAMS)
        found = bench.resolve(what, setting)
        (problem,) = found.problems
        assert not {item.value for item in found.variables.values()} - {"nyc"}
        return problem

    @pytest.mark.parametrize(
        ("setting", "kind", "text"),
        [
            (SECRET, "bad_setting", "an '=' is missing"),
            (f"TOKEN={SECRET}", "secret_setting", "TOKEN, which is secret"),
            ("REGOIN=nyc", "unknown_setting", "did you mean REGION?"),
            (f"ZZZ={SECRET}", "unknown_setting", "declare it in [env.vars] or [params]"),
            ("day=tomorrow", "bad_setting", "--set day is 'tomorrow', expected a date"),
            ("size=m", "bad_setting", "expected one of s, l"),
            ("=x", "unknown_setting", "''"),
        ],
    )
    def test_what_is_refused(self, bench: Bench, setting: str, kind: str, text: str) -> None:
        """Without a word of what may be a secret."""
        problem = self.problem(bench, setting)

        assert kind == problem.kind
        assert text in str(problem)
        assert SECRET not in str(problem)

    def test_parameters(self, bench: Bench) -> None:
        """Their value is set, or their default; the last setting counts."""
        found = bench.resolve(pipeline(params=self.PARAMS), "day=2026-01-01", "day=2026-01-02")

        assert {"day": Resolved("2026-01-02", "--set"), "size": Resolved("s", "default")} == found.params
        assert [] == told(found)

    def test_parameter_that_is_referred_to_needs_a_value(self, bench: Bench) -> None:
        """Other ones do not."""
        step = Step("a", command=("echo", "${day}"))
        what = Pipeline("test", {"a": step}, params={**self.PARAMS, "other": Parameter("other")})
        (problem,) = bench.resolve(what).problems

        assert ("missing_parameter", "give it with --set day=…") == (problem.kind, problem.suggestion)


class TestChildEnvironment:
    """A step gets what it declares, and what is passed on."""

    WHAT = Pipeline(
        "test",
        {
            "plain": Step("plain", command=("true",)),
            "one": Step("one", command=("true",), env=("A", "LANG")),
            "other": Step("other", command=("true",), env=("TOKEN", "NONE")),
        },
        variables=variables(
            Variable("A"), Variable("TOKEN", secret=True), Variable("NONE"), Variable("LANG", default="C")
        ),
        env_pass=("PATH", "LANG", "GONE"),
    )

    def test_what_reaches_which_step(self, bench: Bench) -> None:
        """A name in `pass` and in `vars` is a variable: it reaches only who declares it, with its value from the parent."""
        environ = {"PATH": "/bin", "LANG": "tr", "AWS_SECRET": "x", "LD_PRELOAD": "y", "A": "parent"}
        bench.write(".env", f"A=1\nTOKEN={SECRET}\n")
        found = bench.resolve(self.WHAT, environ=environ)

        assert {
            "plain": {"PATH": "/bin"},
            "one": {"PATH": "/bin", "A": "1", "LANG": "tr"},
            "other": {"PATH": "/bin", "TOKEN": SECRET},
        } == child_environment(self.WHAT, found, environ)
        assert "environment" == found.variables["LANG"].origin


class TestUses:
    """What is made of an environment for others."""

    WHAT = pipeline(Variable("A"), Variable("TOKEN", secret=True), params={"size": Parameter("size", default="s")})

    def environment(self, bench: Bench) -> Environment:
        """Resolve a plain and a secret variable."""
        bench.write(".env", f"A=1\nTOKEN={SECRET}\n")
        return bench.resolve(self.WHAT)

    def test_secrets_for_the_redactor(self, bench: Bench) -> None:
        """The values by name."""
        assert {"TOKEN": SECRET} == secrets_of(self.WHAT, self.environment(bench))

    def test_what_is_recorded(self, bench: Bench) -> None:
        """A secret has its origin there, and nothing else."""
        assert {
            "A": {"origin": ".env", "value": "1"},
            "TOKEN": {"origin": ".env"},
            "size": {"origin": "default", "value": "s"},
        } == recorded_variables(self.WHAT, self.environment(bench))

    def test_what_texts_may_refer_to(self, bench: Bench) -> None:
        """Plain variables, parameters and the night; no secret."""
        around = surroundings(self.WHAT, self.environment(bench), bench.folder, "2026-01-31")

        assert {"A": "1", "size": "s", "NIGHT": "2026-01-31"} == around.values
        assert {"TOKEN"} == around.secret_names
        assert SECRET == around.variables["TOKEN"]

    def test_no_representation_shows_a_value(self, bench: Bench) -> None:
        """A traceback with locals tells where a value is from."""
        assert SECRET not in repr(self.environment(bench))


class TestSecretsInMessages:
    """No message ever holds the value of a secret."""

    @given(
        value=st.text(alphabet="sx=-'\"\\ \n#$%{}ü", max_size=30).map("Zq9{}Zq9".format),
        quote=st.sampled_from(["", "'", '"']),
        name=st.sampled_from(["TOKEN", "TOKEN ", "TOKEM", "1TOKEN", "", "TOKEN=TOKEN"]),
        pattern=st.sampled_from([None, "[a-z]{3}", "("]),
    )
    def test_whatever_is_wrong(
        self, tmp_path_factory: pytest.TempPathFactory, value: str, quote: str, name: str, pattern: str | None
    ) -> None:
        """In a file, twice in a file, and on the command line."""
        bench = Bench(tmp_path_factory.mktemp("env"))
        what = pipeline(Variable("TOKEN", required=True, secret=True, pattern=pattern))
        # Whoever forgets the quotes has each line of the value in a line of the file.
        bench.write(".env", f"{name}={quote}{value}{quote}\nTOKEN={quote}{value}{quote}\n")
        setting = f"{name}={value}" if name else value.replace("=", "")
        found = bench.resolve(what, setting, env_files=[".env"])

        assert "Zq9" not in str(found.problems)
        assert "Zq9" not in str([problem.as_json() for problem in found.problems])


class TestOverruled:
    """What a secret is in a place that does not count in this run is secret all the same."""

    def test_other_values_are_known(self, bench: Bench) -> None:
        """Given values in `.env`, an earlier file and the parent, then all but the one that counts are told; plain variables are not."""
        what = pipeline(Variable("TOKEN", secret=True), Variable("URL"))
        bench.write(".env", "TOKEN=from-dot-env\nURL=x")
        bench.write("first.env", "TOKEN=from-first")
        bench.write("last.env", f"TOKEN={SECRET}\nURL=y")
        found = bench.resolve(
            what, env_files=["first.env", "last.env"], environ={"TOKEN": "from-parent", "URL": "z", "OTHER": "o"}
        )

        assert found.variables["TOKEN"].value == SECRET
        assert sorted(found.overruled.values()) == ["from-dot-env", "from-first", "from-parent"]
        assert {name.partition("#")[0] for name in found.overruled} == {"TOKEN"}
        assert "from-parent" not in repr(found)

    def test_nothing_else_is(self, bench: Bench) -> None:
        """Given the same value everywhere, then there is no other one; a secret without a value here has that of the parent."""
        what = pipeline(Variable("TOKEN", secret=True))
        assert list(bench.resolve(what, environ={"TOKEN": SECRET}).overruled.values()) == [SECRET]
        bench.write(".env", f"TOKEN={SECRET}")
        assert bench.resolve(what, environ={"TOKEN": SECRET}).overruled == {}
