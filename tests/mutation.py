"""
How much the tests would notice: each small change of a module, one at a time, and the tests that stand for it, which should fail.

`python -m tests.mutation orchestrator/core/outcome.py …` (without words: every module of `MATCHING`) prints each change that no test has noticed, and the
figures. A change is a comparison, a condition, a number, a text or a statement that is another one, or not there. The module is changed in memory,
in a process of its own; files stay as they are, and programs that a test starts are not changed.
"""

from __future__ import annotations

import ast
import copy
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 5
"""How many times as long as they usually take the tests may take; a change that makes them hang is noticed."""
MATCHING: Mapping[str, tuple[str, ...]] = {
    "orchestrator/core/outcome.py": ("tests/orchestrator/core/test_outcome.py",),
    "orchestrator/core/plan.py": ("tests/orchestrator/core/test_plan.py",),
    "orchestrator/core/decide.py": ("tests/orchestrator/core/test_decide.py",),
    "orchestrator/core/state.py": ("tests/orchestrator/core/test_state.py",),
    "orchestrator/core/redaction.py": (
        "tests/orchestrator/core/test_redaction.py",
        "tests/orchestrator/core/test_redaction_rules.py",
    ),
    "ledger/merkle.py": ("tests/ledger/test_merkle.py",),
    "ledger/verifier.py": ("tests/ledger/test_verifier.py", "tests/ledger/test_merkle.py"),
    "ledger/canonical.py": ("tests/ledger/test_canonical.py",),
    "ledger/store.py": ("tests/ledger/test_store.py", "tests/ledger/test_clock.py", "tests/contracts"),
}
"""Each module, and its own tests; those of what stands above it would notice more."""

_OPPOSITES: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


def changes(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """Yield each change of *tree*, with where and what it is; the tree is as it was after each."""
    for node in list(_changeable(tree)):
        where = f"{getattr(node, 'lineno', 0)}: {ast.unparse(node).splitlines()[0][:90]}"
        for after in _changed(node):
            before = dict(node.__dict__)
            kind = type(node)
            node.__class__ = type(after)
            node.__dict__.clear()
            node.__dict__.update({**before, **after.__dict__})
            shown = ast.unparse(node).splitlines()[0][:90]
            yield f"{where}  ->  {shown}", tree
            node.__class__ = kind
            node.__dict__.clear()
            node.__dict__.update(before)


def _changeable(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that say what is done: no documentation, annotation, import, name that is offered, nor what an error is called."""
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert):
        return
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not is_text:
                if isinstance(child, ast.expr | ast.stmt):
                    yield child
                yield from _changeable(child)


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of *node*."""
    match node:
        case ast.Constant(value=value):
            yield from _other_values(value)
        case ast.Compare(left=left, ops=[op], comparators=others) if type(op) in _OPPOSITES:
            yield ast.Compare(left, [_OPPOSITES[type(op)]()], others)  # type: ignore[list-item]
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(_OPPOSITES[type(op)](), values)  # type: ignore[arg-type]
            for number in range(len(values)):
                rest = [value for place, value in enumerate(values) if place != number]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.BinOp(left=one, op=op, right=two) if type(op) in _OPPOSITES:
            yield ast.BinOp(one, _OPPOSITES[type(op)](), two)  # type: ignore[arg-type]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield copy.copy(operand)
        case ast.If(body=body, orelse=orelse):
            yield ast.If(ast.Constant(value=False), body, orelse)
        case ast.Return(value=ast.AST()):
            yield ast.Return(ast.Constant(None))
        case (
            ast.Expr(value=ast.Call())
            | ast.AugAssign()
            | ast.Continue()
            | ast.Break()
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
        ):
            yield ast.Pass()


def _other_values(value: object) -> Iterator[ast.Constant]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int():
            yield ast.Constant(value + 1)
        case str():
            yield ast.Constant(value + "X")
        case bytes():
            yield ast.Constant(value + b"X")


def survives(module: str, number: int | None, seconds: float) -> bool:
    """Whether the tests of *module* pass within *seconds* although the change *number* of it was made, or where none was."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        _run(module, number)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run(module: str, number: int | None) -> None:
    """Run the tests with the changed module, and end as they do."""
    import pytest

    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    path = str(ROOT / module)
    usual = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        if self.path != path or number is None:
            return usual(self, fullname)
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
        for place, (_, changed) in enumerate(changes(tree)):
            if place == number:
                return compile(ast.fix_missing_locations(changed), path, "exec")
        return None

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not system", "-W", "ignore:Module already"]
    code = pytest.main([*options, *MATCHING[module]])
    os._exit(int(code))


def main(*words: str) -> None:
    """Change each module, or each *n*-th place of it where a word is `/n`, and print what no test has noticed."""
    every = next((int(word[1:]) for word in words if word.startswith("/")), 1)
    for module in [word for word in words if not word.startswith("/")] or MATCHING:
        tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
        known = [where for where, _ in changes(tree)]
        began = time.monotonic()
        if not survives(module, None, 3600):
            raise SystemExit(f"{module}: its tests fail as it is")
        seconds = 30 + PATIENCE * (time.monotonic() - began)
        taken = range(0, len(known), every)
        left = [known[number] for number in taken if survives(module, number, seconds)]
        print(f"{module}: {len(taken)} changes, {len(taken) - len(left)} noticed", flush=True)  # noqa: T201
        for where in left:
            print(f"  {module}:{where}", flush=True)  # noqa: T201


if __name__ == "__main__":
    # What every test loads, once, before the first child; nothing of ours, which is to be changed.
    import pytest  # noqa: F401

    main(*sys.argv[1:])
