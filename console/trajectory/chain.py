"""Reads the histories of a run's whole chain of executions from the server: no worker is needed."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.converter import DataConverter, WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from agents.card import Card
from console.executions import Execution, describe, listed
from console.trajectory.derive import History, read_chain
from console.trajectory.reading import moment


async def chain_of(client: Client, run: str, latest: str | None = None) -> list[History]:
    """The executions of a run that continued one another, oldest first: up to `latest`, or else the run's latest one.

    One whose history is gone is in it with `events=None`; where the walk then finds an older one that is still
    there, it goes on with that.

    Raises:
        RPCError: There is no such run (NOT_FOUND), or the server does not answer.
    """
    found: list[History] = []
    execution: str | None = latest or (await describe(client, run)).execution.id
    while execution:
        history = await _history(client, run, execution)
        found.insert(0, history)
        if history.events:
            execution = _previous(history.events[0])
        else:
            execution = await _older(client, run, found)
    return found


async def arguments_of(client: Client, run: str, cards: Iterable[Card]) -> dict[str, str]:
    """The arguments of the calls that wait, by gate: a card has a short form of them only."""
    if not any(card.call for card in cards):
        return {}
    calls = read_chain(await chain_of(client, run)).calls
    return {card.gate: calls[card.call].arguments for card in cards if card.call in calls}


def _previous(started: HistoryEvent) -> str | None:
    return started.workflow_execution_started_event_attributes.continued_execution_run_id or None


async def _history(client: Client, run: str, execution: str) -> History:
    try:
        return History(execution, [event async for event in events_of(client, run, execution)])
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return History(execution, None)


async def _older(client: Client, run: str, found: list[History]) -> str | None:
    """The newest execution of the same chain that is older than the one that follows the gap."""
    after = next((part.events[0] for part in found if part.events), None)
    if after is None:
        return None
    chain = after.workflow_execution_started_event_attributes.first_execution_run_id
    known = {part.execution for part in found}
    older = [
        execution
        async for execution in listed(client, f"WorkflowId = '{run}'")
        if execution.started < moment(after.event_time) and execution.id not in known
    ]
    for candidate in sorted(older, key=lambda execution: execution.started, reverse=True):
        if await _first(client, candidate) == chain:
            return candidate.id
    return None


async def _first(client: Client, execution: Execution) -> str | None:
    """The first execution of this one's chain; None where the listing is behind and it is gone as well."""
    try:
        return (await describe(client, execution.run, execution.id)).execution.first
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return None


async def events_of(
    client: Client, run: str, execution: str, *, follow: bool = False
) -> AsyncIterator[HistoryEvent]:
    """An execution's events with their payloads decoded; with `follow`, also those to come, until it ends."""
    handle = client.get_workflow_handle(run, run_id=execution)
    context = WorkflowSerializationContext(namespace=client.namespace, workflow_id=run)
    converter = client.data_converter.with_context(context)
    async for event in handle.fetch_history_events(wait_new_event=follow):
        await decode(event, converter)
        yield event


async def decode(message: Message, converter: DataConverter) -> None:
    """Decode every payload within a message in place: what was encrypted or stored elsewhere is put back."""
    if converter.payload_codec is None and converter.external_storage is None:
        return
    if isinstance(message, Payload):
        [opened] = await converter.decode([message], [RawValue])
        message.CopyFrom(opened.payload)
        return
    for field, held in message.ListFields():
        # The server itself reads search attributes, so nothing encodes them.
        if field.message_type is None or field.name == "search_attributes":
            continue
        for part in _parts(field.message_type, field.is_repeated, held):
            await decode(part, converter)


def _parts(kind: Descriptor, repeated: bool, held: Any) -> list[Message]:
    if not kind.GetOptions().map_entry:
        return list(held) if repeated else [held]
    return list(held.values()) if kind.fields_by_name["value"].message_type else []
