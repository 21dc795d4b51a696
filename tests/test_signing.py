"""A signature is one person's word on one decision at one gate of one run: for anything else it is none."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.canonical import NotCanonical
from agents.gate import Decision
from agents.message import RawMessage, read_message
from agents.rules import Person
from agents.signing import is_signed_by, signed_text
from console.exits import Trouble
from console.signing import public_key, sign, write_new_key

RUN = "acme/refund-17"
DIGEST = "0123456789abcdef" * 4

FULL: dict[str, Any] = {
    "gate": "t3.c1",
    "kind": "approve",
    "digest": DIGEST,
    "by": "ann",
    "id": "one",
    "comment": "fine",
    "reason": "because",
    "text": "words",
    "result": "done",
    "arguments": {"amount": 100, "to": {"name": "Bo", "notes": [1, None, "x"]}},
    "to": "bob",
    "grant": {
        "calls": 3,
        "lasts": 3600,
        "when": {
            "all": [{"field": "amount", "is": "<", "value": 50}, {"field": "to", "is": "=", "value": "x"}]
        },
    },
}
"""A decision with every field that there is."""

OTHER: dict[str, Any] = {
    "gate": "t3.c2",
    "kind": "deny",
    "digest": "f" + DIGEST[1:],
    "by": "eve",
    "id": "two",
    "comment": "fine ",
    "reason": "",
    "text": "word",
    "result": "not done",
    "arguments": {"amount": 1000},
    "to": "eve",
    "grant": {"calls": 100, "lasts": 3600},
}
"""Another value of each."""


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "ann.pem"
    write_new_key(path)
    return path


@pytest.fixture
def private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def signed(private: Ed25519PrivateKey, decision: Decision, run: str = RUN) -> Decision:
    signature = base64.b64encode(private.sign(signed_text(run, decision))).decode()
    return decision.model_copy(update={"signature": signature})


def received(name: str, body: object) -> Decision:
    """A message as a run reads it."""
    found = read_message(RawMessage(name, [("json/plain", json.dumps(body).encode())]))
    assert isinstance(found, Decision)
    return found


def body_of(decision: Decision) -> dict[str, Any]:
    return decision.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_a_signed_decision_is_that_of_its_key(private: Ed25519PrivateKey) -> None:
    decision = signed(private, Decision.model_validate(FULL))

    assert is_signed_by(public_key(private), RUN, decision)


def test_the_decision_of_these_tests_has_every_field() -> None:
    assert {*FULL, "signature"} == set(Decision.model_fields)
    assert set(OTHER) == set(FULL)


@pytest.mark.parametrize("field", OTHER)
def test_a_signature_covers_every_field(field: str, private: Ed25519PrivateKey) -> None:
    decision = signed(private, Decision.model_validate(FULL))
    changed = Decision.model_validate({**body_of(decision), field: OTHER[field]})

    assert changed.signature == decision.signature
    assert not is_signed_by(public_key(private), RUN, changed)


@pytest.mark.parametrize("field", ["id", "comment", "reason", "text", "result", "arguments", "to", "grant"])
def test_a_field_that_is_taken_away_or_added_breaks_the_signature(
    field: str, private: Ed25519PrivateKey
) -> None:
    whole = Decision.model_validate(FULL)
    less = whole.model_copy(update={field: None})

    assert not is_signed_by(public_key(private), RUN, signed(private, whole).model_copy(update={field: None}))
    added = signed(private, less).model_copy(update={field: getattr(whole, field)})
    assert not is_signed_by(public_key(private), RUN, added)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from leaves(part, (*path, name))
    if not isinstance(value, dict | list):
        yield path


def with_leaf(value: Any, path: tuple[Any, ...], leaf: Any) -> Any:
    changed = json.loads(json.dumps(value))
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = leaf
    return changed


@pytest.mark.parametrize("path", list(leaves(FULL["arguments"])), ids=str)
def test_a_signature_covers_what_is_deep_inside_of_edited_arguments(
    path: tuple[Any, ...], private: Ed25519PrivateKey
) -> None:
    decision = signed(private, Decision.model_validate(FULL))
    arguments = with_leaf(FULL["arguments"], path, "another")

    assert not is_signed_by(public_key(private), RUN, decision.model_copy(update={"arguments": arguments}))


@pytest.mark.parametrize("run", ["acme/refund-18", "refund-17", "other/refund-17", "", "acme/refund-17 "])
def test_a_signature_for_another_run_is_none(run: str, private: Ed25519PrivateKey) -> None:
    decision = signed(private, Decision.model_validate(FULL))

    assert not is_signed_by(public_key(private), run, decision)


def test_a_signature_of_another_persons_key_is_none(private: Ed25519PrivateKey) -> None:
    bob = Ed25519PrivateKey.generate()
    decision = Decision.model_validate(FULL)

    assert not is_signed_by(public_key(private), RUN, signed(bob, decision))
    assert not is_signed_by(public_key(bob), RUN, signed(private, decision))


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "=",
        "not base64!",
        "AAAA",
        base64.b64encode(bytes(64)).decode(),
        base64.b64encode(bytes(63)).decode(),
        base64.b64encode(bytes(65)).decode(),
        "é" * 88,
        "\n",
        "A" * 200,
    ],
)
def test_garbage_is_no_signature(signature: str | None, private: Ed25519PrivateKey) -> None:
    decision = Decision.model_validate({**FULL, "signature": signature})

    assert not is_signed_by(public_key(private), RUN, decision)


@given(data=st.binary(max_size=100))
def test_no_other_bytes_are_a_signature(data: bytes) -> None:
    key = public_key(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    decision = Decision.model_validate({**FULL, "signature": base64.b64encode(data).decode()})

    assert not is_signed_by(key, RUN, decision)


@given(position=st.integers(0, 63), bit=st.integers(0, 7))
def test_one_flipped_bit_makes_it_none(position: int, bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    decision = signed(private, Decision.model_validate(FULL))
    raw = bytearray(base64.b64decode(decision.signature or ""))
    raw[position] ^= 1 << bit
    flipped = decision.model_copy(update={"signature": base64.b64encode(raw).decode()})

    assert not is_signed_by(public_key(private), RUN, flipped)


def test_spaces_and_line_breaks_in_a_signature_are_no_part_of_base64(private: Ed25519PrivateKey) -> None:
    decision = signed(private, Decision.model_validate(FULL))
    wrapped = decision.model_copy(update={"signature": f"{decision.signature}\n"})

    assert not is_signed_by(public_key(private), RUN, wrapped)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("approve", {}),
        ("approve", {"comment": "fine", "grant": {"calls": 2, "lasts": "30m"}}),
        ("deny", {"reason": "too much"}),
        ("answer", {"text": "42"}),
    ],
)
def test_a_shorthand_and_the_general_form_are_the_same_decision(
    name: str, said: dict[str, Any], private: Ed25519PrivateKey
) -> None:
    bare = {"gate": "t3.c1", "digest": DIGEST, "by": "ann", **said}
    general = received("decide", {**bare, "kind": name})
    signature = signed(private, general).signature

    short = received(name, {**bare, "signature": signature})
    by_call = received(
        name, {"call": "t3.c1", **{k: v for k, v in bare.items() if k != "gate"}, "signature": signature}
    )

    assert is_signed_by(public_key(private), RUN, short)
    assert is_signed_by(public_key(private), RUN, by_call)
    assert short == by_call == general.model_copy(update={"signature": signature})


def test_the_order_of_fields_and_what_is_null_make_no_difference(private: Ed25519PrivateKey) -> None:
    decision = signed(
        private, Decision.model_validate({"gate": "t3.c1", "kind": "approve", "digest": DIGEST, "by": "a"})
    )
    backwards = dict(reversed(list(body_of(decision).items())))

    assert is_signed_by(public_key(private), RUN, received("decide", {**backwards, "comment": None}))


def test_a_null_among_the_arguments_is_signed_as_one(private: Ed25519PrivateKey) -> None:
    body = {"gate": "t3.c1", "kind": "edit", "digest": DIGEST, "by": "ann"}
    without = Decision.model_validate({**body, "arguments": {"a": 1}})
    with_null = Decision.model_validate({**body, "arguments": {"a": 1, "b": None}})

    assert signed_text(RUN, without) != signed_text(RUN, with_null)
    assert is_signed_by(public_key(private), RUN, received("decide", body_of(signed(private, with_null))))


def test_a_sixteen_digit_digest_is_signed_as_what_it_is(private: Ed25519PrivateKey) -> None:
    body = {"gate": "t3.c1", "kind": "approve", "digest": DIGEST[:16], "by": "ann"}
    decision = signed(private, Decision.model_validate(body))

    assert is_signed_by(public_key(private), RUN, decision)
    assert not is_signed_by(public_key(private), RUN, decision.model_copy(update={"digest": DIGEST}))


@pytest.mark.parametrize(
    "arguments",
    [{"a": 2**60}, {"a": float("nan")}, {"a": "\ud800"}, {"\ud800": 1}],
    ids=["a large number", "no number", "half a character", "half a character as a name"],
)
def test_what_has_no_canonical_form_has_no_signature_and_stops_nothing(
    arguments: dict[str, Any], private: Ed25519PrivateKey, key_file: Path
) -> None:
    body = {"gate": "t3.c1", "kind": "edit", "digest": DIGEST, "by": "ann", "arguments": arguments}
    decision = received("decide", {**body, "signature": base64.b64encode(bytes(64)).decode()})

    assert not is_signed_by(public_key(private), RUN, decision)
    with pytest.raises(Trouble, match="cannot be signed"):
        sign(RUN, decision, key_file)


def test_deep_nesting_stops_nothing(private: Ed25519PrivateKey) -> None:
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    body = {"gate": "t3.c1", "kind": "edit", "digest": DIGEST, "by": "ann", "arguments": {"a": deep}}
    try:
        decision = Decision.model_validate({**body, "signature": base64.b64encode(bytes(64)).decode()})
    except ValidationError:
        return

    assert not is_signed_by(public_key(private), RUN, decision)


def test_the_console_signs_what_the_run_checks(key_file: Path, private: Ed25519PrivateKey) -> None:
    from console.signing import read_key

    decision = sign(RUN, Decision.model_validate(FULL), key_file)
    key = public_key(read_key(key_file))

    assert is_signed_by(key, RUN, received("decide", body_of(decision)))
    assert not is_signed_by(public_key(private), RUN, decision)
    assert Person(key=key).key == key


def test_signing_again_replaces_a_signature(key_file: Path) -> None:
    once = sign(RUN, Decision.model_validate(FULL), key_file)

    assert sign(RUN, once, key_file) == once


def test_what_is_signed_never_changes() -> None:
    """Decisions in the histories of runs under way were signed in this form."""
    text = signed_text(
        "r1", Decision.model_validate({"gate": "t1.c1", "kind": "approve", "digest": DIGEST, "by": "ann"})
    )

    assert text.decode() == (
        f'{{"decision":{{"by":"ann","digest":"{DIGEST}","gate":"t1.c1","kind":"approve"}},"run":"r1"}}'
    )


def test_numbers_without_a_canonical_form_are_refused_by_name() -> None:
    body = {"gate": "t1.c1", "kind": "edit", "digest": DIGEST, "by": "ann", "arguments": {"a": 2**60}}

    with pytest.raises(NotCanonical):
        signed_text("r1", Decision.model_validate(body))
