"""Tests of keys, checkpoints and witnesses as commands, and of what seals a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import proofbundle.checkpoint
import pytest

from ledger.keys import key_changes
from ledger.signer import KEY, MEMORY, NEXT, Signer, keep_next_key
from ledger.signing import SigningKey
from ledger.verifier import VerifierKey, open_checkpoint
from orchestrator.cli.keyring import config_folder, operator_folder
from tests.programs import data_of, exists, no_traceback, program, refused, started, value_of

PIPELINE = """\
[pipeline]
name = "p"
[steps.a]
command = ["true"]
"""


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a configuration folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give the folder of a pipeline that has run once."""
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
    assert program("run", "-q", cwd=folder).returncode == 0
    return folder


def ledger_of(project: Path) -> Path:
    """Return the ledger of *project*."""
    return project / ".orchestrate" / "ledger.db"


def id_of(project: Path) -> str:
    """Return the id of the ledger of *project*."""
    with contextlib.closing(sqlite3.connect(ledger_of(project))) as connection:
        (identity,) = connection.execute("SELECT ledger FROM ledger_meta").fetchone()
    return str(identity)


def keygen(project: Path, *arguments: str) -> VerifierKey:
    """Make a key and return its public half."""
    return VerifierKey.parse(
        value_of(program("audit", "keygen", *arguments, "--json", cwd=project), "audit-key")["key"]
    )


def checkpoint(project: Path, *arguments: str) -> dict[str, object]:
    """Return a checkpoint of *project*."""
    value: dict[str, object] = value_of(
        program("audit", "checkpoint", *arguments, "--json", cwd=project), "audit-checkpoint"
    )
    return value


def outside(project: Path) -> list[Path]:
    """Return the checkpoints beside the ledger of *project*."""
    return sorted((project / ".orchestrate" / "checkpoints" / id_of(project)[:8]).iterdir())


