"""The agent's workflow: it carries out what `agents.loop` decides, and folds back what happens.

One queue, one consumer: activities that end, timers and messages only append to the queue; `run` alone changes
the state. Continue-as-new may happen between any two steps, since the state holds all that `decide` needs.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from agents import bounds
from agents.agent import Definition
from agents.carry import pack, unpack
from agents.deciding import Receipt
from agents.events import Action, Cancelled, Event, Moment, Started
from agents.loop import apply, decide
from agents.request import BadRequest, parse_request
from agents.result import RunResult, run_result
from agents.state import RunState
from agents.status import CallPage, Status, call_page, status, unread
from agents.transcript import Page, page
from workflows.activity_calls import fetch_carried
from workflows.gate_timers import GateTimers
from workflows.mail import Mail, MailReader
from workflows.outcome import event_of
from workflows.payload import carried, carry_values, raw_message, request_json
from workflows.publish import Publisher
from workflows.under_way import Ended, UnderWay

RUN_FAILED = "RunFailed"
"""Failure type of a run that ended failed."""


WORKFLOW_TYPE = "AgentWorkflow"


def _moment() -> Moment:
    # The seed is no sequence: a reset changes it, one event more or less in a later version does not.
    return Moment(workflow.now(), f"{workflow.random_seed():x}")


# Dynamic, because only a dynamic workflow gets its input raw, whatever it is: with a typed one, a second payload or
# an unknown encoding fails the task before our code runs, and the server retries it for ever. Outside the sandbox,
# because the sandbox costs a tenth of a turn and more memory than a waiting run itself: tests replay recorded runs in
# the strict sandbox, and hold what `agents` and `workflows` import and call.
@workflow.defn(dynamic=True, sandboxed=False)
class AgentWorkflow:
    """One agent at work on one task."""

    def __init__(self) -> None:
        self._state: RunState | None = None
        self._refusal = ""
        self._queue: deque[Event | Mail | Ended] = deque()
        self._under_way = UnderWay(self._queue)
        self._gate_timers = GateTimers(self._queue)
        self._publisher = Publisher()
        self._reader = MailReader(_moment)
        self._cancelled = False
        self._steps = 0
        self._size_at_start = 0
        self._carried: list[bytes] = []

    # --- the run ------------------------------------------------------------------------------------------

    @workflow.run
    async def run(self, values: Sequence[RawValue]) -> RunResult:
        """Work on the request until there is an answer, the run fails, or somebody cancels it."""
        if workflow.info().workflow_type != WORKFLOW_TYPE:
            # Fails the task, not the run: as with a static workflow, a worker that knows the type may take it.
            raise NotImplementedError(
                f"this worker runs {WORKFLOW_TYPE}, not {workflow.info().workflow_type}"
            )
        try:
            self._state = await self._begin(values)
        except BadRequest as error:
            self._refusal = str(error)
            raise ApplicationError(f"refused: {error}", type=RUN_FAILED, non_retryable=True) from None
        try:
            while not self.state.outcome:
                await self._step()
        except asyncio.CancelledError:
            await self._stop()
        return await self._end()

    @property
    def state(self) -> RunState:
        """The run's state, once it has begun."""
        if self._state is None:  # a query came while the state is being fetched, or after a refusal
            raise RuntimeError(self._refusal or "the run has not read its input yet; ask again in a moment")
        return self._state

    async def _begin(self, values: Sequence[RawValue]) -> RunState:
        info = workflow.info()
        handed_over = carried(values) if info.continued_run_id else None
        if info.continued_run_id and handed_over:
            digests, first = handed_over
            rest = [
                (await fetch_carried(info.continued_run_id, number, digest, info.priority)).payload.data
                for number, digest in enumerate(digests[1:], start=1)
            ]
            state = unpack([first, *rest])
            self._publisher.resume(state)
        else:
            request = parse_request(info.workflow_id, request_json(values))
            # Each execution of a cron schedule is a run of its own, with keys of its own.
            chain = info.original_execution_run_id if info.cron_schedule else info.first_execution_run_id
            state = RunState(run=info.workflow_id, chain=chain, request=request)
        if info.original_execution_run_id != info.run_id:
            state = state.model_copy(update={"reset": True})
        self._size_at_start = workflow.info().get_current_history_size()
        return state

    async def _step(self) -> None:
        continues = self._continue_due()
        self._under_way.stop_for_closed({gate.digest for gate in self.state.gates.values()})
        if continues:
            # Neither a receiver that is down nor a slow model must hold it up: the next execution asks again.
            self._under_way.stop_beside()
            await self._continue_as_new_when_idle()
        else:
            for action in decide(self.state, workflow.info().run_id):
                self._carry_out(action)
        self._publisher.publish(self.state)
        self._gate_timers.set(self.state)
        await workflow.wait_condition(lambda: bool(self._queue))
        await self._take_queue()

    async def _take_queue(self) -> None:
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, Mail):
                await self._take_mail(item)
            elif isinstance(item, Ended):
                self._fold(event_of(item.action, item.handle))
            else:
                self._fold(item)
            self._steps += 1

    async def _take_mail(self, mail: Mail) -> None:
        self._state, cancelled = await self._reader.take(self.state, mail, stopping=self._cancelled)
        if cancelled:
            self._cancelled = True
            raise cancelled
        await self._reader.breathe(self.state, mail)

    def _fold(self, event: Event) -> None:
        self._state = apply(self.state, event, _moment())

    async def _stop(self) -> None:
        """End as cancelled, once what is in flight has been told and has ended."""
        self._cancelled = True
        await self._cancel_in_flight()
        self._fold(Cancelled())

    async def _cancel_in_flight(self) -> None:
        self._under_way.cancel()
        await workflow.wait_condition(lambda: self._under_way.is_idle)
        await self._take_queue()

    async def _end(self) -> RunResult:
        for settles in (self._cancel_in_flight, self._answer_all):
            try:
                await settles()
            except (
                asyncio.CancelledError
            ):  # somebody cancels a run that is ending already: it ends as it would have
                await settles()
        outcome = self.state.outcome
        assert outcome is not None
        match outcome.phase:
            case "done":
                return run_result(self.state)
            case "failed":
                raise ApplicationError(outcome.error or "failed", type=RUN_FAILED, non_retryable=True)
            case "cancelled":
                raise asyncio.CancelledError

    async def _answer_all(self) -> None:
        self._publisher.publish(self.state)
        while self._queue or not workflow.all_handlers_finished():
            await self._take_queue()
            await workflow.wait_condition(lambda: bool(self._queue) or workflow.all_handlers_finished())

    def _carry_out(self, action: Action) -> None:
        before = self.state
        self._fold(Started(action))
        self._under_way.start(action, before)

    # --- continue-as-new ----------------------------------------------------------------------------------

    def _continue_due(self) -> bool:
        info = workflow.info()
        grown = info.get_current_history_size() - self._size_at_start
        due = info.get_current_history_length() > bounds.CONTINUE_EVENTS or grown > bounds.CONTINUE_BYTES
        # The server's hint counts what was handed over, too: of a large state it would come at once, for ever.
        hinted = info.is_continue_as_new_suggested() and self._size_at_start < bounds.CONTINUE_BYTES
        return self._steps > 0 and (due or hinted)

    async def _continue_as_new_when_idle(self) -> None:
        """Dispatch nothing more; once nothing is in flight and nobody waits for a receipt, continue."""
        if not self._under_way.is_idle:
            return
        await workflow.wait_condition(lambda: bool(self._queue) or workflow.all_handlers_finished())
        if not self._queue:
            # The next execution takes attributes and memo as written, also those of the step that made this due.
            self._publisher.publish(self.state)
            self._carried = pack(self.state)
            # By itself the next execution would have the memo that this one was started with.
            memo = {name: RawValue(value) for name, value in workflow.info().raw_memo.items()}
            workflow.continue_as_new(args=carry_values(self._carried), memo=memo)

    # --- messages -----------------------------------------------------------------------------------------

    @workflow.signal(
        dynamic=True,
        description="decide (approve, deny, answer), say, pause, resume, cancel, notify; others show under `rejected`.",
    )
    def on_signal(self, name: str, values: Sequence[RawValue]) -> None:
        """Put a message on the queue."""
        self._queue.append(Mail(raw_message(name, values)))

    @workflow.update(dynamic=True, description="The same messages as signals; answers {accepted, reason}.")
    async def on_update(self, name: str, values: Sequence[RawValue]) -> Receipt:
        """Put a message on the queue and wait until the run has taken it, which it does at once."""
        mail = Mail(raw_message(name, values))
        self._queue.append(mail)
        await workflow.wait_condition(lambda: mail.receipt is not None or bool(self._refusal))
        return mail.receipt or Receipt(False, f"the run was refused: {self._refusal}")

    # --- queries ------------------------------------------------------------------------------------------

    @workflow.query(name="status", description="Phase, calls, cards, usage, answer.")
    def status(self) -> Status:
        """The run as a person or a program sees it."""
        info = workflow.info()
        if self._state is None:
            return unread(info.workflow_id, self._refusal)
        return status(self._state, info.namespace, workflow.now())

    @workflow.query(name="calls", description="All calls from the given number on, in pages.")
    def calls(self, start: int = 0) -> CallPage:
        """A page of the run's calls."""
        return call_page(self.state, start)

    @workflow.query(name="transcript", description="Entries of an epoch from the given number on, in pages.")
    def transcript(self, epoch: int = 0, start: int = 0) -> Page:
        """A page of the conversation."""
        if not isinstance(epoch, int) or not isinstance(start, int):
            raise ValueError("transcript takes two numbers, epoch and start: --input 0 --input 0")
        if epoch != self.state.epoch:
            raise ValueError(f"epoch {epoch} is gone; the transcript is in epoch {self.state.epoch}")
        return page(self.state.entries, epoch, start)

    @workflow.query(name="definition", description="The snapshot of the agent that this run keeps.")
    def definition(self) -> Definition:
        """The run's definition."""
        if self.state.definition is None:
            raise ValueError("the definition is not resolved yet")
        return self.state.definition

    @workflow.query(name="carried", description="A chunk of the state handed to the next execution.")
    def carried(self, chunk: int) -> bytes:
        """A chunk that did not fit the next execution's input."""
        return self._carried[chunk]
