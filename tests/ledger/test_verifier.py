"""
Tests of what a third party checks evidence with: notes, checkpoints, proofs, bundles, packages; every bit of them counts.

The Merkle part is tested in `test_merkle`. A second opinion on notes and proofs comes from another author's implementation.
"""

from __future__ import annotations

import base64
import builtins
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import proofbundle.checkpoint
import proofbundle.tlogproof
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import open_ledger, verifier
from ledger.errors import ProofError
from ledger.keys import rotation_statement
from ledger.signing import SigningKey, signed_note
from ledger.verifier import (
    COSIGNATURE,
    PROOF_HEADER,
    Checkpoint,
    Frontier,
    InclusionProof,
    Rotation,
    VerifierKey,
    check_bundle,
    check_file,
    follow_rotations,
    given_key,
    main,
    open_checkpoint,
    open_note,
    open_vouched,
    sample_of,
    signature_is_good,
    signer_names,
)
from tests.ledger.bundles import (
    BLOB,
    LOG,
    LOG_PATH,
    Json,
    history,
    keys_of,
    note,
    prover_of,
    remade,
    sealed,
    write_period,
    write_run,
)

VECTORS = json.loads(Path("tests/vectors/merkle/signed_notes.json").read_text(encoding="utf-8"))["notes"]
NEUMANN = VerifierKey.parse(VECTORS[0]["vkey"])
NOTE = VECTORS[0]["note"]
TEXT, _, LINES = NOTE.rpartition("\n\n")
WITNESS = SigningKey("jane.example", COSIGNATURE, b"w" * 32)
SOURCE = Path(verifier.__file__)
Change = Callable[[dict[str, bytes], Json], object]


class Evidence:
    """Evidence that a session makes once: a proof, bundles and packages, with the keys of the ledger."""

    def __init__(self, folder: Path) -> None:
        with history(folder / "ledger.db") as ledger:
            self.old, self.new = keys_of(ledger)
            prover = prover_of(ledger)
            self.body = prover.body(3)
            self.proof = prover.proof(3, self.body).text
            self.note = prover.seal.note
            self.run = write_run(folder / "run", ledger)
            self.zip = write_run(folder / "run.zip", ledger)
            self.period = write_period(folder / "period", ledger, "2026-01-02", "2026-01-31", (7, 18))
            self.whole = write_period(folder / "whole", ledger, "2026-01-01", "2026-01-01", (0, 6), ["p"])
            self.idle = write_period(folder / "idle", ledger, "2025-01-01", "2025-01-01", (0, 0))
            self.empty = write_period(folder / "empty", ledger, "2026-03-01", "2026-03-01", (18, 18))
            self.running = write_run(folder / "running", ledger, (1, 2, 3))
            self.file = folder / "event-3.tlog-proof"
            self.file.write_text(self.proof, encoding="utf-8")
            self.file.with_suffix(".json").write_bytes(self.body)
            self.checkpoint = folder / "a.checkpoint"
            self.checkpoint.write_text(self.note, encoding="utf-8")

    @property
    def key(self) -> VerifierKey:
        """The public key that signs now."""
        return self.new.verifier


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Give evidence that is only read."""
    return Evidence(tmp_path_factory.mktemp("evidence"))


def flips(data: bytes) -> list[bytes]:
    """Return *data* with each single bit of it flipped in turn."""
    return [
        data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]
        for place in range(len(data))
        for bit in range(8)
    ]


class TestNotes:
    """Signed notes: the published ones, and the malformed ones that every implementation refuses."""

    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["note"][:12] + str(vector["ok"]))
    def test_published_note(self, vector: Json) -> None:
        """Given a published note, then it is taken or refused as published, and unknown signatures are named."""
        key = VerifierKey.parse(vector["vkey"])
        assert key.text == vector["vkey"]
        if vector["ok"]:
            signed = open_note(vector["note"], [key])
            assert (signed.keys, signed.times) == ((key,), (None,))
            assert list(signed.unknown) == vector.get("unverified", [])
        else:
            with pytest.raises(ProofError, match="the signature by PeterNeumann is bad"):
                open_note(vector["note"], [key])

    @pytest.mark.parametrize(
        "note",
        [
            TEXT + "\n",
            NOTE.replace("\n\n", "\n"),
            NOTE.removesuffix("\n"),
            NOTE.replace("cryptography", "crypto\x01graphy"),
            NOTE.replace("cryptography", "crypto\ufffdgraphy"),
            NOTE.replace("PeterNeumann", "Peter Neumann"),
            NOTE + "junk\n",
            NOTE + "\u2014 a\n",
            NOTE + "\u2014 a AAAA\n",
            NOTE + "\u2014 a ====\n",
            NOTE + LINES * 100,
            "a" * 1_000_001 + NOTE,
            NOTE.replace("\u2014", "-"),
        ],
        ids=[
            "text only",
            "no empty line",
            "no last newline",
            "control character",
            "no UTF-8",
            "name with a blank",
            "junk after it",
            "no signature",
            "short signature",
            "no base64",
            "101 signatures",
            "too long",
            "no em dash",
        ],
    )
    def test_malformed_note_is_refused(self, note: str) -> None:
        """Given what is no signed note, then it is refused, whatever else is right about it."""
        with pytest.raises(ProofError, match=r"not a|not base64"):
            open_note(note, [NEUMANN])

    def test_known_and_bad_refuses_the_note(self) -> None:
        """Given a second, bad signature by another known key, then the good one does not save the note."""
        other = SigningKey("other", 1, b"o" * 32)
        bad = other.signature_line("something else\n")
        assert open_note(NOTE + bad, [NEUMANN]).unknown == ("other",)
        with pytest.raises(ProofError, match="the signature by other is bad"):
            open_note(NOTE + bad, [NEUMANN, other.verifier])

    def test_nobody_known(self) -> None:
        """Given no key that signed, then the note is refused and says by whom it is signed."""
        with pytest.raises(ProofError, match="it is signed by PeterNeumann"):
            open_note(NOTE, [WITNESS.verifier])
        assert signer_names(NOTE) == [("PeterNeumann", "c74f20a3")]

    def test_signature_twice_counts_once(self) -> None:
        """Given the same signature twice, then the key is listed once."""
        assert open_note(NOTE + LINES, [NEUMANN, NEUMANN]).keys == (NEUMANN,)

    def test_two_keys_of_one_id_are_ambiguous(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given two keys with one name and id, then neither is taken for the other."""
        twin = NEUMANN._replace(public=b"x" * 32)
        monkeypatch.setattr(VerifierKey, "id", property(lambda self: bytes.fromhex("c74f20a3")))
        with pytest.raises(ProofError, match="two keys have the name PeterNeumann and the id c74f20a3"):
            open_note(NOTE, [NEUMANN, twin])

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a+b",
            "a+b+c",
            NEUMANN.text.replace("c74f", "c74e"),
            " b+1+" + NEUMANN.text.rpartition("+")[2],
            "n+d4d2f5a5+" + base64.b64encode(b"\x02" + b"k" * 32).decode(),
            "n+d4d2f5a5+" + base64.b64encode(b"\x01" + b"k" * 31).decode(),
            "n\x7f+d4d2f5a5+" + base64.b64encode(b"\x01" + b"k" * 32).decode(),
            NEUMANN.text[:-1] + "X",
        ],
    )
    def test_what_is_no_key_is_refused(self, text: str) -> None:
        """Given what is no verifier key, then it is refused."""
        with pytest.raises(ProofError, match=r"not a verifier key|has the type|the id of the key"):
            VerifierKey.parse(text)

    def test_key_is_given_as_text_or_file(self, tmp_path: Path) -> None:
        """Given a key, then it may be typed or lie in a file."""
        (tmp_path / "k").write_text(NEUMANN.text + "\n", encoding="utf-8")
        assert given_key(str(tmp_path / "k")) == given_key(NEUMANN.text) == NEUMANN
        with pytest.raises(ProofError, match="not a verifier key"):
            given_key("x" * 5000)


