"""What measures datasets and code: with the loop of a run, or alone for a command that only looks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator.cli.project import Prepared
from orchestrator.runtime.assembly import code_places
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.digest_cache import DigestCache
from orchestrator.runtime.digests import FileDigester
from orchestrator.runtime.environment import probe_environment
from orchestrator.runtime.executor import ProcessExecutor
from orchestrator.runtime.probing import Probes
from orchestrator.runtime.signals import prepare_process

Manifest = Callable[[str], bytes | None]


def make_digester(
    prepared: Prepared, cache: DigestCache, manifest: Manifest, executor: ProcessExecutor, *, run_id: str | None = None
) -> FileDigester:
    """
    Return what measures datasets and code of the *prepared* pipeline; names of files are recorded, so secrets are masked in them.

    Args:
        executor: Watches probes.
        run_id: Of the run in which that is done, or None.
    """
    project, redactor = prepared.project, prepared.redactor
    scratch = project.ledger.parent.resolve() / "reproductions"
    return FileDigester(
        folder=project.folder,
        datasets=prepared.places,
        code=code_places(project.pipeline, prepared.around, prepared.places),
        cache=cache,
        load_manifest=manifest,
        probes=Probes(
            executor,
            places=prepared.places,
            folder=project.folder,
            environment=probe_environment(project.pipeline, prepared.environment, os.environ),
            new_stream=redactor.stream,
            run_id=run_id,
        ),
        redact=redactor.redact_name,
        scratch=None if project.folder.is_relative_to(scratch) else scratch,
    )


@contextlib.contextmanager
def measuring(prepared: Prepared, manifest: Manifest, *, read_only: bool) -> Iterator[FileDigester]:
    """Give what measures where nothing is run; probes that are left at the end are ended."""
    if any(place.probe for place in prepared.places.values()):
        prepare_process()
    cache = DigestCache(cache_path(prepared.project.ledger), read_only=read_only)
    executor = ProcessExecutor(clock=SystemClock(), new_stream=prepared.redactor.stream)
    try:
        yield make_digester(prepared, cache, manifest, executor)
    finally:
        executor.close()
        cache.close()


def cache_path(ledger: Path) -> Path:
    """Return where digests of files are remembered."""
    return ledger.parent / "cache" / "digests.db"
