"""Tests of keys, of the signer with his memory, and of the witness with hers."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import proofbundle.checkpoint
import pytest

from ledger.errors import InconsistentHistoryError, KeyFileError, MissingExtraError, ProofError
from ledger.merkle import consistency_proof, leaf_hash, tree_root
from ledger.signer import (
    KEY,
    MEMORY,
    NEXT,
    Signer,
    has_key,
    keep_next_key,
    memory_of,
    next_key,
    read_key,
    use_next_key,
)
from ledger.signing import SigningKey, parse_verifier, signed_note
from ledger.verifier import COSIGNATURE, SIGNATURE, SIGNATURES_MAX, Checkpoint, VerifierKey, open_checkpoint, open_note
from ledger.witness import Witness, install_witness
from tests.ledger.test_merkle import subtree_of

ORIGIN = "ledger.example/one"
OURS = subtree_of([b"ours %d" % number for number in range(64)])
OTHERS = subtree_of([b"ours %d" % number for number in range(8)] + [b"others %d" % number for number in range(56)])


def checkpoint(size: int, subtree: Callable[[int, int], bytes] = OURS) -> Checkpoint:
    """Return a checkpoint of our history, or of another that parts from it after eight events."""
    return Checkpoint(ORIGIN, size, tree_root(size, subtree))


def proving(size: int, subtree: Callable[[int, int], bytes] = OURS) -> Callable[[int, int], list[bytes]]:
    """Return what a ledger of *size* events proves."""

    def prove(size1: int, size2: int) -> list[bytes]:
        if size2 > size:
            raise ProofError(f"the ledger has {size} events")
        return consistency_proof(size1, size2, subtree)

    return prove


@pytest.fixture
def key() -> SigningKey:
    """Give a key of a log."""
    return SigningKey.generate(ORIGIN)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """Give a signer who has signed eight events."""
    keep_next_key(tmp_path, lambda: SigningKey.generate(ORIGIN))
    use_next_key(tmp_path, checkpoint(8))
    return Signer(tmp_path)


class TestKeys:
    """A private key and its text."""

    def test_published_example(self) -> None:
        """Given the example key of the specification, then its text and its public half are the published ones."""
        text = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
        key = SigningKey.parse(text, "it")
        assert key.text == text
        assert key.verifier.text == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
        assert signed_note(note, key.signature_line(note)).endswith(
            "\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
        )

    def test_secret_is_not_shown(self, key: SigningKey) -> None:
        """Given a key, then its representation holds no secret."""
        assert key.seed.hex() not in repr(key)
        assert repr(key.seed) not in repr(key)

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: "",
            lambda text: text.removeprefix("PRIVATE+KEY+"),
            lambda text: text[:-6],
            lambda text: text + "!",
            lambda text: text.replace("+", " "),
        ],
    )
    def test_no_key(self, key: SigningKey, change: Callable[[str], str]) -> None:
        """Given a text that is none, then it is refused, and the message shows nothing of it."""
        with pytest.raises(KeyFileError, match="the key it cannot be used: it holds no private key"):
            SigningKey.parse(change(key.text), "it")

    def test_id_of_another_key(self, key: SigningKey) -> None:
        """Given an id that belongs to another key, then it is refused."""
        with pytest.raises(KeyFileError, match="the id in it is 00000000"):
            SigningKey.parse(key.text.replace(key.verifier.id.hex(), "00000000"), "it")

    def test_public_key_of_an_option(self, key: SigningKey) -> None:
        """Given a text for a public key, then it is read, or named as unusable."""
        assert parse_verifier(key.verifier.text + "\n", "--key") == key.verifier
        with pytest.raises(KeyFileError, match="the key --key cannot be used: not a verifier key"):
            parse_verifier("nonsense", "--key")

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch, key: SigningKey) -> None:
        """Given that `cryptography` is not installed, then the line that installs it is named."""
        real = builtins.__import__

        def without(name: str, *arguments: object, **more: object) -> object:
            if name.startswith("cryptography"):
                raise ImportError(name)
            return real(name, *arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(
            MissingExtraError, match=r'signing checkpoints needs the extra sign: pip install "orchestrate\[sign\]"'
        ):
            SigningKey.generate(ORIGIN)


class TestSigner:
    """Who signs, and what he remembers."""

    def test_signs_what_continues(self, signer: Signer) -> None:
        """Given a continuation, then it is signed, remembered, and accepted by another implementation."""
        note = signer.sign(checkpoint(20), proving(20), "it")
        assert open_checkpoint(note, [signer.key.verifier])[0] == checkpoint(20)
        assert signer.remembered() == memory_of(signer.folder) == checkpoint(20)
        assert proofbundle.checkpoint.verify_checkpoint(note, signer.key.verifier.text)

    def test_signs_a_proven_beginning_and_remembers_the_larger(self, signer: Signer) -> None:
        """Given a smaller checkpoint of the same history, then it is signed, and the memory stays."""
        signer.sign(checkpoint(20), proving(20), "it")
        note = signer.sign(checkpoint(13), proving(20), "it")
        assert open_checkpoint(note, [signer.key.verifier])[0] == checkpoint(13)
        assert signer.remembered() == checkpoint(20)

    def test_same_again(self, signer: Signer) -> None:
        """Given what was signed last, then the same note comes out: Ed25519 is deterministic."""
        assert signer.sign(checkpoint(20), proving(20), "it") == signer.sign(checkpoint(20), proving(20), "it")

    @pytest.mark.parametrize("size", [20, 25, 30])
    def test_refuses_a_fork(self, signer: Signer, size: int) -> None:
        """Given another history, shorter, as long or longer, then nothing is signed and nothing forgotten."""
        signer.sign(checkpoint(25), proving(25), "it")
        with pytest.raises(
            InconsistentHistoryError, match="it contradicts what was sealed before: 25 events with the root"
        ):
            signer.sign(checkpoint(size, OTHERS), proving(64, OTHERS), "it")
        assert signer.remembered() == checkpoint(25)

    def test_refuses_a_ledger_that_was_turned_back(self, signer: Signer) -> None:
        """Given a ledger that has fewer events than were signed, then it cannot prove anything, and is refused."""
        signer.sign(checkpoint(25), proving(25), "it")
        with pytest.raises(InconsistentHistoryError, match="the ledger has 20 events"):
            signer.sign(checkpoint(20), proving(20), "it")

    def test_refuses_another_origin(self, signer: Signer) -> None:
        """Given a checkpoint of another ledger, then it is refused."""
        other = checkpoint(20)._replace(origin="ledger.example/two")
        with pytest.raises(
            InconsistentHistoryError, match="its origin is ledger.example/two, what was signed".replace(".", r"\.")
        ):
            signer.sign(other, proving(20), "it")

    def test_no_key(self, tmp_path: Path) -> None:
        """Given an empty folder, then there is no signer and no memory."""
        assert not has_key(tmp_path)
        assert memory_of(tmp_path) is None
        with pytest.raises(KeyFileError, match="No such file"):
            Signer(tmp_path)

    @pytest.mark.parametrize("memory", [None, "", "nonsense\n", "\x00\xff"])
    def test_lost_or_damaged_memory(self, signer: Signer, memory: str | None) -> None:
        """Given a memory that is missing or none, then nothing is signed."""
        (signer.folder / MEMORY).unlink()
        if memory is not None:
            (signer.folder / MEMORY).write_text(memory, encoding="latin-1")
            with pytest.raises(KeyFileError, match="last-signed"):
                memory_of(signer.folder)
        with pytest.raises(KeyFileError, match="last-signed"):
            signer.sign(checkpoint(20), proving(20), "it")

    def test_memory_that_was_put_there(self, signer: Signer) -> None:
        """Given a memory that another key has signed, then nothing is signed: somebody wants it forgotten."""
        other = SigningKey.generate(ORIGIN)
        (signer.folder / MEMORY).write_text(signed_note(checkpoint(1).text, other.signature_line(checkpoint(1).text)))
        with pytest.raises(KeyFileError, match="it was not signed with the key beside it"):
            signer.sign(checkpoint(20), proving(20), "it")

    def test_files_are_private(self, signer: Signer) -> None:
        """Given a signer, then nobody else can read the key or the memory."""
        assert {path.stat().st_mode & 0o777 for path in (signer.folder / KEY, signer.folder / MEMORY)} == {0o600}


class TestReplacing:
    """A new key in the place of the old one."""

    def test_next_key_is_made_once(self, signer: Signer) -> None:
        """Given that replacing was begun, then beginning again gives the same key."""
        assert next_key(signer.folder) is None
        first = keep_next_key(signer.folder, lambda: SigningKey.generate(ORIGIN))
        assert first == keep_next_key(signer.folder, lambda: SigningKey.generate(ORIGIN)) == next_key(signer.folder)

    def test_old_key_is_kept(self, signer: Signer) -> None:
        """Given a replaced key, then the new one signs, and the old one is kept under its id."""
        new = keep_next_key(signer.folder, lambda: SigningKey.generate(ORIGIN))
        note = use_next_key(signer.folder, checkpoint(9))
        assert open_checkpoint(note, [new.verifier])[0] == checkpoint(9)
        assert Signer(signer.folder).key == new
        assert read_key(signer.folder / f"{KEY}.{signer.key.verifier.id.hex()}") == signer.key
        assert not (signer.folder / NEXT).exists()

    def test_interrupted_after_the_memory(self, signer: Signer) -> None:
        """Given that only the memory was written with the next key, then the old signer still knows what was signed."""
        new = keep_next_key(signer.folder, lambda: SigningKey.generate(ORIGIN))
        (signer.folder / MEMORY).write_text(signed_note(checkpoint(9).text, new.signature_line(checkpoint(9).text)))
        assert signer.remembered() == checkpoint(9)


class TestWitness:
    """A second person with a key and a memory of her own."""

    @pytest.fixture
    def witness(self, tmp_path: Path) -> Witness:
        """Give a new witness."""
        install_witness(tmp_path / "witness", "audit.example/jane")
        return Witness(tmp_path / "witness")

    def signed(self, key: SigningKey, found: Checkpoint) -> str:
        """Return *found* as its log signs it."""
        return signed_note(found.text, key.signature_line(found.text))

    def test_cosigns_and_remembers(self, witness: Witness, key: SigningKey) -> None:
        """Given a signed checkpoint, then the note carries both signatures and the time, and another implementation accepts it."""
        note = self.signed(key, checkpoint(8))
        found, cosigned = witness.cosign(note, key.verifier, [], proving(8), "it", now=lambda: 1_700_000_000)
        assert found == witness.remembered(ORIGIN) == checkpoint(8)
        assert witness.known_key(ORIGIN) == key.verifier
        signed = open_note(cosigned, [key.verifier, witness.key.verifier])
        assert dict(zip(signed.keys, signed.times, strict=True)) == {
            key.verifier: None,
            witness.key.verifier: 1_700_000_000,
        }
        assert proofbundle.checkpoint.verify_cosignature(cosigned, witness.key.verifier.text)

    def test_knows_nothing_of_a_new_log(self, witness: Witness) -> None:
        """Given a log that she has never seen, then she remembers nothing."""
        assert witness.remembered(ORIGIN) is None
        assert witness.known_key(ORIGIN) is None

    def test_cosigns_the_same_and_what_continues(self, witness: Witness, key: SigningKey) -> None:
        """Given the same checkpoint and a larger one, then she cosigns both."""
        for size in (8, 8, 20):
            witness.cosign(self.signed(key, checkpoint(size)), key.verifier, [], proving(20), "it", now=lambda: 1)
        assert witness.remembered(ORIGIN) == checkpoint(20)

    @pytest.mark.parametrize(
        ("size", "subtree", "message"),
        [
            (13, OURS, "this checkpoint covers 13 events, 20 were cosigned before"),
            (20, OTHERS, "two trees of 20 leaves differ"),
            (30, OTHERS, "is not the beginning"),
        ],
    )
    def test_refuses_what_does_not_continue(
        self, witness: Witness, key: SigningKey, size: int, subtree: Callable[[int, int], bytes], message: str
    ) -> None:
        """Given a smaller checkpoint, or one of another history that the operator signed, then she cosigns nothing."""
        witness.cosign(self.signed(key, checkpoint(20)), key.verifier, [], proving(20), "it", now=lambda: 1)
        note = self.signed(key, checkpoint(size, subtree))
        with pytest.raises(InconsistentHistoryError, match=message):
            witness.cosign(note, key.verifier, [], proving(64, subtree), "it", now=lambda: 2)
        assert witness.remembered(ORIGIN) == checkpoint(20)

    def test_refuses_another_key(self, witness: Witness, key: SigningKey) -> None:
        """Given a checkpoint that a key other than the pinned one has signed, then she cosigns nothing."""
        other = SigningKey.generate(ORIGIN)
        with pytest.raises(ProofError, match="no signature by a known key"):
            witness.cosign(self.signed(other, checkpoint(8)), key.verifier, [], proving(8), "it", now=lambda: 1)

    def test_memory_that_was_put_there(self, witness: Witness, key: SigningKey, tmp_path: Path) -> None:
        """Given a memory that she has not cosigned, then she cosigns nothing."""
        witness.cosign(self.signed(key, checkpoint(8)), key.verifier, [], proving(8), "it", now=lambda: 1)
        (memory,) = (tmp_path / "witness").glob("seen/*/last-cosigned")
        memory.write_text(self.signed(key, checkpoint(8)), encoding="utf-8")
        with pytest.raises(KeyFileError, match="it was not cosigned with the key beside it"):
            witness.cosign(self.signed(key, checkpoint(20)), key.verifier, [], proving(20), "it", now=lambda: 1)

    def test_one_key(self, witness: Witness, tmp_path: Path) -> None:
        """Given that she has a key, then it is never overwritten."""
        with pytest.raises(KeyFileError, match="there is one already"):
            install_witness(tmp_path / "witness", "audit.example/jane")
        assert Witness(tmp_path / "witness").key == witness.key

    def test_key_of_a_log(self, signer: Signer) -> None:
        """Given the key of a log, then it cannot witness."""
        with pytest.raises(KeyFileError, match="it is the key of a log, not of a witness"):
            Witness(signer.folder)

    def test_key_of_another_witness(self, witness: Witness, key: SigningKey) -> None:
        """Given the key of a witness in the place of the log's, then she does not cosign."""
        other = SigningKey.generate("other", COSIGNATURE).verifier
        with pytest.raises(ProofError, match="is the key of a witness"):
            witness.cosign(self.signed(key, checkpoint(8)), other, [], proving(8), "it", now=lambda: 1)

    def test_note_that_is_full(self, witness: Witness, key: SigningKey) -> None:
        """Given a note with as many signatures as one can have, then it is refused, and she can go on."""
        note = self.signed(key, checkpoint(8))
        full = note + SigningKey.generate("other").signature_line(checkpoint(8).text) * (SIGNATURES_MAX - 1)
        with pytest.raises(ProofError, match="it has 100 signatures"):
            witness.cosign(full, key.verifier, [], proving(8), "it", now=lambda: 1)
        assert witness.remembered(ORIGIN) is None

    def test_unreadable_memory(self, witness: Witness, tmp_path: Path, key: SigningKey) -> None:
        """Given something else in the place of her memory, then it is named."""
        witness.cosign(self.signed(key, checkpoint(8)), key.verifier, [], proving(8), "it", now=lambda: 1)
        (memory,) = (tmp_path / "witness").glob("seen/*/last-cosigned")
        memory.unlink()
        memory.mkdir()
        with pytest.raises(KeyFileError, match="it is a folder"):
            witness.remembered(ORIGIN)


class TestVerifierKey:
    """The kinds of keys."""

    def test_a_witness_key_is_another_key(self) -> None:
        """Given the same secret as a log's and as a witness's key, then the ids differ."""
        log, witness = (SigningKey("name", kind, bytes(32)).verifier for kind in (SIGNATURE, COSIGNATURE))
        assert log.public == witness.public
        assert log.id != witness.id
        assert VerifierKey.parse(witness.text) == witness

    def test_leaf(self) -> None:
        """Given the trees of these tests, then they part after eight events."""
        assert OURS(3, 0) == OTHERS(3, 0)
        assert OURS(0, 8) == leaf_hash(b"ours 8") != OTHERS(0, 8)
