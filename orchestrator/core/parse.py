"""
From the bytes of `pipeline.toml` to a checked `Pipeline`, or to all that is wrong with it at once.

A right definition goes straight through: parse, one structural check, build, check the meaning. Only a wrong one pays for the full schema validator and
for the finder of lines; what is unusable is left out then, so that the rest is checked all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from ledger.canonical import blob_digest, canonical_bytes
from orchestrator.core.definition import Pipeline
from orchestrator.core.definition_checks import check_definition
from orchestrator.core.errors import DefinitionError
from orchestrator.core.names import shown as quoted
from orchestrator.core.parse_values import build_pipeline
from orchestrator.core.problems import Problem
from orchestrator.core.schema_check import compile_check
from orchestrator.core.toml_text import read_toml

PROBLEMS_MAX = 200


@attrs.frozen
class Parsed:
    """
    Hold a checked definition.

    Attributes:
        warnings: What does not keep it from running.
        content: The text that it was made from.
    """

    pipeline: Pipeline
    warnings: tuple[Problem, ...] = ()
    content: bytes = attrs.field(default=b"", repr=False)


def parse_pipeline(
    content: str | bytes,
    *,
    file: str,
    schema: Mapping[str, object],
    knows_zone: Callable[[str], bool] = lambda _: True,
) -> Parsed:
    """
    Read the definition *content*; linear in its size.

    Args:
        file: Its name in messages.
        schema: The published JSON Schema of `pipeline.toml`.
        knows_zone: Whether the machine knows a time zone.

    Raises:
        DefinitionError: With every problem, each with line, column and where possible a suggestion; in the order of the file.
    """
    toml = read_toml(content, file)
    if toml.document is None:
        raise DefinitionError(toml.problems)
    document = toml.document
    problems = list(toml.problems)
    if problems or not compile_check(schema)(document):
        from orchestrator.core.parse_schema import schema_problems, without_paths

        usable = without_paths(document, [problem.path for problem in toml.problems if problem.kind != "duplicate_key"])
        found, usable = schema_problems(usable, schema)
        problems += [problem for problem in found if not _is_written(problem, document)]
    else:
        usable = document
    pipeline, found = build_pipeline(usable)
    problems += found
    problems += check_definition(pipeline, document)
    if not knows_zone(pipeline.timezone):
        message = f"schedule.timezone is {quoted(pipeline.timezone)}, which this machine does not know"
        hint = "an IANA zone such as Europe/Berlin"
        problems.append(Problem("bad_value", message, ("schedule", "timezone"), suggestion=hint))
    if problems:
        problems = placed(problems, toml.text, file)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise DefinitionError(_limited(errors, file))
    text = canonical_bytes(document)
    return Parsed(attrs.evolve(pipeline, document=document, digest=blob_digest(text)), tuple(problems))


def _is_written(problem: Problem, document: object) -> bool:
    """Tell whether *problem* misses something that the file has, though nobody can use it; that is told already."""
    for key in problem.path[:-1]:
        document = document[key] if isinstance(document, dict) else None
    last = problem.path[-1]
    if not isinstance(document, dict) or problem.kind not in ("missing_key", "one_of"):
        return False
    return last in document if problem.kind == "missing_key" else len(document[last].keys() & {"command", "shell"}) == 1


def placed(problems: Sequence[Problem], text: str, file: str) -> list[Problem]:
    """Give each problem that has a path its file, line and column in the definition *text*, and put them in the order of the file."""
    if not problems:
        return []  # and tree-sitter is not even loaded
    from orchestrator.core.toml_lines import find_places

    places = find_places(text, [problem.path for problem in problems if problem.line is None and problem.path])
    placed = []
    for problem in problems:
        if problem.line is None:
            # What is missing has no place of its own: that of what should hold it, then.
            prefixes = (problem.path[:length] for length in range(len(problem.path), 0, -1))
            place = next((places[prefix] for prefix in prefixes if prefix in places), None)
            line, column = place or (None, None)
            placed.append(attrs.evolve(problem, file=file, line=line, column=column))
        else:
            placed.append(problem)
    return sorted(placed, key=lambda problem: (problem.line or 0, problem.column or 0))


def _limited(problems: Sequence[Problem], file: str) -> list[Problem]:
    shown = list(problems[:PROBLEMS_MAX])
    if len(problems) > PROBLEMS_MAX:
        more = f"and {len(problems) - PROBLEMS_MAX} more problems"
        shown.append(Problem("more", more, file=file, suggestion="mend these first"))
    return shown