class TestCheckpoints:
    """What a note says of a log."""

    @pytest.mark.parametrize(
        "text",
        ["a\n1\n", "\n1\nQQ==\n", "a\n01\nQQ==\n", "a\n-1\nQQ==\n", "a\n1\nQQ==\n", "a\n1\nQQ=\n", "a\n1\nQQ==\nmore\n", "a\x7f\n1\n\n"],
    )  # fmt: skip
    def test_what_is_no_checkpoint_is_refused(self, text: str) -> None:
        """Given a text that is none, then it is refused."""
        with pytest.raises(ProofError, match=r"not a checkpoint|not base64"):
            Checkpoint.parse(text)

    def test_unsigned_is_taken_without_keys_only(self, evidence: Evidence) -> None:
        """Given a text that nobody signed, then it is a checkpoint, and refused as soon as a key is given."""
        checkpoint, signed = open_checkpoint(evidence.note)
        assert open_checkpoint(checkpoint.text) == (checkpoint, verifier.Signed(checkpoint.text))
        assert signed.unknown == (evidence.new.name,)
        with pytest.raises(ProofError, match="not a signed note"):
            open_checkpoint(checkpoint.text, [evidence.key])

    def test_log_and_witness(self, evidence: Evidence) -> None:
        """Given keys of the log and of a witness, then both have to have signed; unknown keys do no harm."""
        text = open_checkpoint(evidence.note)[0].text
        cosigned = evidence.note + WITNESS.signature_line(text, time=1_760_000_000)
        keys = [evidence.key, WITNESS.verifier]
        assert open_vouched(cosigned, keys)[1].times == (None, 1_760_000_000)
        assert open_vouched(cosigned, keys[1:])[1].keys == (WITNESS.verifier,)
        assert open_vouched(cosigned, keys[:1])[1].unknown == (WITNESS.name,)
        with pytest.raises(ProofError, match=r"the witness jane.example has not cosigned it"):
            open_vouched(evidence.note, keys)
        only = signed_note(text, WITNESS.signature_line(text, time=1))
        with pytest.raises(ProofError, match="the key of the log has not signed it"):
            open_vouched(only, keys)
        assert proofbundle.checkpoint.verify_cosignature(cosigned, WITNESS.verifier.text)["timestamp"] == 1_760_000_000

    def test_bits_of_a_cosigned_checkpoint(self, evidence: Evidence) -> None:
        """Given a cosigned checkpoint and both keys, when any one bit is flipped, then it is refused."""
        text = open_checkpoint(evidence.note)[0].text
        cosigned = (evidence.note + WITNESS.signature_line(text, time=1_760_000_000)).encode()
        keys = [evidence.key, WITNESS.verifier]
        assert [changed for changed in flips(cosigned) if _holds(lambda text: open_vouched(text, keys), changed)] == []

    def test_key_of_another_log(self, evidence: Evidence) -> None:
        """Given a checkpoint that the key of another log has signed, then it is refused."""
        text = open_checkpoint(evidence.note)[0].text
        other = SigningKey("another-log", 1, b"o" * 32)
        with pytest.raises(ProofError, match="the key another-log has signed for another log"):
            open_vouched(signed_note(text, other.signature_line(text)), [other.verifier])


class TestRotations:
    """A key that vouches for another one."""

    def test_chain_leads_both_ways(self) -> None:
        """Given rotations one after the other, then each key of the chain vouches for all of them, and for no others."""
        a, b, c, d = (log_key(letter) for letter in b"abcd")
        given = [rotated(b, c, 7), rotated(a, b, 3)]
        chain = {a.verifier: 3, b.verifier: 7, c.verifier: None}
        assert follow_rotations([a.verifier], given) == follow_rotations([c.verifier], given) == chain
        assert follow_rotations([d.verifier], given) == {d.verifier: None}

    def test_replaced_key_counts_for_what_came_before(self) -> None:
        """Given a checkpoint signed with a key that was replaced, then it counts up to that, and whoever has the key can seal nothing more."""
        a, b = (log_key(letter) for letter in b"ab")
        rotation = rotated(a, b, 3)
        for size, signer, good in ((3, a, True), (4, a, False), (4, b, True), (2, b, True)):
            text = Checkpoint("log", size, bytes(32)).text
            note = signed_note(text, signer.signature_line(text))
            for pinned in (a, b):

                def check(text: str, key: VerifierKey = pinned.verifier) -> object:
                    return open_vouched(text, [key], [rotation])

                assert _holds(check, note.encode()) == good

    def test_two_successors_are_none(self) -> None:
        """Given a key that has given its place to two others, then neither counts, whichever of the three is known, and it counts up to the first time."""
        a, b, c = (log_key(letter) for letter in b"abc")
        for changes in ([rotated(a, b, 3), rotated(a, c, 5)], [rotated(a, c, 5), rotated(a, b, 3)]):
            assert follow_rotations([a.verifier], changes) == {a.verifier: 3}
            assert follow_rotations([b.verifier], changes) == {b.verifier: None}
            assert follow_rotations([c.verifier], changes) == {c.verifier: None}

    def test_one_signature_is_no_rotation(self) -> None:
        """Given a statement that one of the keys has not signed, or of another text, then it counts for nothing."""
        a, b = (log_key(letter) for letter in b"ab")
        rotation = Rotation(a.verifier, b.verifier, 3)
        for keys in ([a], [b]):
            with pytest.raises(ProofError, match="not a rotation"):
                Rotation.read(rotation_statement(rotation, keys))
        for old, new in (("rotation/v1", "rotation/v2"), ("\n3\n", "\n03\n"), ("\nlog\n", "\nother\n")):
            text = rotation.text.replace(old, new)
            with pytest.raises(ProofError, match="not a rotation"):
                Rotation.read(signed_note(text, a.signature_line(text), b.signature_line(text)))
        with pytest.raises(ProofError, match="not a rotation"):
            Rotation.read("nothing of the kind")
        with pytest.raises(ProofError, match="not a verifier key"):
            Rotation.read(f"{rotation.text.replace(a.verifier.text, 'nobody')}")

    def test_keys_of_two_logs_are_no_rotation(self) -> None:
        """Given a witness's key, or the key of another log, then it vouches for no key of this one, whoever has signed."""
        a, other = log_key(ord("a")), SigningKey("elsewhere", 1, b"o" * 32)
        with pytest.raises(ProofError, match="not keys of one log"):
            rotated(other, a, 3)
        text = Rotation(WITNESS.verifier, a.verifier, 3).text
        line = WITNESS.signature_line(text, time=1)
        with pytest.raises(ProofError, match="not keys of one log"):
            Rotation.read(signed_note(text, line, a.signature_line(text)))


def log_key(letter: int) -> SigningKey:
    """Return the key of a log."""
    return SigningKey("log", 1, bytes([letter]) * 32)


