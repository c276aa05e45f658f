"""
Keyed digests of secrets: of those with `rekey = true` in the keys of steps, of all in the environment of a run; and what is said where their key is another one.

The key lies in the user's configuration folder and never beside the ledger: whoever has both could try guesses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import attrs

from ledger.errors import KeyFileError
from orchestrator.cli.keyring import digest_key, digest_key_path
from orchestrator.cli.project import Prepared
from orchestrator.core.explain import id_in, id_of
from orchestrator.core.keyed import NO_KEY, keyed_digest
from orchestrator.core.run_plan import RunPlan
from orchestrator.runtime.assembly import Surroundings
from orchestrator.runtime.environment import secrets_of


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


def secret_digests(prepared: Prepared) -> dict[str, str]:
    """
    Return what stands for the value of each secret that has one in the environment of a run; the key is made where there is none yet.

    Where this user's key cannot be used, or made, that is no reason to start nothing: then `NO_KEY` stands there.
    """
    secrets = secrets_of(prepared.project.pipeline, prepared.environment)
    if not secrets:
        return {}
    try:
        key = digest_key(make=True)
    except KeyFileError:
        key = None
    return {name: NO_KEY if key is None else keyed_digest(key, name, value) for name, value in secrets.items()}


def lost_key_notice(before: Mapping[str, str], now: Mapping[str, str], plan: RunPlan) -> Iterator[str]:
    """
    Yield a sentence where the key of the digests of secrets cannot be used, or is not the one that the last run's were made with.

    Args:
        before: The digests that the last run has recorded.
        now: Those of this run.
        plan: Of this run; of secrets that are in the keys of its steps `key_notices` tells.
    """
    path, told = digest_key_path(), keyed_in(plan)
    without = [name for name, value in sorted(now.items()) if value == NO_KEY]
    if without and os.path.lexists(path):
        yield f"the key in {path} cannot be used: whether {', '.join(without)} changed cannot be told from this run; put a copy of it back, or delete it"
    names = [
        name
        for name, value in sorted(now.items())
        if value != NO_KEY and name not in told and id_of(before.get(name)) not in (None, "none", id_of(value))
    ]
    if names:
        yield (
            f"the key in {path} is not the one under which the last run is recorded: whether {', '.join(names)} changed since is not known; "
            "put the former key back, if there is a copy of it"
        )


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
