"""Tests of the way from `pipeline.toml` to a pipeline, or to everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.definition import (
    Audit,
    Dataset,
    Freshness,
    Parameter,
    Pipeline,
    Redaction,
    RetryPolicy,
    Step,
    Variable,
)
from orchestrator.core.errors import DefinitionError
from orchestrator.core.parse import PROBLEMS_MAX, Parsed, parse_pipeline
from orchestrator.core.parse_values import scalar_text
from orchestrator.core.problems import Problem
from orchestrator.core.sizes import SIZE_FORM
from orchestrator.schemas import load_schema

ROOT = Path(__file__).parents[3]
SCHEMA = load_schema("pipeline")
HEAD = '[pipeline]\nname = "p"\n'
STEP = '[steps.a]\ncommand = ["true"]\n'

FULL = """\
[pipeline]
name = "nightly"
max_parallel = 4
deadline = "2h"
min_free = "2GiB"
fail_fast = true
formerly = ["old"]

[env]
files = [".env"]
pass = ["PATH"]
[env.vars]
KEY = { required = true, secret = true, rekey = true }
REGION = { default = "nyc", pattern = "[a-z]{3}" }

[params]
limit = { type = "integer", default = 3, choices = [3, 5] }
dry = { type = "boolean", default = true }

[pools]
database = 2

[schedule]
cron = "0 3 * * *"
timezone = "Europe/Berlin"
[access]
group = "data"
[audit]
require_reason = true
anchors = ["/mnt/elsewhere", "anchor"]
anchor_command = ["mail", "-s", "checkpoint", "auditor"]
anchor_timeout = "1m"
[redact]
patterns = ["ACME-[0-9]{6}"]
builtin = false

[datasets.raw]
path = "raw/${REGION}"
pattern = "*.csv"
min_files = 1
layer = "raw"
fresh_within = { warn = "26h", error = "50h", refuse = true }
[datasets.tables]
probe = ["psql", "-c", "select 1"]
[datasets.bronze]
path = "bronze"
owner = "team"
classification = "internal"
retention = "400d"
digest = "listing"
formerly = ["b"]

