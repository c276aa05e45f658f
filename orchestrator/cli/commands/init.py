"""`orchestrate init [DIR]`: a small pipeline that runs, to edit."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from orchestrator.cli import render
from orchestrator.cli.errors import UsageRefusedError
from orchestrator.cli.opening import other_owner, user_name

EXAMPLES = """\b
Examples:
  orchestrate init my-pipeline && cd my-pipeline && orchestrate run
"""

_DEFINITION = """\
# What runs at night. `orchestrate validate` checks it, `orchestrate plan` says what a run would do.

[pipeline]
name = "{name}"

[datasets.raw]                 # nobody writes it: a source, looked at before anything starts
path = "data/raw"
pattern = "*.csv"
min_files = 1
layer = "raw"

[datasets.clean]
path = "data/clean"
layer = "bronze"

[datasets.totals]
path = "data/totals"
layer = "gold"

[steps.clean]
command = ["python3", "steps/clean.py"]
reads = ["raw"]
writes = ["clean"]
timeout = "10m"

[steps.totals]
command = ["python3", "steps/totals.py"]
reads = ["clean"]
writes = ["totals"]
timeout = "10m"
"""

_CLEAN = '''\
"""Copy the rows that have an amount; say how many had none."""

import csv
import json
import os
from pathlib import Path

source, target = Path("data/raw"), Path("data/clean")
target.mkdir(parents=True, exist_ok=True)
kept = dropped = 0
for path in sorted(source.glob("*.csv")):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    good = [row for row in rows if row["amount"]]
    kept, dropped = kept + len(good), dropped + len(rows) - len(good)
    with (target / path.name).open("w", newline="") as file:
        writer = csv.DictWriter(file, ["customer", "amount"])
        writer.writeheader()
        writer.writerows(good)
print(f"{kept} rows kept, {dropped} without an amount dropped")
if "ORCHESTRATE_RESULT" in os.environ:
    report = {"metrics": {"kept": kept, "dropped": dropped}}
    Path(os.environ["ORCHESTRATE_RESULT"]).write_text(json.dumps(report))
'''

_TOTALS = '''\
"""Add up the amounts of each customer."""

import csv
from collections import defaultdict
from pathlib import Path

totals: dict[str, float] = defaultdict(float)
for path in sorted(Path("data/clean").glob("*.csv")):
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            totals[row["customer"]] += float(row["amount"])
target = Path("data/totals")
target.mkdir(parents=True, exist_ok=True)
lines = [f"{customer},{total:.2f}" for customer, total in sorted(totals.items())]
(target / "totals.csv").write_text("\\n".join(["customer,total", *lines, ""]))
print(f"{len(totals)} customers")
'''

_FILES = {
    "pipeline.toml": _DEFINITION,
    "steps/clean.py": _CLEAN,
    "steps/totals.py": _TOTALS,
    "data/raw/2026-01-31.csv": "customer,amount\nada,12.50\ngrace,7.25\nalan,\nada,3.00\n",
    ".gitignore": ".orchestrate/\n.env\ndata/clean/\ndata/totals/\n",
}


@click.command(epilog=EXAMPLES)
@click.argument("directory", metavar="[DIR]", default=".")
def command(directory: str) -> int:
    """
    Write a pipeline that runs into DIR (the present folder where it is not given), to edit.

    Nothing that exists is overwritten: one file in the way refuses all of it. Nor is anything written into the folder of another user.
    """
    folder = Path(directory)
    _refuse_other_users(folder)
    in_the_way = next(_obstacles(folder), None)
    if in_the_way is not None:
        raise UsageRefusedError("exists", f"{in_the_way} exists already: nothing was written; name another folder")
    try:
        for name, text in _FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(text.replace("{name}", _name(folder)), encoding="utf-8")
                render.out(f"written: {path}")
    except OSError as error:
        raise UsageRefusedError("unwritable", f"{error.filename} cannot be written: {error.strerror}") from None
    inside = "" if folder == Path() else f"cd {shlex.quote(directory)} && "
    render.out(f"next: {inside}orchestrate run")
    return 0


def _refuse_other_users(folder: Path) -> None:
    """Leave a folder to its owner: his steps could not write where root has made the folders."""
    found = other_owner(folder.absolute() / "pipeline.toml")
    if found is not None:
        place, owner, user = found[0], user_name(found[1]), user_name(os.geteuid())
        message = f"{place} belongs to the user {owner}, and this is {user}: {owner} could not work with what {user} writes there"
        raise UsageRefusedError("other_user", f"{message}; type `sudo -u {shlex.quote(owner)} orchestrate init …`")


def _obstacles(folder: Path) -> Iterator[Path]:
    """Yield what stands where a file or a folder has to be made."""
    for name in _FILES:
        path = folder / name
        yield from (parent for parent in path.parents if os.path.lexists(parent) and not parent.is_dir())
        if name != ".gitignore" and os.path.lexists(path):
            yield path


def _name(folder: Path) -> str:
    """Return a name for the pipeline: that of its folder, as far as the rule for names allows."""
    words = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.absolute().resolve().name).strip("-_")
    return words[:64] or "pipeline"