class TestConfigurationFolder:
    """Where keys lie."""

    def test_of_the_user(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Given XDG_CONFIG_HOME, then below it; given none or a relative one, then below the home."""
        assert config_folder() == tmp_path / "config" / "orchestrate"
        monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
        monkeypatch.setenv("HOME", "/somewhere")
        assert config_folder() == Path("/somewhere/.config/orchestrate")

    def test_without_a_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a user whom nobody knows and who has no home, then a folder that is not there."""
        monkeypatch.delenv("XDG_CONFIG_HOME")
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        assert config_folder() == Path("/.config/orchestrate")


class TestSealedRun:
    """Each run ends with a checkpoint."""

    def test_unsigned(self, project: Path) -> None:
        """Given no key, then the root is kept in the ledger and in a file beside it, and says which run it seals."""
        found = checkpoint(project, "--last")
        (path,) = outside(project)
        assert path.read_text(encoding="utf-8") == found["note"]
        assert found["signed"] is False
        with contextlib.closing(sqlite3.connect(ledger_of(project))) as connection:
            (last,) = connection.execute("SELECT last_seq FROM runs").fetchone()
        assert found["size"] == last + 1

    def test_signed(self, project: Path) -> None:
        """Given a key, then the next run's checkpoint is signed with it, and another implementation accepts it."""
        key = keygen(project)
        assert program("run", "-q", cwd=project).returncode == 0
        found = checkpoint(project, "--last")
        assert found["signed"] is True
        assert proofbundle.checkpoint.verify_checkpoint(str(found["note"]), key.text)
        assert outside(project)[-1].read_text(encoding="utf-8") == found["note"]

    def test_reports_name_it(self, project: Path) -> None:
        """Given a sealed run, then `show` and the reports name size and root."""
        found = checkpoint(project, "--last")
        shown = value_of(program("show", "latest", "--json", cwd=project), "show")
        assert shown["checkpoint"] == {"size": found["size"], "root": found["root"], "signed": False}
        assert str(found["root"]) in program("show", "latest", cwd=project).stdout
        for name in ("report.html", "report.md"):
            (report,) = project.glob(f".orchestrate/reports/*/{name}")
            assert str(found["root"]) in report.read_text(encoding="utf-8"), name

    def test_closing_checkpoint_covers_what_came_after(self, project: Path, tmp_path: Path) -> None:
        """Given an anchor, then the checkpoint of the run goes there, that is recorded, and one more checkpoint seals the record."""
        anchor = tmp_path / "worm"
        anchor.mkdir()
        write_anchors(project, f'anchors = ["{anchor}"]')
        assert program("run", "-q", cwd=project).returncode == 0
        (anchored,) = data_of(ledger_of(project), "checkpoint.anchored")
        assert anchored["anchors"] == [{"anchor": str(anchor), "ok": True}]
        (there,) = anchor.glob("checkpoints/*/*.checkpoint")
        sealed, _ = open_checkpoint(there.read_text(encoding="utf-8"))
        assert (sealed.size, sealed.root.hex()) == (anchored["size"], anchored["root"])
        assert checkpoint(project, "--last")["size"] == sealed.size + 1

    def test_anchors_that_fail(self, project: Path, tmp_path: Path) -> None:
        """Given anchors that cannot be reached, then each is told and recorded, and the run is what it is."""
        (tmp_path / "p" / "full").mkdir()
        (tmp_path / "p" / "full" / "checkpoints").write_text("in the way", encoding="utf-8")
        write_anchors(project, 'anchors = ["not/mounted", "full"]\nanchor_command = ["sh", "-c", "exit 3"]')
        done = program("run", cwd=project)
        assert done.returncode == 0
        (anchored,) = data_of(ledger_of(project), "checkpoint.anchored")
        assert anchored["anchors"] == [
            {"anchor": "not/mounted", "ok": False, "detail": "there is no such folder"},
            {"anchor": "full", "ok": False, "detail": "File exists"},
            {"anchor": "sh", "ok": False, "detail": "it ended with exit code 3"},
        ]
        assert "warning: the checkpoint did not reach the anchor not/mounted: there is no such folder" in done.stderr

    def test_anchor_that_cannot_be_looked_at(self, project: Path, tmp_path: Path) -> None:
        """Given an anchor whose name is too long, then it fails by itself, and the one after it gets the checkpoint."""
        (tmp_path / "worm").mkdir()
        write_anchors(project, f'anchors = ["{"x" * 300}", "{tmp_path}/worm"]')
        assert program("run", "-q", cwd=project).returncode == 0
        (anchored,) = data_of(ledger_of(project), "checkpoint.anchored")
        assert [item["ok"] for item in anchored["anchors"]] == [False, True]

    def test_anchor_command(self, project: Path, tmp_path: Path) -> None:
        """Given a command, then it gets the checkpoint on its standard input."""
        write_anchors(project, 'anchor_command = ["sh", "-c", "cat > anchored"]')
        assert program("run", "-q", cwd=project).returncode == 0
        (anchored,) = data_of(ledger_of(project), "checkpoint.anchored")
        assert open_checkpoint((project / "anchored").read_text(encoding="utf-8"))[0].size == anchored["size"]

    @pytest.mark.parametrize(
        ("command", "detail"),
        [
            ('["sh", "-c", "sleep 300 & sleep 300"]', "it did not end within 0.2 s"),
            ('["./nothing"]', "it could not be started: No such file or directory"),
        ],
    )
    def test_anchor_command_that_hangs_or_is_missing(self, project: Path, command: str, detail: str) -> None:
        """Given a command that does not end or does not exist, then it is given up, and nothing of it is left."""
        write_anchors(project, f'anchor_command = {command}\nanchor_timeout = "200ms"')
        assert program("run", "-q", cwd=project).returncode == 0
        (anchored,) = data_of(ledger_of(project), "checkpoint.anchored")
        assert anchored["anchors"][0]["detail"] == detail

    def test_anchor_command_sees_what_is_passed(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given a command, then it sees of the environment what `[env] pass` lists, as the steps do."""
        write_anchors(project, 'anchor_command = ["sh", "-c", "cat > /dev/null; env > seen"]')
        monkeypatch.setenv("OTHER_SECRET", "not for it")
        assert program("run", "-q", cwd=project).returncode == 0
        names = {line.partition("=")[0] for line in (project / "seen").read_text(encoding="utf-8").splitlines()}
        assert "PATH" in names
        assert "OTHER_SECRET" not in names

    def test_anchor_command_ends_with_the_program(self, project: Path) -> None:
        """Given a program that is told to end while a command holds it up, then it ends with 143, the command is gone, and the run is sealed."""
        os.mkfifo(project / "begun")
        write_anchors(
            project, 'anchor_command = ["sh", "-c", "echo $$ > begun; exec sleep 300"]\nanchor_timeout = "5m"'
        )
        with started("run", "-q", cwd=project) as process:
            child = int((project / "begun").read_text(encoding="utf-8"))
            process.terminate()
            assert process.wait(timeout=30) == 143
        assert not exists(child)
        assert len(outside(project)) == 2

    def test_missing_extra_leaves_it_unsigned(self, project: Path, tmp_path: Path) -> None:
        """Given a key and no `cryptography`, then the run is sealed unsigned, and the line that installs it is named."""
        keygen(project)
        done = program("run", "-q", cwd=project, env={"PYTHONPATH": hidden_cryptography(tmp_path)})
        assert done.returncode == 0
        assert (
            'warning: the checkpoint stays unsigned: signing checkpoints needs the extra sign: pip install "orch'
            in done.stderr
        )
        assert checkpoint(project, "--last")["signed"] is False


class TestManualActions:
    """What people do by hand is sealed at once."""

    def test_a_note_is_sealed(self, project: Path) -> None:
        """Given a note, then the last checkpoint covers it."""
        before = int(str(checkpoint(project, "--last")["size"]))
        assert program("note", "latest", "seen", cwd=project).returncode == 0
        assert checkpoint(project, "--last")["size"] == before + 1

    def test_a_note_that_cannot_be_sealed(self, project: Path) -> None:
        """Given a key whose memory is gone, then the note is recorded, and a warning says that it is not sealed."""
        keygen(project)
        (operator_folder(id_of(project)) / MEMORY).unlink()
        done = program("note", "latest", "seen", cwd=project)
        assert done.returncode == 0
        assert "warning: it is recorded and not sealed: the key" in done.stderr
        assert len(data_of(ledger_of(project), "note.added")) == 1


class TestTurnedBack:
    """A ledger that is not what was sealed is not continued."""

    @pytest.mark.parametrize("signed", [False, True])
    def test_older_copy_is_refused(self, project: Path, tmp_path: Path, *, signed: bool) -> None:
        """Given an older copy in the ledger's place, then nothing starts: the files beside it, or the signer's memory alone, know better."""
        if signed:
            keygen(project)
        shutil.copy(ledger_of(project), tmp_path / "old.db")
        assert program("run", "-q", cwd=project).returncode == 0
        shutil.copy(tmp_path / "old.db", ledger_of(project))
        if signed:
            shutil.rmtree(project / ".orchestrate" / "checkpoints")
        for command in (("run",), ("audit", "checkpoint"), ("audit", "rotate-key" if signed else "keygen")):
            (problem,) = refused(program(*command, "--json", cwd=project), code=3)
            assert problem["kind"] == "inconsistent"
            assert "contradicts what was sealed before: it has" in str(problem["message"])
        assert value_of(program("runs", "--json", cwd=project), "runs")

    def test_signer_refuses_a_fork_at_the_end(self, project: Path) -> None:
        """Given a memory that turns up while a run is on and knows more, then the run is recorded, and ends with exit code 3."""
        keygen(project)
        folder = operator_folder(id_of(project))
        saved = (folder / MEMORY).read_text(encoding="utf-8")
        script = f'sh -c "cp {folder}/later {folder}/{MEMORY}"'
        assert program("run", "-q", cwd=project).returncode == 0
        (folder / "later").write_text((folder / MEMORY).read_text(encoding="utf-8"), encoding="utf-8")
        assert saved != (folder / "later").read_text(encoding="utf-8")
        (project / "pipeline.toml").write_text(
            PIPELINE.replace('command = ["true"]', f"shell = '{script}'"), encoding="utf-8"
        )
        other = SigningKey.generate("other")
        text = "other\n5\n" + "A" * 43 + "=\n"
        (folder / "later").write_text(f"{text}\n{other.signature_line(text)}", encoding="utf-8")
        done = program("run", "-q", cwd=project)
        assert done.returncode == 5
        assert "error: the run is recorded, its checkpoint could not be made: the key" in done.stderr

    @pytest.mark.parametrize("name", [MEMORY, KEY])
    def test_key_that_cannot_seal_is_refused_beforehand(self, project: Path, name: str) -> None:
        """Given a damaged key, or no memory beside it, then the run is refused before anything starts."""
        keygen(project)
        before = ledger_of(project).read_bytes()
        path = operator_folder(id_of(project)) / name
        path.write_text("nonsense", encoding="utf-8")
        (problem,) = refused(program("run", "--json", cwd=project))
        assert str(path) in str(problem["message"])
        assert ledger_of(project).read_bytes() == before

    def test_damaged_file_beside_the_ledger(self, project: Path) -> None:
        """Given a file that is no checkpoint, then it keeps nobody from running: verifying names it."""
        outside(project)[-1].write_text("nonsense", encoding="utf-8")
        assert program("run", "-q", cwd=project).returncode == 0


class TestKeygen:
    """The key of a ledger."""

    def test_private_half_lies_in_the_configuration(self, project: Path, configuration: Path) -> None:
        """Given a new key, then its public half is printed, its private half is private and elsewhere, and an event names it."""
        key = keygen(project, "--reason", "first")
        path = operator_folder(id_of(project)) / KEY
        assert path.is_relative_to(configuration)
        assert path.stat().st_mode & 0o777 == 0o600
        assert SigningKey.parse(path.read_text(encoding="utf-8"), "it").verifier == key
        (event,) = data_of(ledger_of(project), "ledger.key_added")
        assert (event["after"], event["reason"]) == (key.text, "first")
        assert event["actor"]["claimed_by"] == "host"
        assert key.name == f"orchestrate-ledger/{id_of(project)}"
        seed = SigningKey.parse(path.read_text(encoding="utf-8"), "it").text.rpartition("+")[2]
        assert seed.encode() not in ledger_of(project).read_bytes()

    def test_reason_is_asked_for_and_masked(self, project: Path) -> None:
        """Given a pipeline that requires reasons, then keys are neither made nor replaced without one; secrets are masked, and one that is too long is refused."""
        settings = "[audit]\nrequire_reason = true\n[env.vars]\nTOKEN = { secret = true }\n"
        (project / "pipeline.toml").write_text(PIPELINE + settings, encoding="utf-8")
        (project / ".env").write_text("TOKEN=correct-horse-battery\n", encoding="utf-8")
        assert program("run", "-q", "--reason", "x", cwd=project).returncode == 0
        for command, kind in (("keygen", "added"), ("rotate-key", "rotated")):
            (problem,) = refused(program("audit", command, "--json", cwd=project))
            assert (problem["kind"], f"audit {command} needs --reason" in str(problem["message"])) == (
                "missing_reason",
                True,
            )
            (problem,) = refused(program("audit", command, "--reason", "x" * 5000, "--json", cwd=project))
            assert problem["kind"] == "usage"
            assert program("audit", command, "--reason", "with correct-horse-battery", cwd=project).returncode == 0
            (event,) = data_of(ledger_of(project), f"ledger.key_{kind}")
            assert str(event["reason"]).startswith("with ***")

    def test_for_people(self, project: Path) -> None:
        """Given no --json, then stdout is the one line to hand out."""
        done = program("audit", "keygen", cwd=project)
        assert VerifierKey.parse(done.stdout)
        assert "the private key lies in" in done.stderr

    def test_second_key_is_refused(self, project: Path) -> None:
        """Given a key, then another is refused, and nothing changes."""
        keygen(project)
        before = (operator_folder(id_of(project)) / KEY).read_bytes()
        (problem,) = refused(program("audit", "keygen", "--json", cwd=project))
        assert "rotate-key replaces it" in str(problem["message"])
        assert (operator_folder(id_of(project)) / KEY).read_bytes() == before

    def test_lost_key_leaves_a_gap(self, project: Path) -> None:
        """Given that the old key is gone, then --lost begins anew, with a change that the old key does not vouch for."""
        old = keygen(project)
        shutil.rmtree(operator_folder(id_of(project)))
        (problem,) = refused(program("audit", "keygen", "--json", cwd=project))
        assert "its private half is not in" in str(problem["message"])
        new = keygen(project, "--lost", "--reason", "disk died")
        with contextlib.closing(sqlite3.connect(ledger_of(project))) as connection:
            added, replaced = key_changes(connection)
        assert (added.after, replaced.before, replaced.after, replaced.rotation) == (old, old, new, None)
        assert program("run", "-q", cwd=project).returncode == 0
        assert proofbundle.checkpoint.verify_checkpoint(str(checkpoint(project, "--last")["note"]), new.text)

    def test_interrupted_making_is_finished(self, project: Path) -> None:
        """Given that the event was recorded and the key not put to use, then making it again finishes with the same key."""
        key = keygen(project)
        folder = operator_folder(id_of(project))
        (folder / KEY).rename(folder / NEXT)
        assert keygen(project) == key
        assert len(data_of(ledger_of(project), "ledger.key_added")) == 1

    def test_new_ledger(self, tmp_path: Path) -> None:
        """Given no ledger yet, then it is made, so that the first run is sealed with the key."""
        (tmp_path / "pipeline.toml").write_text(PIPELINE, encoding="utf-8")
        keygen(tmp_path)
        assert program("run", "-q", cwd=tmp_path).returncode == 0
        assert checkpoint(tmp_path, "--last")["signed"] is True

    def test_folder_that_cannot_be_written(self, project: Path, configuration: Path) -> None:
        """Given a file in the way of the configuration folder, then it is named, and there is no traceback."""
        configuration.write_text("in the way", encoding="utf-8")
        done = program("audit", "keygen", cwd=project)
        assert done.returncode in (2, 5)
        assert f"{configuration} cannot be used: File exists" in done.stderr
        no_traceback(done)


class TestRotateKey:
    """A new key in the place of the old one."""

    def test_both_keys_sign(self, project: Path) -> None:
        """Given a rotation, then both keys vouch for it, and the next checkpoint is by the new one."""
        old = keygen(project)
        done = program("audit", "rotate-key", "--reason", "yearly", cwd=project)
        new = VerifierKey.parse(done.stdout)
        with contextlib.closing(sqlite3.connect(ledger_of(project))) as connection:
            change = key_changes(connection)[-1]
        assert (change.before, change.after) == (old, new)
        assert change.rotation is not None
        assert proofbundle.checkpoint.verify_checkpoint(str(checkpoint(project)["note"]), new.text)
        assert (operator_folder(id_of(project)) / f"{KEY}.{old.id.hex()}").exists()

    @pytest.mark.parametrize("seen_by", ["run", "rotate-key"])
    def test_interrupted_after_the_event(self, project: Path, seen_by: str) -> None:
        """Given that the change was recorded and the key not put to use, then whoever seals next does that first, and the old key seals nothing more."""
        old = keygen(project)
        folder = operator_folder(id_of(project))
        memory = (folder / MEMORY).read_text(encoding="utf-8")
        new = VerifierKey.parse(program("audit", "rotate-key", cwd=project).stdout)
        (folder / KEY).rename(folder / NEXT)
        (folder / f"{KEY}.{old.id.hex()}").rename(folder / KEY)
        (folder / MEMORY).write_text(memory, encoding="utf-8")
        command = ("run", "-q") if seen_by == "run" else ("audit", "rotate-key")
        assert program(*command, cwd=project).returncode == 0
        assert Signer(folder).key.verifier == new
        assert len(data_of(ledger_of(project), "ledger.key_rotated")) == 1
        for key in (old, new):
            verdict = value_of(
                program("audit", "verify", "--key", key.text, "--strict", "--json", cwd=project), "audit-verify"
            )
            assert verdict["ok"], verdict["problems"]

    def test_two_at_once(self, project: Path) -> None:
        """Given two that replace the key at the same time, then one follows the other, and both changes are vouched for."""
        old = keygen(project)
        with started("audit", "rotate-key", cwd=project) as one, started("audit", "rotate-key", cwd=project) as two:
            assert (one.wait(timeout=60), two.wait(timeout=60)) == (0, 0)
        with contextlib.closing(sqlite3.connect(ledger_of(project))) as connection:
            changes = key_changes(connection)
        assert [change.rotation is not None for change in changes] == [False, True, True]
        assert Signer(operator_folder(id_of(project))).key.verifier == changes[-1].after
        verdict = value_of(
            program("audit", "verify", "--key", old.text, "--strict", "--json", cwd=project), "audit-verify"
        )
        assert verdict["ok"], verdict["problems"]

    def test_key_of_another_time(self, project: Path) -> None:
        """Given a key in the folder that is not the one of the ledger any more, then it cannot be replaced with."""
        old = keygen(project)
        folder = operator_folder(id_of(project))
        assert program("audit", "rotate-key", cwd=project).returncode == 0
        (folder / f"{KEY}.{old.id.hex()}").replace(folder / KEY)
        (folder / MEMORY).unlink()
        done = program("audit", "rotate-key", cwd=project)
        assert done.returncode == 2
        no_traceback(done)

    def test_nothing_to_replace(self, project: Path) -> None:
        """Given no key, then it says how one is made."""
        (problem,) = refused(program("audit", "rotate-key", "--json", cwd=project))
        assert problem["kind"] == "no_key"

    def test_interrupted_before_the_event(self, project: Path) -> None:
        """Given a next key that nobody knows of yet, then it is the one that is taken."""
        keygen(project)
        folder = operator_folder(id_of(project))
        waiting = keep_next_key(folder, lambda: SigningKey.generate(f"orchestrate-ledger/{id_of(project)}"))
        value = value_of(program("audit", "rotate-key", "--json", cwd=project), "audit-key")
        assert value["key"] == waiting.verifier.text


class TestCheckpoint:
    """The ledger, sealed as it is now."""

    def test_into_a_file(self, project: Path, tmp_path: Path) -> None:
        """Given --out, then the note is in the file, and nothing on the terminal."""
        done = program("audit", "checkpoint", "--out", str(tmp_path / "x"), cwd=project)
        assert (done.returncode, done.stdout) == (0, "")
        assert (tmp_path / "x").read_text(encoding="utf-8") == checkpoint(project, "--last")["note"]

    def test_on_the_terminal(self, project: Path) -> None:
        """Given nothing else, then the note is printed."""
        assert program("audit", "checkpoint", cwd=project).stdout == checkpoint(project, "--last")["note"]

    def test_file_that_cannot_be_written(self, project: Path) -> None:
        """Given a folder in the place of the file, then it is named."""
        (problem,) = refused(program("audit", "checkpoint", "--out", ".", "--json", cwd=project))
        assert ". cannot be written" in str(problem["message"])

    def test_nothing_is_sealed(self, tmp_path: Path) -> None:
        """Given a ledger without a checkpoint, then --last is refused and names what seals."""
        (tmp_path / "pipeline.toml").write_text(PIPELINE.replace('["true"]', '["true", "${NO}"]'), encoding="utf-8")
        (tmp_path / "p.toml").write_text(
            PIPELINE + '[datasets.raw]\npath = "none"\n[steps.b]\ncommand = ["true"]\nreads = ["raw"]\n'
        )
        assert program("run", "--pipeline", "p.toml", cwd=tmp_path).returncode == 2
        (problem,) = refused(program("audit", "checkpoint", "--last", "--json", cwd=tmp_path))
        assert problem["kind"] == "no_checkpoint"


class TestCosign:
    """A second person with a key of her own."""

    def witness(self, folder: Path, tmp_path: Path, *arguments: str) -> dict[str, object]:
        """Cosign as somebody with a configuration of her own."""
        env = {"XDG_CONFIG_HOME": str(tmp_path / "hers")}
        value: dict[str, object] = value_of(
            program("audit", "cosign", *arguments, "--json", cwd=folder, env=env), "audit-cosign"
        )
        return value

    @pytest.fixture
    def jane(self, project: Path, tmp_path: Path) -> VerifierKey:
        """Give the key of a witness whose configuration is `hers`."""
        env = {"XDG_CONFIG_HOME": str(tmp_path / "hers")}
        done = program("audit", "keygen", "--witness", "audit.example/jane", cwd=tmp_path, env=env)
        return VerifierKey.parse(done.stdout)

    def test_pins_and_remembers(self, project: Path, tmp_path: Path, jane: VerifierKey) -> None:
        """Given the operator's key once, then she cosigns, follows a rotation, and refuses a ledger that was turned back."""
        key = keygen(project)
        shutil.copy(ledger_of(project), tmp_path / "old.db")
        first = self.witness(project, tmp_path, "--key", key.text)
        assert proofbundle.checkpoint.verify_cosignature(str(first["note"]), jane.text)
        path = (
            project
            / ".orchestrate"
            / "checkpoints"
            / id_of(project)[:8]
            / f"{first['size']:012d}.audit.example_jane.cosigned"
        )
        assert path.read_text(encoding="utf-8") == first["note"]

        assert program("audit", "rotate-key", cwd=project).returncode == 0
        assert program("run", "-q", cwd=project).returncode == 0
        second = self.witness(project, tmp_path)
        assert int(str(second["size"])) > int(str(first["size"]))

        shutil.copy(tmp_path / "old.db", ledger_of(project))
        env = {"XDG_CONFIG_HOME": str(tmp_path / "hers")}
        (problem,) = refused(program("audit", "cosign", "--json", cwd=project, env=env), code=3)
        assert f"{second['size']} were cosigned before" in str(problem["message"])

    def test_has_to_be_told_the_key(self, project: Path, tmp_path: Path, jane: VerifierKey) -> None:
        """Given a log that she does not know, then she must be told its key; one from the file would vouch for itself."""
        keygen(project)
        env = {"XDG_CONFIG_HOME": str(tmp_path / "hers")}
        (problem,) = refused(program("audit", "cosign", "--json", cwd=project, env=env))
        assert problem["kind"] == "no_key"
        wrong = SigningKey.generate("orchestrate-ledger/x").verifier.text
        (problem,) = refused(program("audit", "cosign", "--key", wrong, "--json", cwd=project, env=env), code=3)
        assert "no signature by a known key" in str(problem["message"])

    def test_handed_over_and_handed_back(self, project: Path, tmp_path: Path, jane: VerifierKey) -> None:
        """Given a checkpoint in a file and a key in a file, then the result goes where she says."""
        key = keygen(project)
        (tmp_path / "op.vkey").write_text(key.text + "\n", encoding="utf-8")
        assert program("audit", "checkpoint", "--out", str(tmp_path / "c"), cwd=project).returncode == 0
        value = self.witness(
            project, tmp_path, str(tmp_path / "c"), "--key", str(tmp_path / "op.vkey"), "--out", "back"
        )
        assert (project / "back").read_text(encoding="utf-8") == value["note"]
        assert str(value["note"]).startswith((tmp_path / "c").read_text(encoding="utf-8"))

    def test_in_words(self, project: Path, tmp_path: Path, jane: VerifierKey) -> None:
        """Given no --json, then it says what was witnessed and how to verify with it."""
        key = keygen(project)
        done = program(
            "audit", "cosign", "--key", key.text, cwd=project, env={"XDG_CONFIG_HOME": str(tmp_path / "hers")}
        )
        assert "before:  nothing; from now on you hold it to this" in done.stdout
        assert f"--witness {jane.text}" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "kind"),
        [((), "no_checkpoint"), (("missing",), "no_checkpoint"), (("--key", "nonsense"), "no_checkpoint")],
    )
    def test_nothing_to_cosign(
        self, project: Path, tmp_path: Path, jane: VerifierKey, arguments: tuple[str, ...], kind: str
    ) -> None:
        """Given no signed checkpoint, or a file that is not there, then it says so."""
        env = {"XDG_CONFIG_HOME": str(tmp_path / "hers")}
        (problem,) = refused(program("audit", "cosign", *arguments, "--json", cwd=project, env=env))
        assert problem["kind"] == kind

    def test_no_key_of_her_own(self, project: Path) -> None:
        """Given that she has no key, then it is named where it would lie."""
        keygen(project)
        (problem,) = refused(program("audit", "cosign", "--json", cwd=project))
        assert "witness/key cannot be used" in str(problem["message"])

    def test_bad_name(self, tmp_path: Path) -> None:
        """Given a name that no note can hold, then it is refused."""
        (problem,) = refused(program("audit", "keygen", "--witness", "jane doe", "--json", cwd=tmp_path))
        assert "not a name for a witness" in str(problem["message"])


def write_anchors(project: Path, lines: str) -> None:
    """Give the pipeline of *project* anchors."""
    (project / "pipeline.toml").write_text(f"{PIPELINE}[audit]\n{lines}\n", encoding="utf-8")


def hidden_cryptography(folder: Path) -> str:
    """Return a folder that, first on the path, makes `cryptography` a package that cannot be imported."""
    package = folder / "hidden" / "cryptography"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('hidden')\n", encoding="utf-8")
    return str(folder / "hidden")
