"""Signed decisions: what exactly is signed, and whether a signature is that of a person's key.

Ed25519 (RFC 8032) by `cryptography`, over canonical JSON (RFC 8785).
"""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agents.canonical import canonical_json
from agents.gate import Decision


def signed_text(run: str, decision: Decision) -> bytes:
    """What a signature covers: the run's id and every field of the decision that is set, but the signature.

    Raises:
        NotCanonical: The decision holds something that has no canonical form.
    """
    # Not in JSON mode: pydantic would write NaN as null, and half a character as another one.
    body = decision.model_dump(by_alias=True, exclude={"signature"}, exclude_none=True)
    return canonical_json({"run": run, "decision": body}).encode()


def is_signed_by(key: str, run: str, decision: Decision) -> bool:
    """Whether the decision carries a valid signature of the key.

    Args:
        key: Base64 of the Ed25519 public key.
        run: The run that it is for.
        decision: With its signature.
    """
    try:
        signature = base64.b64decode(decision.signature or "", validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(
            signature, signed_text(run, decision)
        )
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
