"""Tests of what a definition of the right shape may still have wrong."""

from __future__ import annotations

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.cycles import find_cycles
from orchestrator.core.definition import Parameter
from orchestrator.core.errors import DefinitionError
from orchestrator.core.nights import parse_date
from orchestrator.core.parameters import check_parameter_value
from orchestrator.core.parse import parse_pipeline
from orchestrator.schemas import load_schema
from tests.pipelines import graphs

SCHEMA = load_schema("pipeline")


def told(text: str) -> list[tuple[str, str]]:
    """Return kind and message, with its place, of all that is wrong with *text* after a right `[pipeline]`."""
    try:
        warnings = parse_pipeline('pipeline.name = "p"\n' + text, file="p.toml", schema=SCHEMA).warnings
    except DefinitionError as error:
        return [(problem.kind, str(problem)) for problem in error.problems]
    return [(problem.kind, str(problem)) for problem in warnings]


STEPS = '[steps.a]\ncommand = ["a"]\n'


class TestSchedule:
    """Schedules fire, and limits of age can be passed."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                '[schedule]\ncron = "99 2 * * *"\n',
                (
                    "bad_value",
                    (
                        "p.toml:5:1: schedule.cron '99 2 * * *' is no schedule: Bad minute"
                        " (minute hour day month weekday, such as 30 2 * * * for half past two each night)"
                    ),
                ),
            ),
            (
                '[datasets.x]\npath = "x"\nfresh_within = { warn = "2h", error = "2h" }\n',
                (
                    "no_effect",
                    "p.toml:6:18: datasets.x.fresh_within warns no earlier than it errs: warn has to be shorter than error",
                ),
            ),
            (
                '[datasets.x]\npath = "x"\nfresh_within = { warn = "2h", refuse = true }\n',
                ("no_effect", "p.toml:6:31: datasets.x.fresh_within never refuses: refuse needs error"),
            ),
            (
                '[datasets.x]\nprobe = ["x"]\nfresh_within = { warn = "2h" }\n',
                (
                    "no_effect",
                    "p.toml:6:1: datasets.x is no file and nobody writes it: how fresh it is cannot be told",
                ),
            ),
        ],
    )
    def test_problem(self, text: str, expected: tuple[str, str]) -> None:
        """Given one mistake, then it is told where it stands."""
        assert [expected] == told(STEPS + text)

    def test_right_ones(self) -> None:
        """Given limits in order, and data without a file that a step writes, then nothing is told."""
        text = (
            '[schedule]\ncron = "30 2 * * *"\n[datasets.x]\nprobe = ["x"]\nfresh_within = { warn = "1h", error = "2h", refuse = true }\n'
            '[steps.b]\ncommand = ["b"]\nwrites = ["x"]\n'
        )
        assert told(STEPS + text) == []

    def test_the_extra_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given no cronsim, then a definition with a schedule is right: a night must not be refused for want of it."""
        monkeypatch.setitem(sys.modules, "cronsim", None)
        assert told(STEPS + '[schedule]\ncron = "99 2 * * *"\n') == []


