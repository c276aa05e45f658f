"""
Secrets with `rekey = true`: their keyed digests in the keys of steps, and what is said where the key of these digests is another one.

The key lies in the user's configuration folder and never beside the ledger: whoever has both could try guesses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from orchestrator.cli.keyring import digest_key, digest_key_path
from orchestrator.cli.project import Prepared
from orchestrator.core.explain import id_in
from orchestrator.core.keyed import NO_KEY, keyed_digest
from orchestrator.core.run_plan import RunPlan
from orchestrator.runtime.assembly import Surroundings


def keyed_surroundings(prepared: Prepared, *, make: bool) -> Surroundings:
    """
    Return the surroundings of what is *prepared* with the digests of the secrets that run their steps again.

    Args:
        make: Make the key where there is none yet; without it such a secret counts as changed.

    Raises:
        KeyFileError: The key is damaged, or cannot be made.
    """
    pipeline, values = prepared.project.pipeline, prepared.environment.variables
    taken = {name for step in prepared.selected for name in pipeline.steps[step].env}
    names = [name for name in sorted(taken) if name in values and pipeline.variables[name].rekey]
    if not names:
        return prepared.around
    key = digest_key(make=make)
    keyed = {name: NO_KEY if key is None else keyed_digest(key, name, values[name].value) for name in names}
    return attrs.evolve(prepared.around, keyed=keyed)


def keyed_in(plan: RunPlan) -> dict[str, str]:
    """Return the digest of each secret that takes part in the keys of *plan*."""
    secrets = {name for name, item in plan.pipeline.variables.items() if item.secret}
    return {
        name: value
        for step in plan.steps.values()
        for name, value in step.variables.items()
        if name in secrets and value is not None
    }


def key_notices(plan: RunPlan, before: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """
    Yield a sentence where the key of digests is not the one of the last successes, and for each secret that a resumed run began with another value of.

    Args:
        before: The variables that the run was last started with, or nothing.
    """
    keyed = keyed_in(plan)
    lost = sorted(
        name
        for name, value in keyed.items()
        if any(id_in(known) not in (None, id_in({"value": value})) for known in _known(plan, name))
    )
    if lost:
        yield (
            f"the key in {digest_key_path()} is not the one under which the last successes are recorded: whether {', '.join(lost)} changed is not "
            "known, and the steps that take it run again; put the former key back, if there is a copy of it"
        )
    for name, value in keyed.items():
        former = {"value": before.get(name, {}).get("keyed")}
        if id_in(former) == id_in({"value": value}) and former["value"] != value:
            yield (
                f"the secret {name} has another value than the run was started with: what is printed from now on is masked by the new one alone; "
                "the old one is masked nowhere any more"
            )


def _known(plan: RunPlan, name: str) -> Iterator[object]:
    for step in plan.steps.values():
        variables = step.baseline.components.get("variables")
        if isinstance(variables, Mapping) and name in step.variables:
            yield variables.get(name)
