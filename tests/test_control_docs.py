"""What docs/control.md claims: its table of the shipped tools, its rules, its messages, its preview."""

import json
import re
import types
from datetime import UTC, datetime
from pathlib import Path

import yaml

import catalog
from activities.providers.offline import MODEL
from agents.effect import Dial
from agents.gate import Decision
from agents.message import RawMessage, read_message
from agents.rules import RuleSet
from agents.ruling import rule_on
from runtime.settings import Settings

PAGE = (Path(__file__).parents[1] / "docs" / "control.md").read_text()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_table_of_the_shipped_tools_is_what_the_dial_says() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)
    shipped = [tool.spec for tool in catalog.tools(Settings(agent_model=MODEL))]

    assert [row[:4] for row in rows] == [
        (spec.name, *(rule_on(spec, dial, RuleSet(), {}, NOW).says for dial in Dial)) for spec in shipped
    ]
    assert [row[4] for row in rows] == [
        "question to a person" if spec.asks_person else str(spec.effect) for spec in shipped
    ]


def test_the_rules_of_the_page_can_be_loaded() -> None:
    [snippet] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert [rule.name for rule in RuleSet.model_validate(yaml.safe_load(snippet)).rules] == [
        "refunds over 100"
    ]


async def test_the_preview_of_the_page_says_what_the_tool_then_does() -> None:
    [snippet] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    module = types.ModuleType("refund")
    exec(snippet, module.__dict__)

    assert module.refund.preview("ann", 5) == "ann has 120, and gets 5"
    assert await module.refund("ann", 5) == "ann now has 125"
    assert module.refund.spec.effect.grave


def test_the_messages_of_the_page_are_read_as_they_stand() -> None:
    sent = re.findall(r"--name (\w+) (?:\\\n  )?--input\s'(\{.*?\})'", PAGE)
    read = [read_message(RawMessage(name, [("json/plain", body.encode())])) for name, body in sent]

    assert [name for name, _ in sent] == ["decide", "say"]
    assert isinstance(read[0], Decision)
    assert read[0].arguments == json.loads(sent[0][1])["arguments"]