[steps.ingest]
command = ["python", "ingest.py", "${limit}"]
code = ["lib/*.py"]
reads = ["raw", "tables"]
writes = ["bronze"]
env = ["REGION", "KEY"]
cwd = "work"
timeout = "10m"
grace = "0s"
log_limit = "10MiB"
retry = { attempts = 3, delay = "5s", factor = 1.5, max_delay = "1m", jitter = 0.1, on = ["transient"] }
exit_codes = { 3 = "no_new_data", 75 = "transient" }
uses = { database = 1 }
rerun = "never"
per_night = true
declassifies = "sums only"
formerly = ["load"]
[steps.tell]
shell = "echo done"
needs = ["ingest"]
when = "always"
"""


def parse(text: str | bytes) -> Parsed:
    """Read *text* as the file `p.toml`."""
    return parse_pipeline(text, file="p.toml", schema=SCHEMA)


def problems(text: str | bytes) -> list[Problem]:
    """Return what is wrong with *text*."""
    with pytest.raises(DefinitionError) as caught:
        parse(text)
    return list(caught.value.problems)


def told(text: str | bytes) -> list[tuple[str, str]]:
    """Return kind and full message of everything that is wrong with *text*."""
    return [(problem.kind, str(problem)) for problem in problems(text)]


class TestRight:
    """A right file becomes exactly the values that it says."""

    def test_nothing_is_owed_to_an_auditor_by_default(self) -> None:
        """Given no table [audit], or an empty one, then no reason is required and there is no anchor."""
        assert Audit() == parse(HEAD + STEP).pipeline.audit == parse(HEAD + STEP + "[audit]\n").pipeline.audit
        assert Audit(anchor_timeout_us=30_000_000) == Audit()

    @pytest.mark.parametrize(
        ("text", "expected"), [("", None), ("0", 0), ("4096", 4096), ("4096.0", 4096), ("'1KiB'", 1024)]
    )
    def test_room_is_a_size_or_a_number_of_bytes(self, text: str, expected: int | None) -> None:
        """Given min_free in either form, or not at all, then it is bytes, or left to the runs so far."""
        assert parse(HEAD + (text and f"min_free = {text}\n") + STEP).pipeline.min_free_bytes == expected

    def test_every_key_is_read(self) -> None:
        """Given a file that uses every key, then every value is in the pipeline."""
        pipeline = parse(FULL).pipeline

        assert pipeline == Pipeline(
            name="nightly",
            max_parallel=4,
            deadline_us=7_200_000_000,
            min_free_bytes=2 << 30,
            fail_fast=True,
            formerly=("old",),
            env_files=(".env",),
            env_pass=("PATH",),
            schedule_cron="0 3 * * *",
            timezone="Europe/Berlin",
            access_group="data",
            audit=Audit(True, ("/mnt/elsewhere", "anchor"), ("mail", "-s", "checkpoint", "auditor"), 60_000_000),
            redact=Redaction(("ACME-[0-9]{6}",), builtin=False),
            pools={"database": 2},
            variables={
                "KEY": Variable("KEY", required=True, secret=True, rekey=True),
                "REGION": Variable("REGION", default="nyc", pattern="[a-z]{3}"),
            },
            params={
                "limit": Parameter("limit", "integer", "3", ("3", "5")),
                "dry": Parameter("dry", "boolean", "true"),
            },
            datasets={
                "raw": Dataset(
                    "raw",
                    path="raw/${REGION}",
                    pattern="*.csv",
                    min_files=1,
                    layer="raw",
                    fresh_within=Freshness(93_600_000_000, 180_000_000_000, refuse=True),
                ),
                "tables": Dataset("tables", digest="probe", probe=("psql", "-c", "select 1")),
                "bronze": Dataset(
                    "bronze",
                    path="bronze",
                    owner="team",
                    classification="internal",
                    retention_us=400 * 86_400_000_000,
                    digest="listing",
                    formerly=("b",),
                ),
            },
            steps={
                "ingest": Step(
                    "ingest",
                    command=("python", "ingest.py", "${limit}"),
                    code=("lib/*.py",),
                    reads=("raw", "tables"),
                    writes=("bronze",),
                    env=("REGION", "KEY"),
                    cwd="work",
                    timeout_us=600_000_000,
                    grace_us=0,
                    log_limit_bytes=10 << 20,
                    retry=RetryPolicy(3, 5_000_000, 1.5, 60_000_000, 0.1, ("transient",)),
                    exit_codes={3: "no_new_data", 75: "transient"},
                    uses={"database": 1},
                    rerun="never",
                    per_night=True,
                    declassifies="sums only",
                    formerly=("load",),
                ),
                "tell": Step("tell", shell="echo done", needs=("ingest",), when="always"),  # noqa: S604 -- nothing is run
            },
            document=pipeline.document,
            digest=pipeline.digest,
        )

    def test_what_is_not_said_has_its_default(self) -> None:
        """Given the smallest file, then everything else is the default."""
        parsed = parse(HEAD + STEP)

        assert (Step("a", ("true",)),) == tuple(parsed.pipeline.steps.values())
        assert (None, ("PATH", "HOME", "LANG"), "UTC") == (
            parsed.pipeline.env_files,
            parsed.pipeline.env_pass,
            parsed.pipeline.timezone,
        )
        assert () == parsed.warnings

    def test_a_retry_table_may_say_a_part(self) -> None:
        """Given a retry that names only its attempts, then the rest of it is the default."""
        step = parse(HEAD + STEP + "retry = { attempts = 2 }\n").pipeline.steps["a"]

        assert RetryPolicy(attempts=2) == step.retry

    def test_the_flights_example(self) -> None:
        """The example is right, and its sources and steps are what its page says."""
        parsed = parse((ROOT / "examples" / "flights" / "pipeline.toml").read_bytes())
        pipeline = parsed.pipeline

        assert ("flights", 1_800_000_000, ()) == (pipeline.name, pipeline.deadline_us, parsed.warnings)
        assert ("raw_flights", "raw_weather", "raw_dimensions") == pipeline.sources()
        assert [
            "bronze_flights",
            "bronze_weather",
            "dimensions",
            "quality",
            "silver",
            "gold_carriers",
            "gold_airports",
            "report",
            "spot_check",
        ] == list(pipeline.steps)
        assert RetryPolicy(3, 5_000_000, 2.0, 60_000_000) == pipeline.steps["bronze_flights"].retry
        assert pipeline.variables["FLIGHTS_API_KEY"].secret

    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            ('command = ["load", "${NIGHT}"]', True),
            ('command = ["load"]\ncwd = "${NIGHT}"', True),
            ('command = ["load"]\ncode = ["${NIGHT}/*.py"]', True),
            ('command = ["load"]\nreads = ["d"]', True),
            ('command = ["load"]\nwrites = ["d"]', True),
            ('command = ["load"]\nreads = ["q"]', False),
            ('command = ["load", "$${NIGHT}"]', False),
            ('command = ["load", "${NIGHT}"]\nper_night = false', False),
            ('shell = "load ${NIGHT}"', False),
        ],
    )
    def test_a_night_in_command_or_paths_counts_night_by_night(self, lines: str, *, expected: bool) -> None:
        """`${NIGHT}` in what a step runs or in its datasets implies `per_night`, unless it says otherwise."""
        data = '[datasets.d]\npath = "d/${NIGHT}"\n[datasets.q]\nprobe = ["q"]\n'

        assert expected == parse(f"{HEAD}{data}[steps.a]\n{lines}\n").pipeline.steps["a"].per_night

    def test_a_warning_keeps_nothing_from_running(self) -> None:
        """Given a doubtful declaration, then the pipeline is there, and the warning with its place."""
        parsed = parse(HEAD + STEP + '[env.vars]\nV = { default = "x", required = true }\n')

        assert [("required_default", "warning", 6, 22)] == [
            (item.kind, item.severity, item.line, item.column) for item in parsed.warnings
        ]


class TestDigest:
    """The digest is that of what the file means."""

    def test_order_space_and_comments_do_not_count(self) -> None:
        """Given the same values in another spelling, then the digest is the same."""
        other = "# nightly\nsteps = { a = { 'command' = [\n  'true', # yes\n] } }\r\n\npipeline.name = 'p'\n"

        assert parse(HEAD + STEP).pipeline.digest == parse(other).pipeline.digest

    def test_a_value_counts(self) -> None:
        """Given another value, then the digest is another one."""
        one, other = (parse(HEAD + STEP + f'timeout = "{text}"\n').pipeline.digest for text in ("60s", "1m"))

        assert one != other
        assert one.startswith("sha256:")


class TestShape:
    """What breaks the published schema is told with its place and what to write instead."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                HEAD + '[steps.a]\ncomand = ["true"]\n',
                [
                    (
                        "one_of",
                        'p.toml:3:8: steps.a has neither command nor shell (write command = ["program", "argument"])',
                    ),
                    ("unknown_key", "p.toml:4:1: unknown key 'comand' in steps.a (did you mean command?)"),
                ],
            ),
            (
                HEAD + STEP + 'shell = "x"\n',
                [
                    (
                        "one_of",
                        'p.toml:3:8: steps.a has both command and shell (write command = ["program", "argument"])',
                    )
                ],
            ),
            (
                HEAD + STEP + "zzz = 1\n[access]\nzzz = 1\n",
                [
                    (
                        "unknown_key",
                        (
                            "p.toml:5:1: unknown key 'zzz' in steps.a (allowed are command, shell, code, reads, writes, needs, env, cwd, "
                            "timeout, grace, log_limit, retry, exit_codes, uses, rerun, when, per_night, declassifies, formerly)"
                        ),
                    ),
                    ("unknown_key", "p.toml:7:1: unknown key 'zzz' in access (allowed are group)"),
                ],
            ),
            ("", [("missing_key", "p.toml: the file lacks pipeline"), ("missing_key", "p.toml: the file lacks steps")]),
            ("[pipeline]\n" + STEP, [("missing_key", "p.toml:1:2: pipeline lacks name")]),
            (HEAD + "[steps]\n", [("empty", "p.toml:3:2: steps is empty, at least one entry is expected")]),
            (
                HEAD + "[steps.a]\ncommand = []\n",
                [("empty", "p.toml:4:1: steps.a.command is empty, at least one entry is expected")],
            ),
            (
                HEAD + STEP + '[audit]\nanchor = "a"\nanchor_timeout = 5\nanchor_command = "mail me"\n',
                [
                    ("unknown_key", "p.toml:6:1: unknown key 'anchor' in audit (did you mean anchors?)"),
                    (
                        "wrong_type",
                        'p.toml:7:1: audit.anchor_timeout is the number 5, expected a text (write it with its unit, in quotes: "5s")',
                    ),
                    (
                        "wrong_type",
                        (
                            "p.toml:8:1: audit.anchor_command is the text 'mail me', expected an array "
                            '(write ["mail", "me"])'
                        ),
                    ),
                ],
            ),
            (
                HEAD + STEP + "[datasets.d]\npath = 'd'\nfresh_within = {}\n",
                [("empty", "p.toml:7:1: datasets.d.fresh_within is empty, at least one entry is expected")],
            ),
            (
                HEAD + '[steps.a]\ncommand = "python a.py one two three"\n',
                [
                    (
                        "wrong_type",
                        (
                            "p.toml:4:1: steps.a.command is the text 'python a.py one two three', expected an array "
                            '(write ["python", "a.py", "one", "two", …])'
                        ),
                    )
                ],
            ),
            (
                HEAD + STEP + 'code = "x y.py"\n',
                [
                    (
                        "wrong_type",
                        """p.toml:5:1: steps.a.code is the text 'x y.py', expected an array (write ["x y.py"])""",
                    )
                ],
            ),
            (
                HEAD + STEP + "timeout = 90\ngrace = true\n",
                [
                    (
                        "wrong_type",
                        'p.toml:5:1: steps.a.timeout is the number 90, expected a text (write it with its unit, in quotes: "90s")',
                    ),
                    ("wrong_type", "p.toml:6:1: steps.a.grace is true, expected a text"),
                ],
            ),
            (
                HEAD + "max_parallel = 'x'\nfail_fast = []\n" + STEP + "retry = 1\n",
                [
                    ("wrong_type", "p.toml:3:1: pipeline.max_parallel is the text 'x', expected a whole number"),
                    ("wrong_type", "p.toml:4:1: pipeline.fail_fast is an array, expected true or false"),
                    ("wrong_type", "p.toml:7:1: steps.a.retry is the number 1, expected a table"),
                ],
            ),
            (
                HEAD + STEP + "[params]\nx = { default = {} }\n",
                [
                    (
                        "wrong_type",
                        "p.toml:6:7: params.x.default is a table, expected a text or a whole number or true or false",
                    )
                ],
            ),
            (
                HEAD + STEP + "when = 'allways'\nrerun = 5\n",
                [
                    (
                        "bad_value",
                        "p.toml:5:1: steps.a.when is 'allways', expected one of upstream_ok, always, on_failure (did you mean always?)",
                    ),
                    ("bad_value", "p.toml:6:1: steps.a.rerun is 5, expected one of safe, never"),
                ],
            ),
            (
                HEAD + STEP + 'timeout = "5"\nlog_limit = "5MB"\n',
                [
                    (
                        "bad_value",
                        (
                            "p.toml:5:1: steps.a.timeout is not a duration: '5'; a duration is whole numbers with units, largest first: "
                            '"500ms", "90s", "1h30m", "400d"'
                        ),
                    ),
                    (
                        "bad_value",
                        (
                            "p.toml:6:1: steps.a.log_limit is not a size: '5MB'; a size is a whole number with one unit: "
                            '"64KiB", "10MiB", "1GiB"'
                        ),
                    ),
                ],
            ),
            (
                HEAD + STEP + 'timeout = "0s"\nlog_limit = "0B"\n',
                [
                    ("bad_duration", "p.toml:5:1: steps.a.timeout: the duration is zero: '0s'; it must be longer"),
                    (
                        "bad_size",
                        "p.toml:6:1: steps.a.log_limit: the size is out of range: '0B', allowed is 1B to 1024TiB",
                    ),
                ],
            ),
            (
                HEAD + STEP + 'cwd = ""\nshell = ""\n[datasets.d]\npath = "a\\n"\n',
                [
                    (
                        "one_of",
                        'p.toml:3:8: steps.a has both command and shell (write command = ["program", "argument"])',
                    ),
                    ("bad_value", "p.toml:5:1: steps.a.cwd is empty"),
                    ("bad_value", "p.toml:6:1: steps.a.shell is empty"),
                    (
                        "bad_value",
                        "p.toml:8:1: datasets.d.path is 'a\\n', which is not of the form that is expected here",
                    ),
                ],
            ),
            (
                HEAD + STEP + f'declassifies = "{"x" * 1001}"\n',
                [("bad_value", "p.toml:5:1: steps.a.declassifies has 1001 characters, at most 1000 are allowed")],
            ),
            (
                HEAD + "max_parallel = 0\n" + STEP + "retry = { jitter = 1.5 }\n",
                [
                    ("out_of_range", "p.toml:3:1: pipeline.max_parallel is 0, at least 1 is allowed"),
                    ("out_of_range", "p.toml:6:11: steps.a.retry.jitter is 1.5, at most 1 is allowed"),
                ],
            ),
            (
                HEAD + "min_free = -1\n" + STEP,
                [("out_of_range", "p.toml:3:1: pipeline.min_free is -1, at least 0 is allowed")],
            ),
            (
                HEAD + "min_free = '2 GB'\n" + STEP,
                [
                    (
                        "bad_value",
                        f"p.toml:3:1: pipeline.min_free is not a size: '2 GB'; {SIZE_FORM}",
                    )
                ],
            ),
            (
                HEAD + "min_free = '0B'\n" + STEP,
                [
                    (
                        "bad_size",
                        "p.toml:3:1: pipeline.min_free: the size is out of range: '0B', allowed is 1B to 1024TiB",
                    )
                ],
            ),
            (
                HEAD + STEP + 'code = ["x", "y", "x"]\n',
                [("duplicate", "p.toml:5:1: steps.a.code names 'x' twice (remove one of them)")],
            ),
        ],
    )
    def test_problem(self, text: str, expected: list[tuple[str, str]]) -> None:
        """Given one wrong file, then these problems and no other."""
        assert expected == told(text)

    @pytest.mark.parametrize(
        ("text", "line", "column", "message"),
        [
            (
                '[steps."a b"]\ncommand = ["true"]\n',
                5,
                8,
                "not a name of a step: 'a b'; names are letters, digits, '_' and '-'",
            ),
            ('[datasets."x\\n"]\npath = "x"\n', 5, 11, "not a name of a dataset: 'x\\n'; names are letters"),
            ('[pools]\n"" = 1\n', 6, 1, "the name of a pool is empty"),
            (
                "[env.vars]\n1A = {}\n",
                6,
                1,
                "not a name of a variable: '1A'; it takes letters, digits and '_', not starting",
            ),
            ("[params]\nx-y = {}\n", 6, 1, "not a name of a variable: 'x-y'; it takes letters"),
            ('exit_codes = { 256 = "transient" }\n', 5, 16, "not an exit code: '256'; 1 to 255 are allowed"),
            ('uses = { "x y" = 1 }\n', 5, 10, "not a name of a entry: 'x y'; names are letters"),
        ],
    )
    def test_bad_name(self, text: str, line: int, column: int, message: str) -> None:
        """Given a key that may not be a name, then its kind's rule is told at the key."""
        found = problems(HEAD + STEP + text)

        assert [("bad_name", line, column)] == [(item.kind, item.line, item.column) for item in found]
        assert found[0].message.startswith(message)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('reads = ["x y"]', "steps.a.reads[0] is not a name of a dataset: 'x y'; names are"),
            ('writes = ["ok", "x y"]', "steps.a.writes[1] is not a name of a dataset: 'x y'; names are"),
            ('needs = [""]', "steps.a.needs[0] is the name of a step is empty"),
            ('formerly = ["x y"]', "steps.a.formerly[0] is not a name of a step: 'x y'; names are"),
            ('env = ["1A"]', "steps.a.env[0] is not a name of a variable: '1A'; it takes"),
        ],
    )
    def test_bad_name_in_a_list(self, text: str, message: str) -> None:
        """Given an item that may not be a name, then the item is pointed at and nothing follows from it."""
        found = problems(HEAD + STEP + text + "\n")

        assert [("bad_value", 5)] == [(item.kind, item.line) for item in found]
        assert found[0].message.startswith(message)

    def test_a_step_that_is_no_table_is_one_problem(self) -> None:
        """Given a number or a text where a step should be, then its type is told, and nothing that follows from it."""
        text = HEAD + "[steps]\na = 5\nb = 'x'\n[steps.c]\ncommand = ['true']\nneeds = ['a']\n"

        assert [
            ("wrong_type", "p.toml:4:1: steps.a is the number 5, expected a table"),
            ("wrong_type", "p.toml:5:1: steps.b is the text 'x', expected a table"),
        ] == told(text)

    def test_what_is_there_but_wrong_is_not_unknown(self) -> None:
        """Given entries of the wrong type, then whoever names them is not told that they are missing."""
        text = (
            HEAD
            + STEP
            + "reads = ['d']\nenv = ['V']\nuses = { db = 1 }\ncwd = '${V}'\n"
            + "[datasets]\nd = 'x'\n[env.vars]\nV = 'x'\n[pools]\ndb = 'x'\n"
        )

        assert ["datasets.d", "env.vars.V", "pools.db"] == [
            item.message.partition(" is ")[0] for item in problems(text)
        ]

    def test_a_bad_name_and_what_is_wrong_below_it(self) -> None:
        """Given a step whose name and whose content are wrong, then both are told."""
        assert [("bad_name", 3), ("wrong_type", 5)] == [
            (item.kind, item.line) for item in problems(HEAD + '[steps."a b"]\ncommand = ["true"]\ncwd = 5\n')
        ]

    def test_what_is_no_toml(self) -> None:
        """Given a file that cannot be parsed at all, then its place."""
        assert [("syntax", "p.toml:1:8: not TOML: invalid value")] == told("steps =")
        assert [("not_utf8", 1, 1)] == [(item.kind, item.line, item.column) for item in problems(b"\xff\xfes")]

    def test_a_table_that_is_none_leaves_the_rest_to_be_checked(self) -> None:
        """Given a value where all steps should be, then what else is wrong is told as well."""
        assert [
            ("wrong_type", "p.toml:1:1: steps is the number 5, expected a table"),
            ("bad_value", "p.toml:3:1: pipeline.name is the name of a pipeline is empty"),
        ] == told('steps = 5\n[pipeline]\nname = ""\n')