class TestNames:
    """Names are unique without regard to case, and a former name has one claimant."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (STEPS + '[steps.A]\ncommand = ["a"]\n', "p.toml:4:8: two steps differ only in case: a and A"),
            (
                STEPS + "[datasets]\nx.path = 'x'\nX.path = 'y'\n",
                "p.toml:6:1: two datasets differ only in case: x and X",
            ),
            (STEPS + "[pools]\nx = 1\nX = 1\n", "p.toml:6:1: two pools differ only in case: x and X"),
        ],
    )
    def test_case_twins(self, text: str, message: str) -> None:
        """Given two names that differ only in case, then the second one is pointed at."""
        assert [("duplicate_name", f"{message} (rename one of them)")] == told(text)

    def test_former_name_that_still_exists(self) -> None:
        """Given a step that claims the name of another one, then it is told which."""
        text = STEPS + 'formerly = ["b"]\n[steps.b]\ncommand = ["b"]\n'

        assert [
            (
                "formerly_exists",
                "p.toml:4:1: steps.a was formerly b, but steps.b still exists (remove b from formerly)",
            )
        ] == told(text)

    def test_former_name_with_two_claimants(self) -> None:
        """Given two datasets with one former name, then both are named."""
        text = STEPS + "[datasets.x]\npath = 'x'\nformerly = ['o']\n[datasets.y]\npath = 'y'\nformerly = ['o']\n"

        assert [
            (
                "formerly_twice",
                "p.toml:9:1: both datasets.x and datasets.y were formerly o (one of them keeps the history)",
            )
        ] == told(text)

    def test_pipeline_formerly_itself(self) -> None:
        """Given a pipeline that was formerly called what it is called, then that is told."""
        assert [("formerly_exists", "p.toml:2:10: the pipeline is still called p (remove it from formerly)")] == told(
            "pipeline.formerly = ['p']\n" + STEPS
        )


class TestDatasets:
    """A dataset is somewhere, and nowhere else."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                "[datasets.d]\nowner = 'x'\n",
                ("missing_key", 'p.toml:4:11: datasets.d has no path (write path = "data/…", or a probe)'),
            ),
            (
                "[datasets.d]\npath = 'x'\ndigest = 'probe'\n",
                ("missing_key", 'p.toml:6:1: datasets.d has digest = "probe" but no probe'),
            ),
            (
                "[datasets.d]\npath = 'x'\npattern = '/x'\n",
                (
                    "bad_pattern",
                    "p.toml:6:1: datasets.d.pattern leaves the folder of the dataset: '/x' (a pattern is relative to path)",
                ),
            ),
            (
                "[datasets.d]\npath = 'x'\npattern = 'a/../../x'\n",
                (
                    "bad_pattern",
                    "p.toml:6:1: datasets.d.pattern leaves the folder of the dataset: 'a/../../x' (a pattern is relative to path)",
                ),
            ),
        ],
    )
    def test_problem(self, text: str, expected: tuple[str, str]) -> None:
        """Given one mistake in a dataset, then it is told where it stands."""
        assert [expected] == told(STEPS + text)

    @pytest.mark.parametrize(
        ("keys", "written", "kind", "message"),
        [
            ("min_rows = 1", False, "not_an_output", "min_rows is for outputs, and no step writes d (a source is held to min_files)"),
            ("allow_empty = true", False, "not_an_output", "allow_empty is for outputs, and no step writes d (a source may be empty: remove it)"),
            ("min_files = 1\nallow_empty = true", True, "contradiction", "d may be empty, and has min_files = 1 (remove one of the two)"),
            ("min_rows = 1\nallow_empty = true", True, "contradiction", "d may be empty, and has min_rows = 1 (remove one of the two)"),
            ("probe = ['x']\ndigest = 'listing'", True, "contradiction", 'd has a probe, which digest = "listing" does not ask (remove one of the two)'),
            ("probe = [' ']", True, "empty", "d.probe names no program"),
            ("env = ['V']", True, "contradiction", "d.env is what its probe sees, and it has none (variables reach a step by its own env)"),
            ("probe = ['x']\nenv = ['W']", True, "unknown_variable", "no such variable: 'W' (defined are: V)"),
            ("probe = ['x', '${W}']", True, "unknown_reference", "datasets.d.probe refers to W, which is not declared (declare W in [env.vars] or [params])"),
        ],
    )  # fmt: skip
    def test_contract_and_probe(self, keys: str, kind: str, message: str, *, written: bool) -> None:
        """Given keys of a dataset that make no sense together or where they stand, then that is told."""
        text = f"[env.vars]\nV = {{}}\n[datasets.d]\npath = 'x'\n{keys}\n{STEPS}" + (
            "writes = ['d']" if written else "reads = ['d']"
        )
        ((found, told_),) = told(text)
        assert found == kind
        assert told_.endswith(message)

    def test_files_of_what_has_no_path(self) -> None:
        """Given a number of files of what is no file, then that is told."""
        text = f"[datasets.d]\nprobe = ['x']\nmin_files = 1\n{STEPS}writes = ['d']"
        assert [kind for kind, _ in told(text)] == ["contradiction"]

    @pytest.mark.parametrize(
        "keys", ["min_rows = 2\nmin_files = 1", "allow_empty = true", "probe = ['x', '${V}']\nenv = ['V']"]
    )
    def test_contract_that_makes_sense(self, keys: str) -> None:
        """Given keys that go together, then nothing is wrong."""
        assert told(f"[env.vars]\nV = {{}}\n[datasets.d]\npath = 'x'\n{keys}\n{STEPS}writes = ['d']") == []

    def test_two_names_for_one_written_place(self) -> None:
        """Given a written dataset under a second name, then the second writer that this would hide is told."""
        text = "[datasets]\nx.path = 'd/x'\ny.path = './d//x/'\n" + STEPS + "writes = ['x']\n"

        assert [
            (
                "same_place",
                "p.toml:4:3: datasets.x and datasets.y are the same files: './d//x/' (use one dataset for both)",
            )
        ] == told(text)

    def test_two_names_for_one_source_are_fine(self) -> None:
        """Given two sources in one place, or one place with two patterns, then nothing is wrong."""
        sources = "[datasets]\nx.path = 'd'\ny.path = 'd'\nz = { path = 'd', pattern = '*.csv' }\n"

        assert [] == told(sources + STEPS + "reads = ['x', 'y']\nwrites = ['z']\n")


