"""A wall clock that jumps: the real program under it, and how far it jumps."""

CLOCK = """
import pathlib, sys, time
real, change = time.time_ns, pathlib.Path("clock")
time.time_ns = lambda: real() + (int(change.read_text()) * 10**9 if change.exists() else 0)
time.time = lambda: time.time_ns() / 1e9
from orchestrator.cli.app import main
main()
"""
"""The program with a wall clock that is moved, at any time, by as many seconds as stand in a file."""

HOUR = 3600
DAY = 24 * HOUR
JUMPS = {"back two hours": -2 * HOUR, "forward a day": DAY, "to 1970": -(2**31), "beyond 2038": 2**30}