class TestAllAtOnce:
    """One pass finds everything."""

    def test_every_kind_in_one_file(self) -> None:
        """Given a file with many mistakes, then all of them, in the order of the file."""
        text = (
            '[pipeline]\nname = "bad name"\ndeadlin = "1h"\n'
            '[env.vars]\nKEY = { secret = true, default = "x" }\nKEY = {}\n'
            '[datasets.raw]\npath = "${RAW}/x"\nmin_files = -1\n'
            '[steps.a]\ncommand = ["a\\u0001"]\nreads = ["rav"]\ntimeout = "1"\n'
            '[steps.b]\ncommand = ["b"]\nneeds = ["c"]\n[steps.c]\ncommand = ["c"]\nneeds = ["b"]\nwrites = ["raw"]\n'
            '[steps.d]\nshell = "d"\nwrites = ["raw"]\nlog_limit = "0B"\nmin = inf\n'
        )

        assert [
            ("bad_value", 2),
            ("unknown_key", 3),
            ("secret_default", 5),
            ("duplicate_key", 6),
            ("unknown_reference", 8),
            ("out_of_range", 9),
            ("control_character", 11),
            ("unknown_dataset", 12),
            ("bad_value", 13),
            ("cycle", 14),
            ("two_writers", 23),
            ("bad_size", 24),
            ("not_finite", 25),
        ] == [(item.kind, item.line) for item in problems(text)]

    def test_a_warning_is_not_among_the_errors(self) -> None:
        """Given an error and a warning, then the error alone refuses."""
        text = HEAD + STEP + 'reads = ["x"]\n[env.vars]\nV = { default = "x", required = true }\n'

        assert ["unknown_dataset"] == [item.kind for item in problems(text)]

    def test_very_many_are_cut(self) -> None:
        """Given more problems than anybody reads, then the last entry says how many more there are."""
        found = problems(HEAD + STEP + "".join(f"x{number} = 1\n" for number in range(PROBLEMS_MAX + 7)))

        assert PROBLEMS_MAX + 1 == len(found)
        assert "p.toml: and 7 more problems (mend these first)" == str(found[-1])

    def test_the_error_tells_all_in_its_own_text(self) -> None:
        """The exception, printed, names each problem."""
        with pytest.raises(DefinitionError, match=r"lacks pipeline; p\.toml: the file lacks steps"):
            parse("")

    def test_problems_as_json(self) -> None:
        """A problem has the same fields wherever it is shown or recorded."""
        assert {
            "kind": "empty",
            "message": "steps is empty, at least one entry is expected",
            "path": ["steps"],
            "file": "p.toml",
            "line": 3,
            "column": 2,
            "suggestion": None,
            "severity": "error",
        } == problems(HEAD + "[steps]\n")[0].as_json()


class TestScalarText:
    """Defaults and choices of any type become the text that a variable holds."""

    @pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (3, "3"), ("x", "x")])
    def test_text(self, value: object, text: str) -> None:
        """Booleans are written as TOML writes them."""
        assert text == scalar_text(value)
