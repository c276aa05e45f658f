"""Tests of skip certificates as documents: what they hold, and that what is the same is kept once."""

from __future__ import annotations

import json

from orchestrator.core.certificates import INLINE_BYTES, certified, recorded_material
from orchestrator.core.decide import Baseline, Measurement
from orchestrator.core.fingerprint import Material, key_components, key_digest
from orchestrator.core.output_contract import Extent

MATERIAL = Material({"argv": ["a"]}, inputs={"raw": "sha256:a", "gone": None, "unknown": "sha256:b"})
MEASURED = Measurement(
    MATERIAL, {"out": "sha256:c"}, extents={"raw": Extent(2, 10), "gone": Extent(), "out": Extent(1, 1)}
)


def test_certificate() -> None:
    """It holds the material of the key, files and bytes of each input that exists, and the digest of each output; the evidence names it."""
    evidence, documents = certified({"key": "k", "since": "run-1/1"}, Baseline(), MEASURED)
    assert evidence == {"key": "k", "since": "run-1/1", "certificate": next(iter(documents))}
    assert json.loads(documents[str(evidence["certificate"])]) == {
        "certificate": 1,
        "components": key_components(MATERIAL),
        "inputs": {"raw": {"files": 2, "bytes": 10}},
        "outputs": {"out": "sha256:c"},
    }


def test_it_does_not_name_the_night() -> None:
    """Two skips that rest on the same have one certificate, whatever success they name."""
    one, another = (certified({"since": since}, Baseline(), MEASURED)[1] for since in ("run-1/1", "run-2/1"))
    assert one == another


def test_large_material() -> None:
    """Material that does not fit into a record is a document of its own, under its key, and the certificate names it."""
    material = Material({"argv": ["a"]}, code={f"{number}.py": "sha256:a" for number in range(INLINE_BYTES // 10)})
    key = key_digest(key_components(material))
    assert recorded_material(key_components(material))[:2] == (key, {"blob": key})
    evidence, documents = certified({}, Baseline(), Measurement(material))
    assert documents.keys() == {key, evidence["certificate"]}
    assert json.loads(documents[str(evidence["certificate"])])["components"] == {"blob": key}
