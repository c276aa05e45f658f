"""Tests of whether the tables and views of a ledger are those of this program."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger import open_ledger
from ledger.computing import schema_rows
from ledger.errors import ComputingSchemaError
from orchestrator.projections import trusted
from orchestrator.projections.read_models import ReadModels


class TestTrusted:
    """A ledger as this program makes it, and others."""

    def test_fingerprint(self, tmp_path: Path) -> None:
        """Given a new ledger, then its schema is known by its fingerprint; where tables or views change, the new one has to be written down."""
        with open_ledger(tmp_path / "l.db", projections=[ReadModels()]) as ledger:
            assert trusted.fingerprint(schema_rows(ledger.connection)) == trusted.FINGERPRINT
            trusted.refuse_untrusted(ledger.connection, ledger.path)

    def test_others(self, tmp_path: Path) -> None:
        """Given objects of somebody else, then they do not matter; given a view of ours that was changed, then it is named."""
        with open_ledger(tmp_path / "l.db", projections=[ReadModels()]) as ledger:
            ledger.connection.execute("CREATE VIEW mine AS SELECT 1")
            trusted.refuse_untrusted(ledger.connection, ledger.path)
            ledger.connection.execute("DROP VIEW audit_runs")
            ledger.connection.execute("CREATE VIEW audit_runs AS SELECT * FROM runs")
            with pytest.raises(ComputingSchemaError, match="audit_runs is not as it was made"):
                trusted.refuse_untrusted(ledger.connection, ledger.path)
