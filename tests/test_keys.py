"""Keys for decisions: made once, kept from others, and refused with what to do where they cannot be used."""

import base64
import os
import re
import shlex
import stat
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from typer.testing import CliRunner, Result

from agents.gate import Decision
from agents.rules import RuleSet
from agents.signing import is_signed_by
from console.exits import Trouble
from console.keys import app
from console.signing import sign


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keys(*words: str) -> Result:
    """`starter.py keys`."""
    return CliRunner().invoke(app, list(words))


def decision() -> Decision:
    return Decision.model_validate({"gate": "t1.c1", "kind": "approve", "digest": "0" * 16, "by": "ann"})


def pem(private: object, encryption: object = None) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())  # type: ignore[attr-defined]


def written(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_new_key_signs_and_its_lines_belong_into_the_rules(folder: Path) -> None:
    made = keys("new", "ann")

    assert made.exit_code == 0, made.stderr
    rules = RuleSet.model_validate(yaml.safe_load(made.stdout))
    key = rules.people["ann"].key
    assert key is not None
    assert is_signed_by(key, "r1", sign("r1", decision(), folder / "ann.pem"))
    assert "AGENT_SIGNING_KEY=" + str(folder / "ann.pem") in made.stderr
    assert keys("show", "ann.pem").stdout == f"{key}\n"


def test_a_private_key_is_for_its_owner_alone_and_never_printed(folder: Path) -> None:
    made = keys("new", "ann")
    file = folder / "ann.pem"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"BEGIN PRIVATE KEY" in file.read_bytes()  # PKCS #8
    private = load_pem_private_key(file.read_bytes(), None)
    assert isinstance(private, Ed25519PrivateKey)
    secrets = [file.read_text().splitlines()[1], base64.b64encode(private.private_bytes_raw()).decode()]
    assert not any(secret in made.stdout + made.stderr for secret in secrets)


def test_a_key_that_is_there_is_never_overwritten(folder: Path) -> None:
    file = folder / "mine.pem"
    assert keys("new", "ann", "--out", str(file)).exit_code == 0
    before = file.read_bytes()

    again = keys("new", "ann", "--out", str(file))

    assert again.exit_code == 1
    assert "is there already" in again.stderr
    assert again.stdout == ""
    assert file.read_bytes() == before


def test_a_key_is_written_through_no_link(folder: Path) -> None:
    (folder / "ann.pem").symlink_to(folder / "elsewhere")

    assert keys("new", "ann").exit_code == 1
    assert not (folder / "elsewhere").exists()


@pytest.mark.parametrize("name", ["anyone", " ann", "ann,bob", ""])
def test_a_name_that_the_rules_would_refuse_makes_no_key(name: str, folder: Path) -> None:
    refused = keys("new", name, "--out", str(folder / "key.pem"))

    assert refused.exit_code == 2
    assert not list(folder.iterdir())


def test_a_name_that_makes_no_file_name_needs_one(folder: Path) -> None:
    refused = keys("new", "../ann")
    made = keys("new", "Ann Other: CFO", "--out", "key.pem")

    assert (refused.exit_code, "--out" in refused.stderr) == (2, True)
    assert list(RuleSet.model_validate(yaml.safe_load(made.stdout)).people) == ["Ann Other: CFO"]


def test_a_folder_that_is_not_there_is_said(folder: Path) -> None:
    refused = keys("new", "ann", "--out", str(folder / "no" / "ann.pem"))

    assert (refused.exit_code, "No such file or directory" in refused.stderr) == (1, True)


def test_a_key_that_others_may_read_is_used_with_a_warning(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = written(folder / "mine.pem", pem(Ed25519PrivateKey.generate()))
    shared = written(folder / "shared.pem", mine.read_bytes(), 0o640)

    assert sign("r1", decision(), mine) == sign("r1", decision(), shared)
    assert capsys.readouterr().err == f"Others can read or change the signing key: chmod 600 {shared}\n"


def test_lines_to_paste_hold_a_path_with_spaces_and_commands_together(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "my keys; touch PWNED $(id)'" / "ann.pem"
    file.parent.mkdir()
    made = keys("new", "ann", "--out", str(file))
    [export] = re.findall(r"^#   export (.*)$", made.stderr, re.MULTILINE)
    file.chmod(0o640)
    sign("r1", decision(), file)
    [_, chmod] = capsys.readouterr().err.split(": ", 1)
    written(file, pem(ED25519, BestAvailableEncryption(b"passphrase")))
    with pytest.raises(Trouble) as refused:
        sign("r1", decision(), file)
    [decrypt] = re.findall(r"; (openssl .*)\)$", str(refused.value))

    assert shlex.split(export) == [f"AGENT_SIGNING_KEY={file}"]
    assert shlex.split(chmod) == ["chmod", "600", str(file)]
    assert shlex.split(decrypt) == ["openssl", "pkey", "-in", str(file), "-out", "plain.pem"]


ED25519 = Ed25519PrivateKey.generate()
PUBLIC = ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
OPENSSH = ED25519.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pem(ED25519, BestAvailableEncryption(b"passphrase")), "is encrypted"),
        (pem(rsa.generate_private_key(65537, 2048)), "is RSA, and decisions are signed with Ed25519"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "is EC, and"),
        (PUBLIC, "holds no private key"),
        (b"", "is no PEM file"),
        (b"hello", "is no PEM file"),
        (b"\x00\xff" * 50, "is no PEM file"),
        (pem(ED25519)[:60], "cannot be read"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"),
        (OPENSSH, "is in OpenSSH's form"),
    ],
    ids=["encrypted", "RSA", "ECDSA", "public", "empty", "text", "bytes", "half", "broken", "OpenSSH"],
)
def test_a_key_that_cannot_be_used_is_refused_with_what_to_do(data: bytes, words: str, folder: Path) -> None:
    file = written(folder / "key.pem", data)

    with pytest.raises(Trouble) as refused:
        sign("r1", decision(), file)

    assert words in str(refused.value)
    assert str(file) in str(refused.value)
    assert "keys new" in str(refused.value) or "openssl" in str(refused.value)
    secret = data.split(b"\n")[1].decode(errors="replace") if b"\n" in data else "-"
    assert len(secret) < 5 or secret not in str(refused.value)


@pytest.mark.skipif(os.name != "posix" or not hasattr(os, "mkfifo"), reason="needs a POSIX file system")
def test_what_is_no_file_is_said(folder: Path) -> None:
    with pytest.raises(Trouble, match="There is no signing key at"):
        sign("r1", decision(), folder / "none.pem")
    with pytest.raises(Trouble, match="Is a directory"):
        sign("r1", decision(), folder)
