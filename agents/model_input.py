"""The input of the run's model calls: what the worker's cached transcript has not seen."""

from collections.abc import Sequence

from agents import bounds
from agents.model_call import ModelInput
from agents.state import RunState
from agents.transcript import Entry, entry_json


def model_input(state: RunState, aside: Sequence[Entry] = ()) -> ModelInput:
    """The input of the next call.

    Args:
        state: The run.
        aside: Entries for this call only.
    """
    assert state.definition is not None
    delta = state.entries[state.seen :]
    limit = bounds.ASIDE_DELTA_BYTES if aside else bounds.DELTA_BYTES
    small = sum(len(entry_json(entry)) for entry in delta) <= limit
    return ModelInput(
        turn=state.turn,
        definition=state.definition.digest,
        start=state.seen,
        prefix=state.seen_digest,
        total=len(state.entries),
        delta=delta if small else None,
        aside=tuple(aside),
    )