def rotated(before: SigningKey, after: SigningKey, size: int) -> Rotation:
    """Return what both keys have signed, read back."""
    return Rotation.read(rotation_statement(Rotation(before.verifier, after.verifier, size), [before, after]))


class TestSignatures:
    """Ed25519, by whichever of two programs is there."""

    @pytest.fixture(params=["cryptography", pytest.param("openssl", marks=pytest.mark.needs("openssl"))])
    def check(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leave only one of them to find."""
        if request.param == "openssl":
            real = builtins.__import__

            def without(name: str, *arguments: object, **options: object) -> object:
                if name.startswith("cryptography"):
                    raise ImportError(name)
                return real(name, *arguments, **options)  # type: ignore[arg-type]

            monkeypatch.setattr(builtins, "__import__", without)
        else:
            monkeypatch.setenv("PATH", "/nowhere")

    @pytest.mark.usefixtures("check")
    def test_good_and_bad(self) -> None:
        """Given a signature, then it is good over what was signed and bad over anything else, also where the key is no point."""
        line = base64.b64decode(LINES.split()[-1])[4:]
        message = (TEXT + "\n").encode()
        assert signature_is_good(NEUMANN.public, message, line)
        assert not signature_is_good(NEUMANN.public, message + b"!", line)
        assert not signature_is_good(NEUMANN.public, message, line[:-1])
        assert not signature_is_good(b"\xff" * 32, message, line)
        assert not signature_is_good(b"short", message, line)

    @pytest.mark.parametrize("code", [0, 1])
    def test_what_openssl_says_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        """Given a program of that name, then its exit code is the verdict; it is handed the key, the message and the signature as files."""
        (tmp_path / "openssl").write_text(
            f"#!/bin/sh\n[ -s key ] && [ -s message ] && [ -s signature ] && exit {code}\nexit 9\n"
        )
        (tmp_path / "openssl").chmod(0o700)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert verifier._checked_by_openssl(b"k" * 32, b"m", b"s") == (code == 0)

    def test_neither_is_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given neither of the two, then nothing is taken for good."""
        monkeypatch.setattr(verifier, "_checker", lambda: verifier._checked_by_openssl)
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(ProofError, match="neither `cryptography` nor `openssl` is there"):
            open_note(NOTE, [NEUMANN])


class TestProof:
    """A proof file of one event."""

    def test_holds(self, evidence: Evidence) -> None:
        """Given a proof, its event and the key, then it holds, here and by another implementation."""
        checkpoint, signed = InclusionProof.parse(evidence.proof).verify(evidence.body, [evidence.key])
        assert (checkpoint.size, signed.keys) == (17, (evidence.key,))
        second = proofbundle.tlogproof.verify_tlog_proof(evidence.proof, evidence.body, evidence.key.text)
        assert second["ok"]
        assert (second["index"], second["tree_size"], second["root"]) == (3, 17, checkpoint.root)
        assert proofbundle.checkpoint.verify_checkpoint(evidence.note, evidence.key.text)["ok"]

    def test_every_bit_of_the_proof_counts(self, evidence: Evidence) -> None:
        """Given the proof with the key, when any one bit is flipped, then it is refused."""
        assert [
            changed
            for changed in flips(evidence.proof.encode())
            if _holds(lambda text: InclusionProof.parse(text).verify(evidence.body, [evidence.key]), changed)
        ] == []

    def test_every_bit_of_the_event_counts(self, evidence: Evidence) -> None:
        """Given the event, when any one bit is flipped, then the proof is not of it."""
        proof = InclusionProof.parse(evidence.proof)
        checkpoint = open_checkpoint(evidence.note)[0]
        for changed in flips(evidence.body):
            with pytest.raises(ProofError, match="leaf 3 is not in the tree"):
                verifier.verify_inclusion(3, 17, verifier.leaf_hash(changed), proof.hashes, checkpoint.root)
        with pytest.raises(ProofError, match="leaf 3 is not in the tree"):
            proof.verify(evidence.body + b"\n", [evidence.key])

    def test_every_bit_of_the_checkpoint_counts(self, evidence: Evidence) -> None:
        """Given the checkpoint with the key, when any one bit is flipped, then it is refused."""
        key = evidence.key
        assert [changed for changed in flips(evidence.note.encode()) if _holds(lambda text: open_vouched(text, [key]), changed)] == []  # fmt: skip

    def test_tampered_is_refused_by_both(self, evidence: Evidence) -> None:
        """Given a proof with a changed place, hash, root or event, then another implementation refuses it as we do."""
        checkpoint = open_checkpoint(evidence.note)[0]
        other = InclusionProof.parse(evidence.proof)._replace(hashes=(b"x" * 32,) * 5).text
        for text, body in (
            (evidence.proof.replace("index 3", "index 2"), evidence.body),
            (other, evidence.body),
            (evidence.proof.replace("\n17\n", "\n16\n"), evidence.body),
            (evidence.proof.replace(base64.b64encode(checkpoint.root).decode(), base64.b64encode(b"r" * 32).decode()), evidence.body),
            (evidence.proof, evidence.body[:-1]),
        ):  # fmt: skip
            assert not proofbundle.tlogproof.verify_tlog_proof(text, body, evidence.key.text)["ok"]
            with pytest.raises(ProofError):
                InclusionProof.parse(text).verify(body, [evidence.key])

    def test_extra_is_read_over(self, evidence: Evidence) -> None:
        """Given an `extra` line, which nothing vouches for, then the proof holds without it."""
        text = evidence.proof.replace("index", "extra aGVsbG8=\nindex", 1)
        assert InclusionProof.parse(text).text == evidence.proof
        assert proofbundle.tlogproof.verify_tlog_proof(text, evidence.body, evidence.key.text)["ok"]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "c2sp.org/tlog-proof@v2\nindex 1\n\nx",
            f"{PROOF_HEADER}\nindex 1\n",
            f"{PROOF_HEADER}\n\nx",
            f"{PROOF_HEADER}\nextra aGVsbG8=\n\nx",
            f"{PROOF_HEADER}\nextra !\nindex 1\n\nx",
            f"{PROOF_HEADER}\nplace 1\n\nx",
            f"{PROOF_HEADER}\nindex 01\n\nx",
            f"{PROOF_HEADER}\nindex 1\nno\n\nx",
            f"{PROOF_HEADER}\nindex 1\n" + "QQ==\n" * 65 + "\nx",
        ],
    )
    def test_what_is_no_proof_is_refused(self, text: str) -> None:
        """Given what is no proof, then it is refused before anything is computed."""
        with pytest.raises(ProofError, match=r"not a proof|not base64"):
            InclusionProof.parse(text)


def _holds(check: Callable[[str], object], data: bytes) -> bool:
    try:
        check(data.decode())
    except (ProofError, UnicodeDecodeError):
        return False
    return True


class TestFrontier:
    """A beginning of which only some hashes are known."""

    @pytest.mark.parametrize(("size", "peaks"), [(3, 1), (0, 1), (1, 0), (-1, 1)])
    def test_wrong_number_of_hashes(self, size: int, peaks: int) -> None:
        """Given another number of hashes than the size has subtrees, then it is refused."""
        with pytest.raises(ProofError, match="are not the subtrees of"):
            Frontier(size, [b"x" * 32] * peaks)

    def test_wrong_length(self) -> None:
        """Given a hash of another length, then it is refused."""
        with pytest.raises(ProofError, match="a hash has 31 bytes"):
            Frontier(1, [b"x" * 31])


