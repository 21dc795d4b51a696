"""Cards: rebuilt from a memo, and shown so that a person understands what will happen if they say yes."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.card import Card, Spent, card
from agents.gate import DecisionKind, Exchange, Gate, GateKind
from agents.rules import Rung, Terms
from console.cards import answers_to, card_body, cards_of
from tests.planted import memo_card

NOW = datetime.now(UTC)
EVIL = "\x1b]0;owned\x07\x9b31m\u202eedoc"


def shown(entry: dict[str, Any], arguments: Any = None) -> list[str]:
    """The card of a memo entry on a terminal, without colours."""
    [found] = cards_of("r1", [entry], "default")
    given = None if arguments is None else json.dumps(arguments)
    return [line.plain for line in card_body(found, datetime.now(UTC), given)]


def below(lines: list[str], label: str) -> list[str]:
    """The lines that stand further in, below one that begins with this."""
    at = next(number for number, line in enumerate(lines) if line.startswith(f"  {label}"))
    rest = lines[at + 1 :]
    end = next((number for number, line in enumerate(rest) if not line.startswith("    ")), len(rest))
    return [line.strip() for line in rest[:end]]


def full_gate() -> Gate:
    """A gate with all that a gate may have."""
    terms = Terms(
        approvers=("managers",),
        needed=2,
        deadline=3600,
        escalate=(Rung(after=60, to=("ann",)),),
        nobody="end",
    )
    return Gate(
        id="t3.c1",
        kind=GateKind.APPROVAL,
        call="t3.c1",
        summary='refund(order="A-17")',
        reason="amount > 100 asks",
        risk="high",
        accepts=(DecisionKind.APPROVE, DecisionKind.DENY, DecisionKind.EDIT),
        since=NOW - timedelta(minutes=12),
        nonce="n",
        digest="ab" * 32,
        tool="refund",
        rule="big refunds",
        terms=terms,
        preview="Refunds 240.00 EUR.",
        preview_digest="cd" * 8,
        changed="left: 300 → 240",
        stated="The parcel never arrived.",
        evidence=("t1.c1 find_order(): done",),
        undo="a new charge",
        votes=(),
        thread=(Exchange(by="ann", question="Sure?", at=NOW, answer="Yes."),),
        rung=1,
        deadline=NOW + timedelta(hours=3),
        reminded=1,
    )


def test_a_card_comes_back_whole_from_what_the_memo_holds_of_it() -> None:
    written = card("acme/r1", full_gate(), "prod", Spent(model_calls=3, tokens=1200, cost=0.5))
    memo = json.loads(json.dumps(written.model_dump(mode="json", exclude={"command", "others"})))

    assert cards_of("acme/r1", [memo], "prod") == (written,)


def test_a_card_from_before_there_were_rules_takes_what_its_run_takes() -> None:
    old = ("gate", "call", "kind", "summary", "reason", "risk", "digest", "since", "deadline")
    [found] = cards_of("r1", [{name: memo_card()[name] for name in old}], "default")

    assert found.accepts == (DecisionKind.APPROVE, DecisionKind.DENY, DecisionKind.END)
    assert len(found.others) == 2
    assert answers_to(found.model_copy(update={"accepts": ()})) == found.accepts


@pytest.mark.parametrize(
    "entry",
    [
        None, 5, "x", [], {}, {"gate": "t1.c1"},
        memo_card("t1.c1'; touch PWNED; echo '"), memo_card(digest="x" * 64), memo_card(kind="other"),
        memo_card(accepts=["other"]), memo_card(accepts=5), memo_card(since="never"), memo_card(risk="none"),
        memo_card(asks=5), memo_card(thread=[{"by": 1}]), memo_card(spent="much"), memo_card(evidence={"a": 1}),
    ],
)  # fmt: skip
def test_what_is_no_card_is_passed_over_beside_one_that_is(entry: Any) -> None:
    assert [found.gate for found in cards_of("r1", [entry, memo_card("t2.c1")], "default")] == ["t2.c1"]


@pytest.mark.parametrize("entries", [None, 5, "cards", {"gate": "t1.c1"}, [[]]])
def test_a_memo_that_is_no_list_of_cards_has_none(entries: Any) -> None:
    assert cards_of("r1", entries, "default") == ()


def test_what_happens_comes_first_as_the_tool_foresees_it_and_then_the_call() -> None:
    entry = memo_card(preview="Writes 5 bytes\nto out.md.")
    lines = shown(entry, {"path": "out.md", "content": "a\nb"})

    assert lines[0] == "? t1.c1 waits: approval, medium risk, since 5 min"
    assert lines[1].strip() == "If you say yes, this happens, as the tool itself foresees it:"
    assert below(lines, "If you say yes") == ["Writes 5 bytes", "to out.md."]
    assert below(lines, "It is this call:") == ["write_file", "path: out.md", "content:", "a", "b"]


def test_without_a_preview_the_call_comes_first() -> None:
    assert below(shown(memo_card(), {"path": "out.md"}), "If you say yes, this call is made:") == [
        "write_file",
        "path: out.md",
    ]
    assert below(shown(memo_card()), "If you say yes, this call is made:") == ['write_file(path="out.md")']


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("question", "The agent asks, in the model's own words:"),
        ("failure", "This failed:"),
        ("unknown outcome", "This was sent, and nobody knows whether it happened:"),
    ],
)
def test_of_other_gates_it_says_what_is_the_matter(kind: str, label: str) -> None:
    entry = memo_card(kind=kind, summary="the text", accepts=["end"])

    assert below(shown(entry), label) == ["the text"]
    assert below(shown(entry, {"question": "Blue\nor red?"}), label)[-2:] == ["Blue", "or red?"]


def test_it_says_why_on_whose_words_and_on_which_terms() -> None:
    [found] = cards_of("r1", [card("r1", full_gate(), "default").model_dump(mode="json")], "default")
    found = found.model_copy(update={"approved_by": ("bob",), "requester_counts": False})
    lines = [line.plain for line in card_body(found, NOW)]

    assert below(lines, "Changed since people were asked before:") == ["left: 300 → 240"]
    assert "  Why: amount > 100 asks (rule 'big refunds')" in lines
    assert below(lines, "The agent's reason, in the model's own words:") == ["The parcel never arrived."]
    assert below(lines, "The run had done, last:") == ["t1.c1 find_order(): done"]
    assert below(lines, "ann asked the agent:") == ["Sure?"]
    assert below(lines, "The agent answered, in the model's own words:") == ["Yes."]
    assert "  What undoes it: a new charge" in lines
    assert below(lines, "Who decides:") == [
        "managers, ann; 2 different people must approve, so far: bob; not the person for whom the run works"
    ]
    [deadline] = below(lines, "Deadline:")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d \S+ \(in 3 h\); if nobody decides by then, the run ends; people were reminded once",
        deadline,
    )


def test_it_says_what_the_run_has_spent_and_what_is_not_known() -> None:
    spent = {"model_calls": 3, "tokens": 12345}

    assert "  Spent so far: 3 model calls, 12,345 tokens, cost unknown" in shown(memo_card(spent=spent))
    assert "  Spent so far: 3 model calls, 12,345 tokens, 0.5000 USD" in shown(
        memo_card(spent={**spent, "cost": 0.5})
    )
    assert "  What undoes it: nothing that the tool knows of" in shown(memo_card())
    assert "  Deadline: none, it waits as long as it takes" in shown(memo_card())
    assert "  The webhook was not reached: 404" in shown(memo_card(undelivered="404"))


@pytest.mark.parametrize(
    ("nobody", "then"),
    [
        ("deny", "it is denied"),
        ("escalate", "more people are asked"),
        ("ask_again", "it is asked again"),
        ("end", "the run ends"),
    ],
)
def test_it_says_what_happens_when_nobody_decides(nobody: str, then: str) -> None:
    late = memo_card(deadline=(datetime.now(UTC) - timedelta(minutes=5)).isoformat(), nobody=nobody)

    assert any(
        line.endswith(f"(passed 5 min ago); if nobody decides by then, {then}") for line in shown(late)
    )


def test_what_a_model_wrote_cannot_pass_for_a_line_of_ours_nor_steer_the_terminal() -> None:
    forged = f"x\n  Who decides: nobody\n\rDeadline: none{EVIL}"
    texts = (
        "summary",
        "preview",
        "changed",
        "stated",
        "reason",
        "undo",
        "undelivered",
        "tool",
        "rule",
        "nobody",
    )
    entry = memo_card(
        **dict.fromkeys(texts, forged),
        evidence=[forged],
        asks=[forged],
        approved_by=[forged],
        needed=2,
        thread=[{"by": forged, "question": forged, "at": NOW.isoformat(), "answer": forged}],
    )
    for arguments in (None, {forged: forged, "b": [forged]}):
        text = "\n".join(shown(entry, arguments))
        assert len(re.findall(r"^ {0,3}\S.*", text, re.MULTILINE)) == len(
            re.findall(OURS, text, re.MULTILINE)
        )
        assert not re.search("[\x1b\x07\x9b\u202e\r]", text)


OURS = (
    r"^(\? t1\.c1 waits: approval|  If you say yes|  It is this call:|  Changed since|  Why:|  The agent's reason|"
    r"  The run had done|  x Who decides: nobody.* asked the agent:|  The agent answered|  What undoes it:|"
    r"  Who decides:|  Deadline: none, it waits|  The webhook was not reached:)"
)
"""How each line of a card that stands at the left begins."""


def test_a_card_is_bounded_whatever_a_memo_holds() -> None:
    long = "word " * 20_000 + "\nline" * 20_000
    texts = ("summary", "preview", "changed", "stated", "reason", "undo", "undelivered", "tool", "rule")
    exchange = {"by": long, "question": long, "at": NOW.isoformat(), "answer": long}
    entry = memo_card(
        **dict.fromkeys(texts, long), evidence=[long] * 500, asks=[long] * 3, thread=[exchange] * 500
    )

    lines = shown(entry, {"content": long})

    assert len(lines) < 400
    assert max(map(len, lines)) < 4200


def test_the_card_type_and_the_memo_agree() -> None:
    assert set(memo_card()) <= set(Card.model_fields)
