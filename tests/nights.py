"""A ledger with some history to read: two small pipelines, their good, idle, failed and refused nights."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.programs import program, value_of

SECRET = "very-secret-4711"

SHOP = """\
[pipeline]
name = "shop"

[env.vars]
API_KEY = { required = true, secret = true }
REGION = { default = "nyc", pattern = "[a-z]{3}" }

[datasets.raw]
path = "raw"
pattern = "*.csv"
min_files = 1
layer = "raw"
[datasets.bronze]
path = "bronze"
layer = "bronze"
[datasets.gold]
path = "gold"
layer = "gold"

[steps.ingest]
shell = "echo key $API_KEY for $REGION; mkdir -p bronze; cp raw/* bronze/"
env = ["API_KEY", "REGION"]
reads = ["raw"]
writes = ["bronze"]
[steps.totals]
shell = "mkdir -p gold; cat bronze/* > gold/all.csv"
reads = ["bronze"]
writes = ["gold"]
[steps.mail]
command = ["true"]
reads = ["gold"]
"""

BROKEN = SHOP.replace('"mkdir -p gold; cat', '"echo no good; exit 3; cat')

MART = """\
[pipeline]
name = "mart"
[steps.only]
command = ["echo", "hello from the mart"]
"""


class Nights(NamedTuple):
    """Where the history lies, and its runs in order."""

    shop: Path
    mart: Path
    good: str
    idle: str
    failed: str
    other: str

    @property
    def ledger(self) -> Path:
        """The ledger that both pipelines share."""
        return self.shop / ".orchestrate" / "ledger.db"


def write_shop(folder: Path, definition: str = SHOP) -> Path:
    """Write the pipeline `shop` with one delivery into *folder* and return it."""
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "1.csv").write_text("1\n", encoding="utf-8")
    (folder / ".env").write_text(f"API_KEY={SECRET}\n", encoding="utf-8")
    (folder / ".env").chmod(0o600)
    (folder / "pipeline.toml").write_text(definition, encoding="utf-8")
    return folder


def live_through(folder: Path) -> Nights:
    """Run the nights in *folder*."""
    shop = write_shop(folder / "shop")
    mart = folder / "mart"
    mart.mkdir()
    (mart / "pipeline.toml").write_text(MART, encoding="utf-8")
    good = value_of(program("run", "--json", "--for", "2026-01-01", cwd=shop), "run")
    idle = value_of(program("run", "--json", "--for", "2026-01-02", cwd=shop), "run")
    (shop / "pipeline.toml").write_text(BROKEN, encoding="utf-8")
    (shop / "raw" / "2.csv").write_text("2\n", encoding="utf-8")
    failed = value_of(
        program("run", "--json", "--for", "2026-01-04", "--reason", f"late, {SECRET}", cwd=shop), "run", code=1
    )
    value_of(program("run", "--json", "--env-file", "nowhere.env", cwd=shop), "refusal", code=2)
    ledger = str(shop / ".orchestrate" / "ledger.db")
    other = value_of(program("run", "--json", "--ledger", ledger, cwd=mart), "run")
    return Nights(shop, mart, good["run_id"], idle["run_id"], failed["run_id"], other["run_id"])