class TestBundle:
    """Evidence of a run: a zip file or a folder."""

    @pytest.mark.parametrize("form", ["run", "zip"])
    def test_holds(self, evidence: Evidence, form: str) -> None:
        """Given a bundle and the key, then it says what it shows, and what not."""
        found = check_file(getattr(evidence, form), [evidence.key])
        assert found.signed.keys == (evidence.key,)
        assert found.facts["types"] == {"attempt.finished": 1, "note.added": 1, "run.finished": 1, "run.started": 1, "step.finished": 1}  # fmt: skip
        shown, hidden = found.words
        assert "5 events stand in the history, each at its place" in shown
        assert "the first 4 events of run/r1 are all here" in shown
        assert any(line.startswith("that everybody was shown this history") for line in hidden)

    def test_run_that_had_not_ended(self, evidence: Evidence) -> None:
        """Given a run whose end is not in its bundle, then that is said; events of others may be missing in any bundle."""
        words = "that the run had ended: the last of its events here is no run.finished"
        assert words in check_bundle(evidence.running, [evidence.key]).hidden
        hidden = check_bundle(evidence.run, [evidence.key]).hidden
        assert words not in hidden
        assert "that the run was not resumed later, and that nothing else was recorded about it" in hidden

    def test_another_verifier(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given a verify.py that is not this program, another version or something worse, then that is said."""
        words = "whether the verify.py in it is honest: it is not the program that checked this"
        assert words not in check_bundle(evidence.run, [evidence.key]).hidden
        folder = tmp_path / "run"
        shutil.copytree(evidence.run, folder)
        remade(folder, lambda files, _: files.update({"verify.py": b"print('OK')\n"}))
        assert words in check_bundle(folder, [evidence.key]).hidden
        assert check_bundle(remade(folder, lambda files, _: files.pop("verify.py")), [evidence.key])

    def test_former_key_does(self, evidence: Evidence) -> None:
        """Given the key before the rotation, then the rotation in the bundle leads to the one that signed; a stranger's does not."""
        assert check_bundle(evidence.run, [evidence.old.verifier]).signed.keys == (evidence.key,)
        with pytest.raises(ProofError, match="no signature by a known key"):
            check_bundle(evidence.run, [NEUMANN])

    def test_no_key(self, evidence: Evidence) -> None:
        """Given no key, then it says that nobody answers for it, and whose name it bears."""
        shown, hidden = check_bundle(evidence.run).words
        assert not any("signed with" in line for line in shown)
        assert hidden[0].startswith("who says so: no key was given")
        assert evidence.new.name in hidden[0]

    def test_every_member_counts(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given a bundle, when a byte of any file is changed, or a file is lost or added, then it is refused."""
        names = [path.relative_to(evidence.run) for path in evidence.run.rglob("*") if path.is_file()]
        assert len(names) > 10
        for number, name in enumerate(names):
            folder = tmp_path / str(number)
            shutil.copytree(evidence.run, folder)
            data = (folder / name).read_bytes()
            (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            with pytest.raises(ProofError):
                check_bundle(folder, [evidence.key])
            (folder / name).unlink()
            with pytest.raises(ProofError):
                check_bundle(folder, [evidence.key])
            (folder / name).write_bytes(data)
            assert check_bundle(folder, [evidence.key])
            shutil.rmtree(folder)

    @given(place=st.integers(0, 2**30), bit=st.integers(0, 7))
    def test_any_bit_of_a_member(self, evidence: Evidence, place: int, bit: int) -> None:
        """Given the zip file, when any bit of a member's data is flipped, then it is refused, with and without a key."""
        data = bytearray(evidence.zip.read_bytes())
        with zipfile.ZipFile(evidence.zip) as archive:
            spans = []
            for info in archive.infolist():
                start = info.header_offset + 30 + len(info.filename) + 20  # the header of a member that may be large
                assert bytes(data[start : start + info.file_size]) == archive.read(info)
                spans.append(range(start, start + info.file_size))
        bytes_of_members = [byte for span in spans for byte in (span.start, span.stop)]
        total = sum(len(span) for span in spans)
        offset = place % total
        for span in spans:
            if offset < len(span):
                data[span[offset]] ^= 1 << bit
                break
            offset -= len(span)
        assert bytes_of_members
        changed = evidence.zip.with_name("changed.zip")
        changed.write_bytes(data)
        for keys in ([evidence.key], []):
            with pytest.raises(ProofError):
                check_file(changed, keys)

    def test_truncated_zip(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given a zip file that ends early, wherever, then it is refused."""
        data = evidence.zip.read_bytes()
        for length in [*range(0, len(data), 997), *range(len(data) - 30, len(data))]:
            (tmp_path / "cut.zip").write_bytes(data[:length])
            with pytest.raises(ProofError):
                check_file(tmp_path / "cut.zip", [evidence.key])

    @given(st.data())
    def test_garbage_is_refused_and_nothing_else(self, evidence: Evidence, data: st.DataObject) -> None:
        """Given a zip file with any bytes overwritten, then it is refused or still says the same, never an error of another kind."""
        original = evidence.zip.read_bytes()
        place = data.draw(st.integers(0, len(original) - 1))
        noise = data.draw(st.binary(min_size=1, max_size=200))
        path = evidence.zip.with_name("noise.zip")
        path.write_bytes(original[:place] + noise + original[place + len(noise) :])
        try:
            found = check_file(path, [evidence.key])
        except ProofError:
            return
        assert found == check_file(evidence.zip, [evidence.key])


def _set(name: str, value: object) -> Change:
    return lambda files, manifest: manifest.__setitem__(name, value)


def _put(name: str, change: Callable[[bytes], bytes]) -> Change:
    return lambda files, manifest: files.__setitem__(name, change(files[name]))


def _swap_lines(data: bytes) -> bytes:
    *rest, one, other = data.splitlines(keepends=True)
    return b"".join([*rest, other, one])


def _without_the_second(files: dict[str, bytes], manifest: Json) -> None:
    first, _, *rest = files["events.jsonl"].splitlines(keepends=True)
    files["events.jsonl"] = b"".join([first, *rest])
    del files["proofs/2.tlog-proof"], files[LOG_PATH]
    manifest["events"] = 4


RUN_CHANGES: dict[str, tuple[Change, str]] = {
    "another format": (_set("format", "x/v9"), "the format"),
    "another kind": (_set("kind", "year"), "KeyError"),
    "no list": (_set("events", None), "what is said of the events"),
    "another origin": (_set("origin", "x"), "the checkpoint"),
    "another root": (_set("root", "00"), "the checkpoint"),
    "other numbers": (_set("first_seq", 0), "what is said of the events"),
    "another stream": (_set("stream", "pipeline/p"), "the stream: 'pipeline/p', expected 'run/r1'"),
    "another run": (lambda _, manifest: manifest.update(run_id="r9", stream="run/r9"), "whether there is an event of run/r9"),
    "log changed": (_put(LOG_PATH, lambda data: data + b"!"), LOG_PATH),
    "log without event": (lambda files, _: files.update({"logs/x.log": LOG}), "the number of logs"),
    "blob under another name": (lambda files, _: files.update({"blobs/00": BLOB}), "blobs/00"),
    "event without proof": (lambda files, _: files.pop("proofs/3.tlog-proof"), "proofs/3.tlog-proof"),
    "proof without event": (
        lambda files, _: files.update({"proofs/6.tlog-proof": files["proofs/3.tlog-proof"]}), "the number of proofs"),
    "proof of another event": (
        lambda files, _: files.update({"proofs/4.tlog-proof": files["proofs/3.tlog-proof"]}), "proofs/4.tlog-proof"),
    "event changed": (_put("events.jsonl", lambda data: data.replace(b"succeeded", b"suceeeded")), "is not in the tree"),
    "event left out": (_without_the_second, "the next event of run/r1: 2, expected 1"),
    "events in another order": (_put("events.jsonl", _swap_lines), "event 4 stands after event 5"),
    "events are no JSON": (_put("events.jsonl", lambda data: b"{" + data), "JSONDecodeError"),
    "events are no objects": (_put("events.jsonl", lambda data: b"3\n" + data), "TypeError"),
    "no events": (lambda files, _: files.pop("events.jsonl"), "KeyError"),
    "deep JSON": (_put("events.jsonl", lambda data: b"[" * 100_000 + data), "RecursionError"),
    "another checkpoint": (_put("checkpoint", lambda data: data.replace(b"\n17\n", b"\n16\n")), "the signature by"),
    "rotation changed": (_put("rotations/6.note", lambda data: data.replace(b"rotation/v1", b"rotation/v2")), "is bad"),
    "a name that leads elsewhere": (lambda files, _: files.update({"x y": b""}), "a name that evidence has not"),
}  # fmt: skip


class TestForgedRun:
    """Somebody who changes a bundle and makes its list of files anew is found by what the files say."""

    @pytest.mark.parametrize(("change", "message"), RUN_CHANGES.values(), ids=RUN_CHANGES)
    def test_change_is_refused(self, evidence: Evidence, tmp_path: Path, change: Change, message: str) -> None:
        """Given a change that the list of files does not show, then it is refused all the same, for the right reason."""
        folder = tmp_path / "run"
        shutil.copytree(evidence.run, folder)
        with pytest.raises(ProofError, match=message):
            check_bundle(remade(folder, change), [evidence.key])

    @pytest.mark.parametrize(
        "change", [lambda files, _: files.update({"a": b""}), lambda files, _: files.pop("verify.py")]
    )
    def test_list_of_files_is_complete(self, evidence: Evidence, tmp_path: Path, change: Change) -> None:
        """Given a file too many or too few, then it is refused, and named."""
        folder = tmp_path / "run"
        shutil.copytree(evidence.run, folder)
        with pytest.raises(
            ProofError, match=r"what the manifest and the files have not in common: \['(a|verify\.py)'\]"
        ):
            check_bundle(remade(folder, change, relisted=False), [evidence.key])

    def test_manifest_is_held_to_its_digest(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given a manifest with one more blank, then it is not the one that the digest is of."""
        folder = tmp_path / "run"
        shutil.copytree(evidence.run, folder)
        (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes() + b" ")
        with pytest.raises(ProofError, match=r"manifest\.sha256"):
            check_bundle(folder)


PERIOD_CHANGES: dict[str, tuple[Change, str]] = {
    "event changed": (_put("events.jsonl", lambda data: data.replace(b"succeeded", b"suceeeded")), "is not in the tree|the root over all events"),
    "last event left out": (
        lambda files, manifest: (files.update({"events.jsonl": b"".join(files["events.jsonl"].splitlines(keepends=True)[:-1])})),
        "the root over all events"),
    "first event left out": (
        lambda files, manifest: (files.update({"events.jsonl": b"".join(files["events.jsonl"].splitlines(keepends=True)[1:])})),
        "the next event"),
    "another beginning": (_put("range.json", lambda data: data.replace(b'"start": 6', b'"start": 5')), "the first checkpoint"),
    "other hashes before": (_put("range.json", lambda data: data.replace(b'"peaks": ["', b'"peaks": ["00", "')), "a hash has 1 bytes"),
    "no first checkpoint": (lambda files, _: files.pop("checkpoint.start"), "KeyError"),
    "other consistency": (_put("range.json", lambda data: data[: data.index(b'"consistency"')] + b'"consistency": []}'), "consistency proof"),
    "row too many": (_put("tables/runs.jsonl", lambda data: data + b'{"seq": 8}\n'), "the rows of runs"),
    "row left out": (
        lambda files, manifest: (files.update({"tables/runs.jsonl": b""}), manifest["tables"]["runs"].update(rows=0)), "the table runs"),
    "row of another event": (_put("tables/runs.jsonl", lambda data: data.replace(b'"seq": 7', b'"seq": 8')), "the table runs"),
    "table with fewer types": (
        lambda _, manifest: manifest["tables"]["reviews"].update(types=["run.acknowledged"]), "the types of reviews"),
    "table that is not complete": (
        lambda files, manifest: (
            files.update({"tables/reviews.jsonl": b"", "tables/reviews.csv": b'"seq"\r\n'}),
            manifest["tables"].update(reviews={"rows": 0, "types": []})),
        "the types of reviews"),
    "table that claims more": (
        lambda _, manifest: manifest["tables"]["overlaps"].update(types=["run.refused"]), "the types of overlaps"),
    "no table": (
        lambda files, manifest: (files.pop("tables/runs.jsonl"), files.pop("tables/runs.csv"), manifest["tables"].pop("runs")),
        r"the tables that are missing: \['runs'\]"),
    "table that nobody speaks of": (
        lambda files, _: files.update({"tables/no_runs.csv": b""}), r"tables/no_runs\.csv"),
    "CSV with another row": (_put("tables/runs.csv", lambda data: data.replace(b"7", b"8")), r"tables/runs\.csv does not say what"),
    "CSV with a row left out": (_put("tables/runs.csv", lambda data: data.replace(b"7\r\n", b"")), r"tables/runs\.csv does not say what"),
    "CSV with another head": (_put("tables/runs.csv", lambda data: data.replace(b"seq", b"night")), r"tables/runs\.csv does not say what"),
    "CSV with a formula for a head": (_put("tables/moves.csv", lambda data: b'"=1+1"\r\n'), r"tables/moves\.csv does not say what"),
    "CSV without a head": (_put("tables/moves.csv", lambda data: b""), r"tables/moves\.csv does not say what"),
    "no day": (_set("to", "2026-01-31 and all of 2027"), "whether they are days"),
    "row without seq": (_put("tables/runs.jsonl", lambda data: data.replace(b'"seq": 7', b'"sq": 7')), "KeyError"),
    "period that begins before what is here": (_set("from", "2026-01-01"), "event 6 does not lie before the period"),
    "another day": (_set("from", "2026-01-03"), "the table reviews"),
    "fewer pipelines": (_set("pipelines", ["q"]), "the table reviews"),
    "chosen sample": (lambda _, manifest: manifest["sample"].update(items=[]), "the sample"),
    "another seed": (lambda _, manifest: manifest["sample"].update(seed="8", size=1, items=["r3/one"]), "the sample"),
}  # fmt: skip


class TestPeriod:
    """Evidence of a period: every event between two checkpoints."""

    def test_holds(self, evidence: Evidence) -> None:
        """Given a package, then the events lead from the first checkpoint to the last, and the tables are complete."""
        found = check_bundle(evidence.period, [evidence.key])
        assert found.shown[:4] == (
            "11 events follow each other without a gap and lead to the root",
            "10 of them were recorded from 2026-01-02 to 2026-01-31",
            "no event of the period is missing in the tables definition_changes, moves, refusals, reviews, runs",
            "the sample of 2 steps was drawn with the seed '7'",
        )
        assert check_bundle(evidence.period, [evidence.old.verifier]).facts == found.facts

    def test_from_the_first_event_on(self, evidence: Evidence) -> None:
        """Given a period that begins with the history, then nothing stands before it, and a pipeline may be chosen."""
        found = check_bundle(evidence.whole, [evidence.old.verifier])
        assert (found.facts["first_seq"], found.facts["last_seq"], found.checkpoint.size) == (0, 5, 6)

    @pytest.mark.parametrize("name", ["idle", "empty"])
    def test_without_events(self, evidence: Evidence, name: str) -> None:
        """Given a period in which nothing was recorded, then that is shown."""
        found = check_bundle(
            getattr(evidence, name),
            [
                evidence.key,
            ],
        )
        assert "0 of them were recorded" in found.shown[1]

    def test_far_end(self, evidence: Evidence) -> None:
        """Given a period that nothing here lies after, then it is said from when on it is not covered; else nothing is."""

        def said(path: Path) -> list[str]:
            return [line for line in check_bundle(path).hidden if line.startswith("what was recorded ")]

        last = "2026-01-03T02:00:00.000000Z"
        assert said(evidence.period) == [
            f"what was recorded after {last}, the last event here, until the end of 2026-01-31"
        ]
        assert said(evidence.whole) == [
            "what was recorded after 2026-01-01T02:00:00.000000Z, the last event here, until the end of 2026-01-01"
        ]
        assert said(evidence.idle) == []

    def test_times_that_go_back(self, tmp_path: Path) -> None:
        """Given a clock that was set back within the period, then more of it may stand after what is here, and that is said."""
        history(tmp_path / "ledger.db").close()
        with open_ledger(tmp_path / "ledger.db", now=lambda: "2026-01-02T00:00:00.000000Z") as ledger:
            ledger.append("pipeline/p", [note("r1")], expected_version=None)
            size = sealed(ledger, key=keys_of(ledger)[1]).checkpoint.size
            package = write_period(tmp_path / "p", ledger, "2026-01-01", "2026-01-31", (0, size))
        assert any("times go back in it" in line for line in check_bundle(package).hidden)

    def test_chosen_pipelines_are_named(self, evidence: Evidence) -> None:
        """Given tables of some pipelines alone, then it is said of which they are complete."""
        assert check_bundle(evidence.whole).shown[2].endswith(" runs, of the pipelines p")

    def test_what_the_first_checkpoint_rests_on(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given a package, then whoever has signed its first checkpoint counts for nothing, and that is said: the proof to the signed one leads there."""
        words = "who has signed checkpoint.start: it rests on the proof that leads to the checkpoint"
        assert words in check_bundle(evidence.period, [evidence.key]).hidden
        assert words not in check_bundle(evidence.whole, [evidence.key]).hidden
        folder = tmp_path / "period"
        shutil.copytree(evidence.period, folder)
        remade(folder, _put("checkpoint.start", lambda data: data.partition(b"\n\n")[0] + b"\n"))
        assert words in check_bundle(folder, [evidence.key]).hidden

    @pytest.mark.parametrize(
        ("value", "cell", "good"),
        [
            ("=1+1", "\"'=1+1\"", True),
            ("=1+1", '"=1+1"', False),
            ('a\r\n,""b', '"a\r\n,""""b"', True),
            ("x" * 200_000, '"' + "x" * 200_000 + '"', True),
            ("-5", "\"'-5\"", True),
            ("-5", "-5", False),
            (-5, "-5", True),
            (0.25, "0.25", True),
            (None, "", True),
            (None, "0", False),
        ],
    )  # fmt: skip
    def test_csv_says_the_same(self, evidence: Evidence, tmp_path: Path, value: object, cell: str, good: bool) -> None:  # noqa: FBT001
        """Given the two files of a table, then each cell says the same in both, and none is a formula."""
        folder = tmp_path / "period"
        shutil.copytree(evidence.period, folder)

        def change(files: dict[str, bytes], manifest: Json) -> None:
            row = {"seq": None, "sealed": 1, "text": value}
            files["tables/overlaps.jsonl"] = json.dumps(row).encode() + b"\n"
            files["tables/overlaps.csv"] = f'"seq","sealed","text"\r\n,1,{cell}\r\n'.encode()
            manifest["tables"]["overlaps"]["rows"] = 1

        remade(folder, change)
        if good:
            assert check_bundle(folder, [evidence.key])
        else:
            with pytest.raises(ProofError, match=r"tables/overlaps\.csv does not say what"):
                check_bundle(folder, [evidence.key])

    def test_table_in_one_form(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given tables as JSON lines alone, then there is nothing to compare them with."""
        folder = tmp_path / "period"
        shutil.copytree(evidence.period, folder)
        assert check_bundle(remade(folder, lambda files, _: files.pop("tables/runs.csv")), [evidence.key])

    @pytest.mark.parametrize(("change", "message"), PERIOD_CHANGES.values(), ids=PERIOD_CHANGES)
    def test_change_is_refused(self, evidence: Evidence, tmp_path: Path, change: Change, message: str) -> None:
        """Given a change that the list of files does not show, then it is refused all the same, for the right reason."""
        folder = tmp_path / "period"
        shutil.copytree(evidence.period, folder)
        with pytest.raises(ProofError, match=message):
            check_bundle(remade(folder, change), [evidence.key])

    def test_sample_is_a_function_of_the_seed(self) -> None:
        """Given items and a seed, then the sample is the documented one, whatever their order."""
        items = [f"r{number}/a" for number in range(20)]
        expected = sorted(items, key=lambda item: sha256(b"7\n" + item.encode()).hexdigest())[:5]
        assert sample_of(items[::-1] + items, "7", 5) == expected
        assert sample_of(items, "8", 5) != expected
        assert len(sample_of(items, "7", 25)) == 20


def _over(mark: bytes, offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Return what writes *value* over what stands *offset* after the first *mark*."""

    def change(data: bytes) -> bytes:
        place = data.index(mark) + offset
        return data[:place] + value + data[place + len(value) :]

    return change


def _moved(data: bytes, place: int, more: bytes, *, end: int = 16, members: bool = False) -> bytes:
    """Put *more* in at *place*, count it in at *end* of the end record, and let *members* after it be found there."""
    changed = bytearray(data[:place] + more + data[place:])
    record = changed.index(_END) + end
    fields = [record]
    if members:
        at = changed.index(_CENTRAL)
        while changed[at : at + 4] == _CENTRAL:
            fields.append(at + 42)
            at += 46 + changed[at + 28] + changed[at + 30]
    for field in fields:
        value = int.from_bytes(changed[field : field + 4], "little")
        if field == record or value >= place:
            changed[field : field + 4] = (value + len(more)).to_bytes(4, "little")
    return bytes(changed)


def _with_member_comment(data: bytes) -> bytes:
    place = data.index(_CENTRAL)
    length = 46 + data[place + 28]
    return _moved(_over(_CENTRAL, 32, b"\1")(data), place + length, b"!", end=12)


def _with_another_name(data: bytes) -> bytes:
    """Give the first member a second name, as Info-ZIP writes names of Unicode: it unpacks the member under that one."""
    field = b"up\x0e\0\1" + zlib.crc32(b"checkpoint").to_bytes(4, "little") + b"README.md"
    place = data.index(_LOCAL)
    changed = _over(_LOCAL, 28, (20 + len(field)).to_bytes(2, "little"))(data)
    return _moved(changed, place + 30 + len("checkpoint") + 20, field, members=True)


_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
ZIP_CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "bytes before it": lambda data: b"PK" + data,
    "byte between members": lambda data: _moved(data, data.index(_LOCAL, 4), b"!", members=True),
    "byte before the directory": lambda data: _moved(data, data.index(_CENTRAL), b"!"),
    "bytes after it": lambda data: data + b"!!",
    "comment": lambda data: data[:-2] + b"\5\0hello",
    "comment of a member": _with_member_comment,
    "second name of a member": _with_another_name,
    "fewer members in the count": _over(_END, 8, b"\1\0\1\0"),
    "other name before the member": _over(_LOCAL, 30, b"C"),
    "other length before the member": _over(_LOCAL, 44, b"\1"),
    "length twice before the member": _over(_LOCAL, 18, b"\1\0\0\0"),
    "other checksum before the member": _over(_LOCAL, 14, b"!!!!"),
    "streamed": _over(_CENTRAL, 8, b"\10\0"),
}  # fmt: skip


class TestMembers:
    """What lies in a file that was handed over is hostile."""

    def _zip(self, path: Path, *names: str, data: bytes = b"x", compression: int = zipfile.ZIP_STORED) -> Path:
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name in names:
                archive.writestr(name, data)
        return path

    @pytest.mark.parametrize(
        "name", ["../a", "/a", "a/../b", "a\\b", ".a", "a/.b", "a//b", "a b", "ä", "a/b/c/d/e", "a" * 256]
    )
    def test_names_that_lead_elsewhere(self, tmp_path: Path, name: str) -> None:
        """Given a name that is none of ours, then it is refused before anything is read."""
        with pytest.raises(ProofError, match="a name that evidence has not"):
            check_bundle(self._zip(tmp_path / "x.zip", name))

    def test_name_twice(self, tmp_path: Path) -> None:
        """Given two members of one name, then it is refused: programs differ in which of them they take."""
        with pytest.warns(UserWarning, match="Duplicate name"):
            path = self._zip(tmp_path / "x.zip", "a", "a")
        with pytest.raises(ProofError, match="a name that evidence has not"):
            check_bundle(path)

    def test_compressed(self, tmp_path: Path) -> None:
        """Given a compressed member, which may be a bomb, then it is refused, and says what to do."""
        path = self._zip(tmp_path / "x.zip", "a", data=bytes(100_000_000), compression=zipfile.ZIP_DEFLATED)
        assert path.stat().st_size < 200_000
        with pytest.raises(ProofError, match="it is compressed, which evidence is not: unpack it and check the folder"):
            check_bundle(path)

    def test_members_that_overlap(self, tmp_path: Path) -> None:
        """Given members that claim more than the file has, then it is refused before they are read."""
        path = self._zip(tmp_path / "x.zip", "a", "b", data=bytes(5000))
        data = path.read_bytes()
        place = data.index(b"PK\x01\x02")
        path.write_bytes(data[: place + 20] + b"\xff\xff\xff\x7f" * 2 + data[place + 28 :])
        with pytest.raises(ProofError, match="not just its members and their directory"):
            check_bundle(path)

    def test_place_before_the_file(self, tmp_path: Path) -> None:
        """Given a member that claims to stand before the beginning of the file, then it is refused like any other nonsense."""
        path = self._zip(tmp_path / "x.zip", "manifest.json")
        data = path.read_bytes()
        place = data.index(b"PK\x05\x06") + 16
        path.write_bytes(data[:place] + (len(data) + 99).to_bytes(4, "little") + data[place + 4 :])
        with pytest.raises(ProofError, match="not just its members and their directory"):
            check_file(path)

    @pytest.mark.parametrize("change", ZIP_CHANGES.values(), ids=ZIP_CHANGES)
    def test_nothing_but_members(self, evidence: Evidence, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
        """Given a zip file with bytes that its directory does not know, or knows otherwise, then it is refused: other programs see other things in it."""
        path = tmp_path / "x.zip"
        path.write_bytes(change(evidence.zip.read_bytes()))
        with pytest.raises(ProofError, match=r"unpack it and check the folder|it is no evidence of this form"):
            check_file(path, [evidence.key])

    @pytest.mark.parametrize(
        "names", [("a", "A"), ("a/b", "A/c"), ("a", "a/b"), ("a/b/c", "a/B/d"), ("A/", "a/b"), ("a/", "a/b", "A/")]
    )
    def test_names_that_differ_in_case_alone(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        """Given files or folders that are one place on some disks, then it is refused: they would lie upon each other."""
        with pytest.raises(ProofError, match="has a place of its own"):
            check_bundle(self._zip(tmp_path / "x.zip", *names, data=b""))

    def test_folder_twice_or_with_data(self, tmp_path: Path) -> None:
        """Given a folder in a zip file twice, or one with content, then it is refused."""
        with pytest.warns(UserWarning, match="Duplicate name"):
            path = self._zip(tmp_path / "x.zip", "a/", "a/", data=b"")
        with pytest.raises(ProofError, match="a name that evidence has not"):
            check_bundle(path)
        with pytest.raises(ProofError, match="not just its members and their directory"):
            check_bundle(self._zip(tmp_path / "x.zip", "a/"))

    def test_many_members(self, tmp_path: Path) -> None:
        """Given more members than the end of a zip file can count, then what counts them is read."""
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(0xFFFF + 1):
                archive.writestr(f"a{number}", b"")
        with pytest.raises(ProofError, match="KeyError"):
            check_bundle(path)

    def test_folders_in_a_zip_are_no_files(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given a folder that somebody packed again with another program, uncompressed, then it is the same evidence."""
        with zipfile.ZipFile(tmp_path / "again.zip", "w") as archive:
            archive.mkdir("proofs")
            for path in sorted(evidence.run.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(evidence.run))
        assert check_file(tmp_path / "again.zip", [evidence.key])

    def test_links_and_other_things(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given a link or a pipe in a folder, then it is refused and not followed."""
        folder = tmp_path / "run"
        shutil.copytree(evidence.run, folder)
        (folder / "extra").symlink_to("/etc/passwd")
        with pytest.raises(ProofError, match="it holds links"):
            check_bundle(folder)
        (folder / "extra").unlink()
        os.mkfifo(folder / "extra")
        with pytest.raises(ProofError, match="it holds links"):
            check_bundle(folder)

    def test_folder_without_manifest(self, tmp_path: Path) -> None:
        """Given any folder, then it is not searched."""
        with pytest.raises(ProofError, match=r"there is no manifest\.json in it"):
            check_file(tmp_path)

    def test_long_member(self, evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a member that is read as a whole and longer than may be, then it is refused."""
        monkeypatch.setattr(verifier, "_READ_MAX", 1000)
        with pytest.raises(ProofError, match=r"manifest\.json is longer than 1000 bytes"):
            check_bundle(evidence.run)

    def test_unreadable_is_no_verdict(self, evidence: Evidence) -> None:
        """Given a file that cannot be read, then that is what is said."""
        with pytest.raises(FileNotFoundError):
            check_bundle(evidence.run.with_name("nowhere.zip"))


class TestMain:
    """The verifier as a program."""

    def test_says_what_is_shown(self, evidence: Evidence, capsys: pytest.CaptureFixture[str]) -> None:
        """Given a proof, a checkpoint and a bundle, then each is checked, and the exit code is 0."""
        files = [str(path) for path in (evidence.file, evidence.checkpoint, evidence.zip)]
        assert main([*files, "--key", evidence.key.text]) == 0
        out = capsys.readouterr().out
        assert out.count("\nnot shown:\n") == out.count("OK ") == 3
        assert (
            f"OK {files[0]}\nshown:\n  - the event, {len(evidence.body)} bytes, stands at place 3 of the history\n"
            in out
        )

    def test_refuses(self, evidence: Evidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Given one file that does not hold among others, then the exit code is 3, and the others are checked all the same."""
        bad = tmp_path / "bad.tlog-proof"
        bad.write_text(evidence.proof.replace("index 3", "index 4"), encoding="utf-8")
        body = ["--body", str(evidence.file.with_suffix(".json"))]
        assert main([str(bad), str(evidence.file), *body]) == 3
        out = capsys.readouterr().out.splitlines()
        assert out[0].startswith(f"REFUSED {bad}: leaf 4 is not in the tree of 17")
        assert out[1] == f"OK {evidence.file}"

    def test_binary_file_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Given any bytes, then they are refused."""
        (tmp_path / "x").write_bytes(b"\xff\xfe")
        assert main([str(tmp_path / "x")]) == 3
        assert "it is no text, and no bundle" in capsys.readouterr().out

    def test_not_called_right(self, evidence: Evidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Given no file, one that is not there, or a key that is none, then the exit code is 2."""
        for arguments in ([], [str(evidence.file), "--key", "nonsense"]):
            with pytest.raises(SystemExit) as caught:
                main(arguments)
            assert caught.value.code == 2
        assert main([str(tmp_path / "nowhere")]) == 2
        lonely = tmp_path / "a.tlog-proof"
        lonely.write_text(evidence.proof, encoding="utf-8")
        assert main([str(lonely), str(evidence.file)]) == 2
        assert "a.json" in capsys.readouterr().out

    def test_cosignature_is_told_with_its_time(
        self, evidence: Evidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given a cosigned checkpoint and the witness's key, then her name and time are told, however large the time."""
        text = open_checkpoint(evidence.note)[0].text
        for time, shown in ((1_760_000_000, "2025-10-09T08:53:20Z"), (2**64 - 1, "9999-12-31T23:59:59Z")):
            (tmp_path / "c").write_text(evidence.note + WITNESS.signature_line(text, time=time), encoding="utf-8")
            assert main([str(tmp_path / "c"), "--key", WITNESS.verifier.text]) == 0
            assert f"  - cosigned by jane.example at {shown}\n" in capsys.readouterr().out

    def test_cosignature_at_the_beginning_of_time(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given a cosignature with the time 0, then it is one: the witness is named, and no other one is asked for."""
        text = open_checkpoint(evidence.note)[0].text
        (tmp_path / "c").write_text(evidence.note + WITNESS.signature_line(text, time=0), encoding="utf-8")
        shown, hidden = check_file(tmp_path / "c", [evidence.key, WITNESS.verifier]).words
        assert "cosigned by jane.example at 1970-01-01T00:00:00Z" in shown
        assert not any(line.startswith("that everybody was shown this history") for line in hidden)

    @pytest.mark.system
    @pytest.mark.parametrize("options", [("{it}",), ("{proof}", "--body", "{it}"), ("{proof}", "--key", "{it}")])
    def test_nothing_waits_or_reads_without_end(
        self, evidence: Evidence, tmp_path: Path, options: tuple[str, ...]
    ) -> None:
        """Given a pipe or a device for a file, then it is not read, and the exit code says that the call is wrong."""
        os.mkfifo(tmp_path / "pipe")
        for it in (tmp_path / "pipe", "/dev/zero"):
            arguments = [option.format(it=it, proof=evidence.file) for option in options]
            command = [sys.executable, str(SOURCE), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
            assert done.returncode == 2, done
            assert "it is no regular file" in done.stdout + done.stderr
            assert "Traceback" not in done.stderr

    def test_long_files(self, evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a text that is longer than any proof, or a body or a key that is too long, then it is refused and not read to its end."""
        long = tmp_path / "long"
        long.write_bytes(b"a" * 4_000_001)
        with pytest.raises(ProofError, match="long is longer than 4000000 bytes"):
            check_file(long)
        with pytest.raises(ProofError, match="long is longer than 4000000 bytes"):
            given_key(str(long))
        monkeypatch.setattr(verifier, "_READ_MAX", 100)
        with pytest.raises(ProofError, match=r"event-3\.json is longer than 100 bytes"):
            check_file(evidence.file)

    def test_hostile_names_move_no_cursor(
        self, evidence: Evidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given a note that bears a name with control characters and other letters, then neither reaches the terminal."""
        checkpoint = open_checkpoint(evidence.note)[0]
        (tmp_path / "c").write_text(f"{checkpoint.text}\n\u2014 ev\x9bil\u00e9 QUFBQUE=\n", encoding="utf-8")
        assert main([str(tmp_path / "c")]) == 0
        out = capsys.readouterr().out
        assert "ev?il\\xe9, unchecked" in out
        assert out.isascii()


class TestAlone:
    """The copy in a bundle, run where nothing of this program is."""

    @pytest.mark.system
    @pytest.mark.needs("openssl")
    @pytest.mark.parametrize("form", ["run", "zip", "period"])
    def test_bare_interpreter(self, evidence: Evidence, tmp_path: Path, form: str) -> None:
        """Given Python without any package, then `openssl` checks the signature and the evidence holds; changed, it is refused."""
        path: Path = getattr(evidence, form)
        (tmp_path / "verify.py").write_bytes((evidence.run / "verify.py").read_bytes())
        command = [sys.executable, "-I", "-S", "verify.py", str(path), "--key", evidence.old.verifier.text]
        environment = {"PATH": os.environ["PATH"]}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"signed with the key {evidence.key.text}" in done.stdout
        command[-1] = WITNESS.verifier.text
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 3
        assert done.stdout.startswith("REFUSED ")

    @pytest.mark.system
    @pytest.mark.needs("openssl")
    def test_nothing_of_ours_or_others_is_loaded(self, evidence: Evidence, tmp_path: Path) -> None:
        """Given the copy alone, then it loads the standard library and nothing else."""
        (tmp_path / "verify.py").write_bytes(SOURCE.read_bytes())
        code = (
            "import sys, verify; assert verify.main(sys.argv[1:]) == 0;"
            " print(sorted({name.split('.')[0] for name in sys.modules} - {*sys.stdlib_module_names}))"
        )
        command = [sys.executable, "-S", "-c", code, str(evidence.zip), "--key", evidence.key.text]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "['__main__', 'verify']"

    def test_bundle_holds_the_file_itself(self, evidence: Evidence) -> None:
        """Given a bundle, then its verifier is this program's own, to the byte."""
        with zipfile.ZipFile(evidence.zip) as archive:
            assert archive.read("verify.py") == SOURCE.read_bytes()
        assert io.BytesIO(SOURCE.read_bytes()).read(3) == b'"""'
