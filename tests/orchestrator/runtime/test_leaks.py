"""Tests of finding secrets where they would be recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.definition import Parameter, Pipeline, Redaction, Variable
from orchestrator.core.problems import Problem
from orchestrator.core.redaction import Redactor
from orchestrator.runtime.environment import Environment, Resolved, resolve_environment
from orchestrator.runtime.leaks import check_leaks, check_redactor, is_everyday, redactor_of

SECRET = "Zq9-correct-horse"


def leaks(folder: Path, secret: str = SECRET, document: object = None, **settings: str) -> list[Problem]:
    """Return what is found where `TOKEN` is *secret*, the definition says *document*, and other names have values."""
    pipeline = Pipeline(
        "test",
        {},
        variables={"TOKEN": Variable("TOKEN", secret=True), "URL": Variable("URL", default="x")},
        params={"note": Parameter("note", default="x")},
        document={"pipeline": {"name": "test", "max_parallel": 4}, "more": document},
    )
    (folder / ".env").write_text(f"TOKEN='{secret}'\n")
    chosen = [f"{name}={value}" for name, value in settings.items()]
    environment = resolve_environment(pipeline, folder, selected=[], settings=chosen, environ={})
    return check_leaks(pipeline, environment)


class TestCheckLeaks:
    """A secret in what is recorded refuses the run, and is not told."""

    def test_nothing(self, tmp_path: Path) -> None:
        """Where it stands in its own variable alone."""
        assert [] == leaks(tmp_path)

    @pytest.mark.parametrize(
        ("name", "path", "hint"),
        [
            ("URL", ("env", "vars", "URL"), "declare URL with secret = true"),
            ("note", ("params", "note"), "parameters cannot be secret"),
        ],
    )
    def test_in_a_value(self, tmp_path: Path, name: str, path: tuple[str, ...], hint: str) -> None:
        """Also as a part of it."""
        (problem,) = leaks(tmp_path, **{name: f"https://user:{SECRET}@example.org"})

        assert ("holds_secret", path, hint) == (problem.kind, problem.path, problem.suggestion)
        assert SECRET not in str(problem.as_json())
        assert "the secret TOKEN" in problem.message

    def test_in_a_name_of_the_definition(self, tmp_path: Path) -> None:
        """A step may be called like it."""
        (problem,) = leaks(tmp_path, document={SECRET: {}})

        assert "the secret TOKEN" in problem.message

    def test_in_the_definition(self, tmp_path: Path) -> None:
        """At any depth; the place is told."""
        document = [{"command": ["echo", f"-p{SECRET}"]}, 3]
        (problem,) = leaks(tmp_path, document=document)

        assert ("more", 0, "command", 1) == problem.path
        assert SECRET not in str(problem.as_json())

    @pytest.mark.parametrize("secret", ["nyc", "  nyc\t "])
    def test_what_is_too_short_to_be_masked(self, tmp_path: Path, secret: str) -> None:
        """It would be found everywhere: that it is not masked is a warning, without its value."""
        (problem,) = leaks(tmp_path, secret, document="nyc", URL="nyc")

        assert ("short_secret", "warning") == (problem.kind, problem.severity)
        assert "nyc" not in str(problem.as_json())

    @pytest.mark.parametrize("secret", ["", " "])
    def test_an_empty_secret_needs_no_mask(self, tmp_path: Path, secret: str) -> None:
        """There is nothing to be seen."""
        assert [] == leaks(tmp_path, secret, document="nyc")

    def test_space_around_it_does_not_hide_it(self, tmp_path: Path) -> None:
        """Its core is looked for."""
        assert 1 == len(leaks(tmp_path, f"  {SECRET} ", URL=SECRET))


def secret_pipeline(redact: Redaction) -> Pipeline:
    """Return a pipeline with one secret, and what else is masked."""
    return Pipeline("test", {}, variables={"TOKEN": Variable("TOKEN", secret=True)}, redact=redact)


class TestRedactorOf:
    """What masks in a run, and the proof that it does."""

    VALUES = Environment({"TOKEN": Resolved(SECRET, ".env")}, {})

    @pytest.mark.parametrize(
        ("redact", "shown"),
        [
            (Redaction(), "*** id-7 ***"),
            (Redaction(("id-[0-9]",)), "*** *** ***"),
            (Redaction(builtin=False), "*** id-7 AKIAIOSFODNN7EXAMPLE"),
        ],
    )
    def test_values_patterns_and_tokens(self, redact: Redaction, shown: str) -> None:
        """As the definition says; and it works."""
        pipeline = secret_pipeline(redact)
        redactor = redactor_of(pipeline, self.VALUES)

        assert shown == redactor.redact(f"{SECRET} id-7 AKIAIOSFODNN7EXAMPLE")
        assert [] == check_redactor(pipeline, self.VALUES, redactor)

    def test_nothing(self) -> None:
        """Where there is nothing to mask, nothing is made and nothing proven."""
        pipeline = secret_pipeline(Redaction(builtin=False))
        redactor = redactor_of(pipeline, Environment({}, {}))

        assert {} == redactor.counts
        assert [] == check_redactor(pipeline, Environment({}, {}), redactor)

    @pytest.mark.parametrize("redact", [Redaction(), Redaction(("x[0-9]",), builtin=False), Redaction(builtin=False)])
    def test_what_does_not_mask(self, redact: Redaction) -> None:
        """A made-up secret comes out, which is an error."""
        (problem,) = check_redactor(secret_pipeline(redact), self.VALUES, Redactor())

        assert ("not_masked", "error") == (problem.kind, problem.severity)


class TestEverydayWords:
    """A secret that looks like a word of every log, told without a list of words."""

    @pytest.mark.parametrize(
        "value",
        ["succeeded", "production", "Production", "CHANGEME", "change-me", "change me!", "password1", "Password2024", "postgres", "20130131", "12345678"],
    )  # fmt: skip
    def test_warned_of(self, tmp_path: Path, value: str) -> None:
        """Given one, then a warning that names the variable and not the value."""
        (problem,) = leaks(tmp_path, value)

        assert ("common_secret", "warning", ("env", "vars", "TOKEN")) == (problem.kind, problem.severity, problem.path)
        assert "the secret TOKEN looks like an everyday word or number" in problem.message
        assert value not in str(problem)

    @pytest.mark.parametrize(
        "value",
        [SECRET, "correct-horse-battery-staple", "k3yk3yk3y", "sk_live_4eC39HqLyjWD", "aGhTzKqPwRbN", "p@ssw0rd", "9f86d081884c7d65", "0" * 20],
    )  # fmt: skip
    def test_not_warned_of(self, tmp_path: Path, value: str) -> None:
        """Given letters of both cases or digits among them, or a long value, then nothing is said."""
        assert [] == leaks(tmp_path, value)

    def test_takes_no_time(self) -> None:
        """Given a value that nearly matches in every way, then it is judged at once."""
        assert not is_everyday("a-a-a-a-a-a-a-a-a-#")
        assert not is_everyday("a" * 1_000_000)


def test_a_value_that_does_not_count_is_masked(tmp_path: Path) -> None:
    """Given a secret that has no value in this run and one in the parent, then that one is masked, and so is what another file overrules."""
    pipeline = Pipeline(
        "test", {}, variables={"TOKEN": Variable("TOKEN", secret=True)}, redact=Redaction(builtin=False)
    )
    alone = resolve_environment(pipeline, tmp_path, selected=[], settings=[], environ={"TOKEN": SECRET})
    assert alone.variables == {}
    assert redactor_of(pipeline, alone).redact(f"a {SECRET}") == "a ***"
    (tmp_path / ".env").write_text("TOKEN=battery-staple-0815\n")
    both = resolve_environment(pipeline, tmp_path, selected=[], settings=[], environ={"TOKEN": SECRET})
    assert redactor_of(pipeline, both).redact(f"{SECRET} battery-staple-0815") == "*** ***"
