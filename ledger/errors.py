"""The errors of the ledger; each keeps the offending values as attributes, and none needs anything imported."""

from __future__ import annotations

from collections.abc import Sequence


class LedgerError(Exception):
    """Root of everything that this package raises on purpose."""


class LedgerNotFoundError(LedgerError):
    """Raised when there is no file at the path; nothing was created."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"there is no ledger at {path}")


class LedgerExistsError(LedgerError):
    """Raised when there is a file already where a ledger was to be made; it was left alone."""

    kind = "ledger_exists"

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"there is a file at {path} already")


class UnverifiableLedgerError(LedgerError):
    """Root of what makes a file unfit to be trusted as a ledger of this program."""


class ForeignFileError(UnverifiableLedgerError):
    """Raised when a file is not a ledger: another kind of file, or another program's database."""

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        super().__init__(f"{path} is not a ledger: {what}")


class NewerLedgerError(UnverifiableLedgerError):
    """Raised when a ledger was written by a newer program than this one."""

    def __init__(self, path: str, actual: int, known: int) -> None:
        self.path, self.actual, self.known = path, actual, known
        super().__init__(f"{path} has format {actual}, this program knows up to {known}: use a newer program")


class DamagedLedgerError(UnverifiableLedgerError):
    """Raised when a ledger's tables, guards or pages are not what this program made."""

    def __init__(self, path: str, findings: Sequence[str]) -> None:
        self.path, self.findings = path, tuple(findings)
        super().__init__(f"{path} is damaged: {'; '.join(findings)}")


class ComputingSchemaError(DamagedLedgerError):
    """Raised when what stands in the place of a table would compute what it shows, perhaps without end; none of it was read."""


class ChangedWhileReadingError(LedgerError):
    """Raised when a file that was read without locks changed meanwhile; what was read may be torn."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path} changed while it was read; read it again")


class StorageError(LedgerError):
    """Raised when the disk or SQLite did not do what it was asked for; nothing of the transaction was recorded."""

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        super().__init__(f"the ledger {path} could not be written or read: {what}")


class WrongExpectedVersionError(LedgerError):
    """Raised when a stream is not where the writer thought; nothing was recorded."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        self.stream, self.expected, self.actual = stream, expected, actual
        super().__init__(f"stream {stream} is at version {actual}, not {expected}: somebody else has written to it")


class InvalidEventError(LedgerError):
    """Raised when an event cannot be recorded: a bad name, or data without a canonical form."""


class CanonicalError(LedgerError):
    """Raised when a value has no canonical form, or a text is not in it."""


class UnregisteredProjectionError(LedgerError):
    """Raised when a ledger keeps a projection that the writer did not bring; its tables would fall behind."""

    def __init__(self, path: str, names: Sequence[str]) -> None:
        self.path, self.names = path, tuple(names)
        super().__init__(f"{path} keeps projections that are not given here: {', '.join(names)}")


class ProofError(LedgerError):
    """Raised when a Merkle proof does not prove what it claims."""


class KeyFileError(LedgerError):
    """Raised when a key cannot be used as it stands in its file, or would take the place of another."""

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        super().__init__(f"the key {path} cannot be used: {what}")


class InconsistentHistoryError(UnverifiableLedgerError):
    """Raised when a ledger is not what was signed or seen before: rolled back, forked, or another one."""

    kind = "inconsistent"

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        super().__init__(f"{path} contradicts what was sealed before: {what}")


class MissingExtraError(LedgerError):
    """Raised when something needs a package that the core install leaves out."""

    kind = "missing_extra"

    def __init__(self, extra: str, what: str) -> None:
        self.extra = extra
        super().__init__(f'{what} needs the extra {extra}: pip install "orchestrate[{extra}]"')


class QueryRefusedError(LedgerError):
    """Raised when a statement from outside is not one that may be asked, or none at all."""

    kind = "query_refused"

    def __init__(self, what: str) -> None:
        super().__init__(f"the query was {self._verb}: {what}")

    _verb = "refused"


class QueryLimitError(QueryRefusedError):
    """Raised when the answer to a statement costs more than it may; none of it is shown."""

    kind = "query_limit"
    _verb = "stopped"


class UpgradeNeededError(LedgerError):
    """Raised when a ledger of an older program has too many events for being brought up to date on the way; it was left as it is."""

    kind = "upgrade_needed"

    def __init__(self, path: str, events: int, most: int) -> None:
        self.path, self.events, self.most = path, events, most
        super().__init__(
            f"{path} was made by an older program and has {events} events, more than the {most} that are taken over on the way:"
            " `orchestrate audit upgrade` brings it up to date"
        )