def test_written_inside_what_is_read() -> None:
    """Given an output inside a folder that is read as a whole, then a warning says so; where only files of the folder itself are read, there is none."""
    steps = "[steps.a]\nshell = 'x'\nreads = ['raw']\nwrites = ['out']\n[datasets.out]\npath = 'raw/out'\n"
    whole = "[datasets.raw]\npath = 'raw'\n"
    assert "overlap" in [kind for kind, _ in told(steps + whole)]
    assert "overlap" not in [kind for kind, _ in told(steps + whole + "pattern = '*.csv'\n")]


class TestSteps:
    """Steps name what is there, and nobody waits for themselves."""

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (
                "reads = ['bronce']",
                ("unknown_dataset", "p.toml:6:10: no such dataset: 'bronce' (did you mean bronze?)"),
            ),
            ("writes = ['zzz']", ("unknown_dataset", "p.toml:6:11: no such dataset: 'zzz' (defined are: bronze)")),
            ("needs = ['A']", ("unknown_step", "p.toml:6:10: no such step: 'A' (did you mean a?)")),
            ("env = ['REGION']", ("unknown_variable", "p.toml:6:8: no such variable: 'REGION' (defined are: none)")),
            ("uses = { db = 1 }", ("unknown_pool", "p.toml:6:10: no such pool: 'db' (defined are: none)")),
            (
                "reads = ['bronze']\nwrites = ['bronze']",
                ("reads_and_writes", "p.toml:7:1: step a both reads and writes bronze (write another dataset)"),
            ),
            ("needs = ['a']", ("cycle", "p.toml:6:1: step a needs itself")),
            (
                "code = ['../x']",
                (
                    "bad_pattern",
                    "p.toml:6:1: steps.a.code leaves the folder of pipeline.toml: '../x' (code lies beside pipeline.toml)",
                ),
            ),
            (
                "code = ['/x']",
                (
                    "bad_pattern",
                    "p.toml:6:1: steps.a.code leaves the folder of pipeline.toml: '/x' (code lies beside pipeline.toml)",
                ),
            ),
        ],
    )
    def test_problem(self, line: str, expected: tuple[str, str]) -> None:
        """Given one mistake in a step, then it is told where it stands, with what was probably meant."""
        assert [expected] == told("[datasets.bronze]\npath = 'bronze'\n" + STEPS + line + "\n")

    def test_many_names_are_not_all_listed(self) -> None:
        """Given more names than fit a message, then some of them are listed."""
        pools = "pools = { p1 = 1, p2 = 1, p3 = 1, p4 = 1, p5 = 1, p6 = 1, p7 = 1, p8 = 1, p9 = 1 }\n"

        assert [
            (
                "unknown_pool",
                "p.toml:5:10: no such pool: 'zzz' (defined are: p1, p2, p3, p4, p5, p6, p7, p8, …)",
            )
        ] == told(pools + STEPS + "uses = { zzz = 1 }\n")

    def test_more_shares_than_there_are(self) -> None:
        """Given a step that wants more of a pool than it has, then it could never start."""
        assert [
            ("out_of_range", "p.toml:5:10: steps.a uses 3 shares of pool db, which has 2: it could never start")
        ] == told("pools.db = 2\n" + STEPS + "uses = { db = 3 }\n")
        assert [] == told("pools.db = 2\n" + STEPS + "uses = { db = 2 }\n")

    def test_two_writers(self) -> None:
        """Given two steps that write one dataset, then the second one is pointed at."""
        text = "datasets.x.path = 'x'\n" + STEPS + "writes = ['x']\n[steps.b]\ncommand = ['b']\nwrites = ['x']\n"

        assert [
            (
                "two_writers",
                "p.toml:8:1: two steps write x: a and b; a dataset has one writer (give each step its own dataset)",
            )
        ] == told(text)

    @pytest.mark.parametrize("when", ["always", "on_failure"])
    def test_never_twice_and_always(self, when: str) -> None:
        """Given a step that must not run again after a loss and runs whatever has happened, then the two contradict each other."""
        (problem,) = told(STEPS + f'rerun = "never"\nwhen = "{when}"\n')
        assert problem[0] == "rerun_when"
        assert problem[1].startswith(f'p.toml:4:1: step a has rerun = "never" and when = "{when}"')

    def test_a_command_without_a_program(self) -> None:
        """Given a blank first word, then there is nothing to run."""
        assert [("empty", "p.toml:3:1: steps.a.command names no program")] == told("[steps.a]\ncommand = [' ', 'x']\n")

    def test_a_circle_through_data_and_needs(self) -> None:
        """Given steps that wait for each other, then the whole circle is shown, as data flows."""
        text = (
            "datasets = { x.path = 'x', y.path = 'y' }\n"
            "[steps.a]\ncommand = ['a']\nreads = ['y']\nwrites = ['x']\n"
            "[steps.b]\ncommand = ['b']\nreads = ['x']\n[steps.c]\ncommand = ['c']\nneeds = ['b']\nwrites = ['y']\n"
        )

        assert [
            (
                "cycle",
                "p.toml:3:8: the steps wait for each other in a circle: a -> b -> c -> a (remove one of these edges)",
            )
        ] == told(text)

    @pytest.mark.parametrize("when", ["always", "on_failure"])
    def test_clean_up_without_a_bound(self, when: str) -> None:
        """Given clean-up without a timeout, then a deadline that it may outlast is warned of; without one, or with a timeout, nothing is."""
        clean = f'[steps.c]\ncommand = ["c"]\nneeds = ["a"]\nwhen = "{when}"\n'
        limited = 'pipeline.deadline = "1s"\n'
        (warning,) = told(limited + STEPS + clean)
        assert warning == (
            "unbounded",
            (
                "p.toml:8:1: steps.c runs after the deadline too, for as long as it takes"
                ' (give it a timeout = "…", which bounds clean-up)'
            ),
        )
        assert told(STEPS + clean) == told(limited + STEPS + clean + 'timeout = "1m"\n') == []


