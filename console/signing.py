"""Signs decisions with a person's private key, and reads and makes such keys: Ed25519 in PEM files of their own."""

import base64
import os
import shlex
import stat
import sys
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agents.canonical import NotCanonical
from agents.gate import Decision
from agents.signing import signed_text
from console.exits import Exit, Trouble
from console.lines import starter_line

PEM_BYTES = 64 * 1024
"""Far beyond any key: whatever is larger is another file."""


def sign(run: str, decision: Decision, key_path: Path) -> Decision:
    """The decision with the signature of the key in that file.

    Raises:
        Trouble: The key cannot be used, or the decision cannot be signed.
    """
    key = read_key(key_path)
    try:
        signature = key.sign(signed_text(run, decision))
    except NotCanonical as error:
        raise Trouble(f"This decision cannot be signed: {error}.", Exit.USAGE) from error
    return decision.model_copy(update={"signature": base64.b64encode(signature).decode()})


def read_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a PEM file; warns on standard error where others may read it, too.

    Raises:
        Trouble: There is none, or none that can be used.
    """
    pem = _read(path)
    if not pem.lstrip().startswith(b"-----BEGIN"):
        raise Trouble(f"{path} is no PEM file. {_new()}", Exit.USAGE)
    if b"PRIVATE KEY" not in pem:
        raise Trouble(f"{path} holds no private key; what signs is the private half. {_new()}", Exit.USAGE)
    if b"OPENSSH" in pem:
        raise Trouble(f"The key in {path} is in OpenSSH's form, and PKCS #8 is needed. {_new()}", Exit.USAGE)
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise Trouble(
            f"The key in {path} is encrypted, and nothing here asks for its passphrase. Decrypt it into a file of "
            f"your own: (umask 077; openssl pkey -in {shlex.quote(str(path))} -out plain.pem)",
            Exit.USAGE,
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Trouble(
            f"The key in {path} cannot be read: {_first_line(error)}. {_new()}", Exit.USAGE
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey").lstrip("_")
        raise Trouble(
            f"The key in {path} is {kind}, and decisions are signed with Ed25519. {_new()}", Exit.USAGE
        )
    return key


def public_key(key: Ed25519PrivateKey) -> str:
    """Base64 of the public half, as a rules file holds it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def write_new_key(path: Path) -> Ed25519PrivateKey:
    """Make a key and write it to a new file that only its owner can read (PKCS #8, not encrypted).

    Raises:
        Trouble: There is something already, or the file cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # O_EXCL follows no link and never opens what is there, so no key is lost and none is written elsewhere.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except FileExistsError:
        raise Trouble(f"{path} is there already and stays as it is. Name another file with --out.") from None
    except OSError as error:
        raise Trouble(f"{path} cannot be written: {error.strerror}.") from error
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(PEM_BYTES)
    except FileNotFoundError:
        raise Trouble(f"There is no signing key at {path}. {_new()}", Exit.USAGE) from None
    except OSError as error:
        raise Trouble(f"The signing key {path} cannot be read: {error.strerror}.", Exit.USAGE) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        sys.stderr.write(f"Others can read or change the signing key: chmod 600 {shlex.quote(str(path))}\n")
    return pem


def _new() -> str:
    return f"`{starter_line('keys', 'new', 'NAME')}` makes one."


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__
