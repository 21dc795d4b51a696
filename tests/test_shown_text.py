"""Text that others wrote, cut and shown: what is left out is marked, and nothing in it is unseen."""

import json

import pytest

from agents import bounds
from agents.arguments import short_arguments
from agents.bounds import clip
from agents.reply import ProposedCall
from console.text import compact, document, middle, one_line, plain

TAIL = "AND 1,000,000 to mallory"
UNSEEN = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\U000e0000", "\U000e0041", "\U000e007f"]
"""No width, or none of the tag characters that stand for ASCII."""


def test_a_tail_behind_many_spaces_is_not_hidden() -> None:
    for spaces in (1, 90, 190, 1000, 100_000):
        text = "pay 1 EUR to the red cross" + " " * spaces + TAIL
        for short in (clip(text, 120), one_line(text, 120)):
            assert short.endswith((TAIL, "…")), spaces


@pytest.mark.parametrize("limit", [1, 5, 60])
def test_what_is_cut_off_is_marked_and_what_fits_is_not(limit: int) -> None:
    for length in range(1, 6 * limit):
        for cut in (clip, one_line):
            short = cut("x" * length, limit)
            assert short == ("x" * length if length <= limit else "x" * (limit - 1) + "…")


def test_spaces_alone_at_the_end_are_nothing_that_was_cut_off() -> None:
    assert one_line("all of it" + " " * 1000, 40) == "all of it"


@pytest.mark.parametrize("spaces", [10, 190, 300, 5000])
@pytest.mark.parametrize("first", [True, False])
def test_the_arguments_of_a_call_show_that_there_is_more_of_them(spaces: int, first: bool) -> None:
    values = [("text", "pay 1 EUR" + " " * spaces + TAIL), ("to", "red cross")]
    arguments = dict(values if first else values[::-1])
    short = short_arguments(ProposedCall(id="p", tool="pay", arguments=json.dumps(arguments)))

    assert TAIL in short or "…" in short
    assert len(short) <= bounds.SUMMARY_CHARS


@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
def test_a_character_without_a_width_is_seen(unseen: str) -> None:
    assert plain(f"an{unseen}n") == "an\ufffdn"
    assert one_line(f"an{unseen}n", 20) == "an\ufffdn"


@pytest.mark.parametrize("unseen", [*UNSEEN, "\x7f", "\u202e", "\ud800"], ids=ascii)
def test_in_json_it_is_escaped_and_reads_back_as_the_same(unseen: str) -> None:
    for written in (compact({unseen: [unseen]}), document([{unseen: unseen}])):
        assert written.isascii()
    assert json.loads(compact({unseen: [unseen]})) == {unseen: [unseen]}
    assert json.loads(document([{unseen: unseen}])) == [{unseen: unseen}]


def test_a_long_id_loses_its_middle() -> None:
    assert middle("acme/a-run-with-a-very-long-name-0042", 20) == "acme/a-run…name-0042"
    assert middle("short", 20) == "short"
    assert len(middle("x" * 500, 21)) == 21
