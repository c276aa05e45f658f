"""
What an attempt finds when it starts, and what it leaves behind: environment, input list, report.

The input list (`$ORCHESTRATE_INPUTS`) and the report (`$ORCHESTRATE_RESULT`) lie in a folder of the run that only its owner can
enter; both are removed when the attempt has ended, the folder with the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Container, Mapping
from pathlib import Path

from ledger.folders import make_private
from orchestrator.core.classification import is_withheld
from orchestrator.core.decide import Measurement
from orchestrator.core.report import StepReport, without_texts
from orchestrator.core.run_plan import RunPlan
from orchestrator.core.tracing import PROPAGATORS, TraceParent, span_id_of, trace_id_of, traceparent_of
from orchestrator.runtime.digests import DatasetPlace, manifest_changes, manifest_files
from orchestrator.runtime.ports import Launch
from orchestrator.runtime.result import BadResultError, read_result
from orchestrator.runtime.trees import clear_away

_WRITTEN_OUT = re.compile(rb"\\x([89a-f][0-9a-f])")
"""A byte that is no UTF-8, as it stands in a manifest."""


class RunWorkbench:
    """
    Prepare and clear up the attempts of one run.

    Args:
        folder: Of the ledger; logs and exchange files lie in it.
        environment: For each step, the variables that it declares and those that are passed on.
        manifest: Returns a manifest by its digest, whether it was just measured or is kept in the ledger.
        redact: Removes secrets from a text.
        parent: The trace context in which the run was started, or None.
        sampled: Whether the trace of the run is kept, as its processes are told; where it is not known, the caller's word counts.
        propagators: What context its processes are given, see `core.tracing.PROPAGATORS`.
    """

    def __init__(  # noqa: PLR0913 -- everything that attempts are prepared with, by name
        self,
        plan: RunPlan,
        *,
        folder: Path,
        datasets: Mapping[str, DatasetPlace],
        environment: Mapping[str, Mapping[str, str]],
        manifest: Callable[[str], bytes | None],
        redact: Callable[[str], str],
        parent: TraceParent | None = None,
        sampled: bool | None = None,
        propagators: Container[str] = PROPAGATORS,
    ) -> None:
        self._plan = plan
        self._propagators = propagators
        self._datasets = datasets
        self._environment = environment
        self._manifest = manifest
        self._redact = redact
        self._parent = parent
        self._sampled = (parent is None or parent.sampled) if sampled is None else sampled
        self._trace_id = trace_id_of(plan.run_id, parent)
        self._logs = folder / "logs" / plan.run_id
        self._exchange = folder / "exchange" / plan.run_id
        make_private(self._exchange)

    def prepare(self, step: str, attempt: int, measurement: Measurement) -> Launch:
        """
        Write the input list and return what the process is started with.

        Raises:
            OSError: The input list could not be written.
        """
        plan = self._plan.steps[step]
        name = f"{step}.{attempt}"
        env = dict(self._environment[step])
        env["ORCHESTRATE_RUN_ID"] = self._plan.run_id
        env["ORCHESTRATE_STEP"] = step
        env["ORCHESTRATE_ATTEMPT"] = str(attempt)
        env["ORCHESTRATE_NIGHT"] = self._plan.night
        env["ORCHESTRATE_RESULT"] = f"{self._exchange}/{name}.result.json"
        env.update(self._trace_context(step, attempt))
        if plan.step.reads:
            env["ORCHESTRATE_INPUTS"] = self._write_inputs(name, step, measurement)
        return Launch(
            step=step,
            attempt=attempt,
            argv=plan.argv,
            env=env,
            cwd=plan.cwd,
            log_path=self._logs / f"{name}.log",
            log_limit_bytes=plan.step.log_limit_bytes,
            log_private=is_withheld(plan.touches),
            timeout_us=plan.step.timeout_us,
            grace_us=plan.step.grace_us,
        )

    def collect(self, step: str, attempt: int) -> StepReport | None:
        """
        Return what the process reported, and clear up.

        The ledger keeps what is recorded for ever: of a step that touches personal data no text is taken.

        Raises:
            BadResultError: The report breaks its schema or is no readable file.
        """
        name = f"{self._exchange}/{step}.{attempt}"
        left = [f"{name}.inputs.json"] if self._plan.steps[step].step.reads else []
        left.append(f"{name}.result.json")
        touches = self._plan.steps[step].touches
        touched = f"withheld, as the step touches {touches} data" if is_withheld(touches) else None
        try:
            report = read_result(left[-1], self._redact)
            if report is None:
                left.pop()
        except BadResultError:
            if touched is None:
                raise
            raise BadResultError(f"the report breaks its rules; which of them is {touched}") from None
        finally:
            for path in left:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        return report if report is None or touched is None else without_texts(report, touched)

    def redact(self, text: str) -> str:
        """Return *text* without secrets."""
        return self._redact(text)

    def close(self) -> None:
        """Remove the exchange folder of the run; never raises."""
        clear_away(self._exchange)

    def _trace_context(self, step: str, attempt: int) -> dict[str, str]:
        """Return what puts spans of the process below the span of its attempt."""
        context = {}
        if "tracecontext" in self._propagators:
            parent, span_id = self._parent, span_id_of(self._plan.run_id, step=step, attempt=attempt)
            context["TRACEPARENT"] = traceparent_of(self._trace_id, span_id, sampled=self._sampled)
            if parent is not None and parent.state is not None:
                context["TRACESTATE"] = parent.state
        if "baggage" in self._propagators:
            run_id, night = self._plan.run_id, self._plan.night
            context["BAGGAGE"] = f"orchestrate.run_id={run_id},orchestrate.step={step},orchestrate.night={night}"
        return context

    def _write_inputs(self, name: str, step: str, measurement: Measurement) -> str:
        path = f"{self._exchange}/{name}.inputs.json"
        known = self._plan.steps[step].baseline.components.get("inputs")
        former = known if isinstance(known, Mapping) else {}
        datasets = {
            dataset: self._input_list(dataset, former.get(dataset), digest)
            for dataset, digest in measurement.inputs.items()
        }
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"datasets": datasets}, file)
        return path

    def _input_list(self, dataset: str, before: str | None, after: str | None) -> dict[str, object]:
        manifest = None if after is None else self._manifest(after)
        changes = manifest_changes(None if before is None else self._manifest(before), manifest)
        folder = self._datasets[dataset].path
        kinds = {name: kind for kind in ("added", "changed", "same") for name in changes[kind]}
        return {
            "path": folder,
            "digest": after,
            "files": [
                {"path": _on_disk(folder, name), "size": size, "digest": digest, "change": kinds[name]}
                for name, (size, digest) in manifest_files(manifest).items()
            ],
            "removed": changes["removed"],
        }


def _on_disk(folder: str | None, name: str) -> str:
    """Return the *name* of a file in *folder* by which it is found; where bytes of it are no UTF-8, a manifest has them written out."""
    if folder is None or "\\x" not in name or os.path.lexists(os.path.join(folder, name)):
        return name
    found = _WRITTEN_OUT.sub(lambda byte: bytes.fromhex(byte[1].decode()), name.encode())
    real = found.decode("utf-8", "surrogateescape")
    return real if os.path.lexists(os.path.join(folder, real)) else name