class TestVariables:
    """Variables and parameters that can be declared, and texts that refer to what is declared."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                "[env.vars]\nNIGHT = {}\n",
                (
                    "reserved_name",
                    "p.toml:5:1: NIGHT is set by orchestrate itself and cannot be declared (choose another name)",
                ),
            ),
            (
                "[params]\nORCHESTRATE_X = {}\n",
                (
                    "reserved_name",
                    "p.toml:5:1: ORCHESTRATE_X is set by orchestrate itself and cannot be declared (choose another name)",
                ),
            ),
            (
                "env.vars.X = {}\n[params]\nX = {}\n",
                ("unknown_key", ""),
            ),
            (
                "[env.vars]\nX = { secret = true, default = 'x' }\n",
                (
                    "secret_default",
                    "p.toml:5:22: env.vars.X is secret and has a default: the definition is recorded and shown (put the value into .env)",
                ),
            ),
            (
                "[env.vars]\nX = { rekey = true }\n",
                (
                    "rekey",
                    "p.toml:5:7: env.vars.X has rekey, which is for secrets: the value of a plain variable always counts (remove rekey)",
                ),
            ),
            (
                "[env.vars]\nX = { required = true, default = '' }\n",
                (
                    "required_default",
                    "p.toml:5:7: env.vars.X is required and has a default, so that it can never be missing (remove one)",
                ),
            ),
            (
                "[env.vars]\nX = { pattern = '(' }\n",
                ("bad_pattern", "p.toml:5:7: env.vars.X.pattern is no regular expression: '('"),
            ),
            (
                "[env.vars]\nX = { pattern = '[a-z]', default = 'ab' }\n",
                ("bad_default", "p.toml:5:26: env.vars.X: the default 'ab' does not match '[a-z]'"),
            ),
            (
                "[params]\nx = { type = 'integer', default = 'y' }\n",
                ("bad_default", "p.toml:5:25: params.x: default has 'y', expected a whole number"),
            ),
            (
                "[params]\nx = { type = 'date', choices = ['y'] }\n",
                ("bad_choices", "p.toml:5:22: params.x: choices has 'y', expected a date such as 2026-01-31"),
            ),
            (
                "[params]\nx = { default = 'z', choices = ['x', 'y'] }\n",
                ("bad_default", "p.toml:5:7: params.x: default has 'z', expected one of x, y"),
            ),
        ],
    )
    def test_problem(self, text: str, expected: tuple[str, str]) -> None:
        """Given one mistake in a declaration, then it is told where it stands."""
        if expected[0] == "unknown_key":  # The table `steps.a` is open above: a dotted key would belong to it.
            text = text.replace("env.vars.X = {}\n", "[env.vars]\nX = {}\n")
            expected = ("duplicate_name", "p.toml:7:1: X is both a variable and a parameter (rename one of them)")
        assert [expected] == told(STEPS + text)

    def test_a_pattern_too_deep_to_compile(self) -> None:
        """Given a pattern that the compiler gives up on, then it is told like any other that is none."""
        deep = "(" * 5_000 + ")" * 5_000

        assert ["bad_pattern"] == [kind for kind, _ in told(STEPS + f"[env.vars]\nX = {{ pattern = '{deep}' }}\n")]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                "[datasets.d]\npath = '${REGIOM}'\n",
                (
                    "unknown_reference",
                    "p.toml:3:1: datasets.d.path refers to REGIOM, which is not declared (did you mean ${REGION}?)",
                ),
            ),
            (
                "[datasets.d]\npath = 'x'\npattern = '${KEY}'\n",
                (
                    "secret_reference",
                    (
                        "p.toml:4:1: datasets.d.pattern refers to KEY, which is secret: paths and commands are recorded and shown "
                        '(give it to the step with env = ["KEY"])'
                    ),
                ),
            ),
            (
                "[steps.b]\ncommand = ['b', 'x${']\n",
                (
                    "bad_reference",
                    "p.toml:3:17: steps.b.command holds a '${' that begins no ${NAME}: 'x${' (write $${ for a literal ${)",
                ),
            ),
            (
                "[steps.b]\ncommand = ['b']\ncode = ['${zzzzz}']\n",
                (
                    "unknown_reference",
                    "p.toml:4:9: steps.b.code refers to zzzzz, which is not declared (declare zzzzz in [env.vars] or [params])",
                ),
            ),
            (
                "[steps.b]\ncommand = ['b']\ncwd = '${limi}'\n",
                (
                    "unknown_reference",
                    "p.toml:4:1: steps.b.cwd refers to limi, which is not declared (did you mean ${limit}?)",
                ),
            ),
        ],
    )
    def test_reference(self, text: str, expected: tuple[str, str]) -> None:
        """Given a reference that stands for nothing or for a secret, then it is told at the text."""
        declared = "[env.vars]\nREGION = {}\nKEY = { secret = true }\n[params]\nlimit = {}\n"

        assert [expected] == told(text + STEPS + declared)

    def test_what_is_declared_may_be_referred_to(self) -> None:
        """Variables, parameters, the night and literal `$${` are fine everywhere."""
        text = (
            "[datasets.d]\npath = '${REGION}/${NIGHT}'\n"
            "[steps.b]\ncommand = ['b', '${limit}', '$${HOME}', '$HOME']\ncode = ['${REGION}.py']\ncwd = '${REGION}'\n"
            "[env.vars]\nREGION = { default = 'x' }\nKEY = { secret = true, pattern = 'x', rekey = true }\n"
            "[params]\nlimit = { default = true, type = 'boolean' }\n"
        )

        assert [] == told(text)


class TestParameterValue:
    """What `--set NAME=VALUE` may say."""

    @pytest.mark.parametrize(
        ("parameter", "value", "expected"),
        [
            (Parameter("x", "integer"), "-12", None),
            (Parameter("x", "integer"), "012", "'012', expected a whole number"),
            (Parameter("x", "boolean"), "true", None),
            (Parameter("x", "boolean"), "yes", "'yes', expected true or false"),
            (Parameter("x", "date"), "2024-02-29", None),
            (Parameter("x", "date"), "2023-02-29", "'2023-02-29', expected a date such as 2026-01-31"),
            (Parameter("x"), "anything", None),
            (Parameter("x", choices=("a", "b")), "a", None),
            (Parameter("x", choices=("a", "b")), "c", "'c', expected one of a, b"),
        ],
    )
    def test_value(self, parameter: Parameter, value: str, expected: str | None) -> None:
        """Given a type and choices, then a value is right or told to be wrong."""
        assert expected == check_parameter_value(parameter, value)

    def test_choices_may_be_left_out(self) -> None:
        """A choice is not looked up among the choices."""
        assert check_parameter_value(Parameter("x", choices=("a",)), "c", choices=False) is None

    @pytest.mark.parametrize("text", ["20260131", "2026-1-31", "2026-01-31\n", "٢٠٢٦-01-31", ""])
    def test_a_date_has_one_form(self, text: str) -> None:
        """Other spellings of a date are none."""
        assert parse_date(text) is None


class TestFindCycles:
    """Each group of steps that wait for each other is reported once, by a shortest circle."""

    @pytest.mark.parametrize(
        ("edges", "cycles"),
        [
            ({"a": ["b"], "b": []}, []),
            ({"a": ["b"], "b": ["a"]}, [["a", "b", "a"]]),
            ({"a": ["b", "c"], "b": ["c"], "c": ["a"]}, [["a", "c", "a"]]),
            (
                {"x": ["a"], "a": ["b"], "b": ["a", "m"], "m": ["c"], "c": ["d"], "d": ["c"]},
                [["a", "b", "a"], ["c", "d", "c"]],
            ),
            ({"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": ["a"]}, [["a", "b", "c", "d", "a"]]),
        ],
    )
    def test_cycles(self, edges: dict[str, list[str]], cycles: list[list[str]]) -> None:
        """Given these edges, then these circles."""
        assert cycles == find_cycles(edges)

    @given(graphs())
    def test_none_in_a_graph_without(self, edges: dict[str, list[str]]) -> None:
        """An acyclic graph has none."""
        assert [] == find_cycles(edges)

    @given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=25))
    def test_each_is_a_circle_and_nothing_circular_is_left(self, pairs: list[tuple[int, int]]) -> None:
        """For any edges, each answer is a way back to its start, and without these groups the graph has no circle."""
        edges: dict[str, list[str]] = {str(step): [] for step in range(9)}
        for one, other in pairs:
            if one != other and str(other) not in edges[str(one)]:
                edges[str(one)].append(str(other))

        cycles = find_cycles(edges)

        for cycle in cycles:
            assert cycle[0] == cycle[-1]
            assert len(cycle) == len(set(cycle)) + 1
            assert all(other in edges[step] for step, other in itertools.pairwise(cycle))
        reaches = {step: _reached(step, edges) for step in edges}
        grouped = [
            frozenset(other for other in edges if other in reaches[step] and step in reaches[other]) for step in edges
        ]
        groups = list(dict.fromkeys(group for group in grouped if group))
        assert [next(step for step in edges if step in group) for group in groups] == [cycle[0] for cycle in cycles]

    @pytest.mark.parametrize("shape", ["pairs", "chain between two circles", "one ring"])
    def test_cost_is_linear(self, shape: str) -> None:
        """Given twenty thousand steps in the worst shapes, then the edges of each are looked at a few times at most."""
        count, looks = 20_000, 0

        class Counting(dict[str, list[str]]):
            """Edges that count how often somebody looks."""

            def __getitem__(self, step: str) -> list[str]:
                """Return the edges of *step*."""
                nonlocal looks
                looks += 1
                return super().__getitem__(step)

        if shape == "pairs":
            edges = {str(step): [str(step ^ 1)] for step in range(count)}
        else:
            edges = {str(step): [str((step + 1) % count)] for step in range(count)}
        if shape == "chain between two circles":
            edges["1"].append("0")
            edges[str(count - 1)] = [str(count - 2)]

        cycles = find_cycles(Counting(edges))

        assert {"pairs": count // 2, "one ring": 1}.get(shape, 2) == len(cycles)
        assert looks <= 2 * count


def _reached(start: str, edges: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        step = waiting.pop()
        if step not in found:
            found.add(step)
            waiting += edges[step]
    return found


def test_too_many_patterns() -> None:
    """Given more patterns than are searched for, then that is said, and the limit."""
    patterns = ", ".join(f"'x{number}y'" for number in range(300))
    text = f'[redact]\npatterns = [{patterns}]\n[steps.a]\ncommand = ["true"]\n'
    assert any("entries, at most" in message for _, message in told(text))
