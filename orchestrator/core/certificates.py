"""
Skip certificates: what a decision not to run a step rested on, as a document that is kept once by its digest.

It holds the whole material of the key, how much each input was, and the digest of each output. Nothing in it names a run or a night, so that a step which
is skipped a hundred nights in a row has one. Whether it is right is told later from what the ledger held before it, see `projections.skip_audit`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.canonical import blob_digest, canonical_bytes
from orchestrator.core.decide import Baseline, Measurement

VERSION = 1
INLINE_BYTES = 4096
"""Larger material is a document of its own, under its key."""


def recorded_material(components: Mapping[str, object]) -> tuple[str, Mapping[str, object], dict[str, bytes]]:
    """Return the key of *components*, what a record holds of them, and the documents that this names."""
    text = canonical_bytes(components)
    key = blob_digest(text)  # which is what `key_digest` says, without making the text again
    if len(text) <= INLINE_BYTES:
        return key, components, {}
    return key, {"blob": key}, {key: text}


def certified(
    evidence: Mapping[str, object], baseline: Baseline, measurement: Measurement
) -> tuple[dict[str, object], dict[str, bytes]]:
    """Return the *evidence* of a skip with the digest of its certificate, and the documents that this names."""
    # As the recipe of the last success has it, which is what was compared.
    _, material, documents = recorded_material(measurement.components_like(baseline.components))
    certificate = canonical_bytes(
        {
            "certificate": VERSION,
            "components": material,
            "inputs": {
                name: {"files": extent.files, "bytes": extent.bytes}
                for name, digest in measurement.inputs.items()
                if digest is not None and (extent := measurement.extents.get(name)) is not None
            },
            "outputs": dict(measurement.outputs),
        }
    )
    digest = blob_digest(certificate)
    return {**evidence, "certificate": digest}, {**documents, digest: certificate}
