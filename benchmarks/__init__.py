"""What a step costs beside what other tools pay for it: `python -m benchmarks`; the findings stand in `docs/performance.md`."""
