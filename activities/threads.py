"""Runs what people wrote as plain functions. Imports the standard library."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any


def in_thread(function: Callable[..., Any], arguments: Mapping[str, Any]) -> "asyncio.Future[Any]":
    """Run a plain function in a thread of its own.

    Not in a pool: calls that were given up keep their threads, and a few of them would take the whole pool.
    """
    outcome: Future[Any] = Future()
    outcome.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome.set_result(context.run(function, **arguments))
        # All of them: SystemExit would be lost with the thread, and StopIteration passes no future.
        except BaseException as error:
            plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
            outcome.set_exception(error if plain else RuntimeError(f"the tool raised {error!r}"))

    threading.Thread(target=work, name=f"tool-{function.__name__}", daemon=True).start()
    return asyncio.wrap_future(outcome)
