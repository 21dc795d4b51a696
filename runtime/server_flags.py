"""How the embedded server is tuned: every flag with its reason, in this one place. Pure data.

Figures: 2 cores, `temporal` 1.9.1 (server 1.32.0), one run of turns of two activities each. All flags together:
18 ms per turn; none: 87 ms (60 turns) to 96 ms (200 turns). A figure below is what it costs to leave that flag out.
"""

import json
from typing import NamedTuple


class DynamicConfig(NamedTuple):
    """One dynamic configuration value of the Temporal server."""

    key: str
    value: int | bool | str
    """Durations are strings, such as `1ms`."""
    reason: str


class Flag(NamedTuple):
    """One command-line flag of `temporal server start-dev`."""

    arguments: tuple[str, ...]
    reason: str


DYNAMIC_CONFIG = (
    DynamicConfig(
        "history.transferProcessorMaxPollRPS",
        5000,
        "The queue that dispatches every workflow and activity task is read 20 times a second per shard by default, "
        "and the embedded server has one shard: 50 ms for each dispatch of a busy run, 89 ms per turn.",
    ),
    DynamicConfig(
        "history.timerProcessorMaxPollRPS",
        5000,
        "The same limit for timers, deadlines and retry backoffs: a 20 ms timer takes 140 to 200 ms, else 30 to 40 ms.",
    ),
    DynamicConfig(
        "history.timerProcessorMaxTimeShift",
        "1ms",
        "By default no timer or retry backoff is shorter than 1 s: a 20 ms timer takes 1005 ms.",
    ),
    DynamicConfig(
        "matching.enableFairness",
        True,
        "Fairness keys (one per tenant) do nothing without it: one tenant's backlog would hold up all others.",
    ),
    DynamicConfig(
        "frontend.WorkflowPauseEnabled",
        True,
        "Turns on `temporal workflow pause` and the button in the Web UI.",
    ),
    DynamicConfig(
        "history.maximumSignalsPerExecution",
        2000,
        "10,000 by default. A worker takes all that wait in one task of two seconds: 4,000 pass in 12 s, 9,000 never do. "
        "The sender is told; an execution that has had so many continues as new and takes more.",
    ),
)

# None of them is for one machine only, so the production server has them too.
PRODUCTION_DYNAMIC_CONFIG: dict[str, int | bool | str] = {
    config.key: config.value for config in DYNAMIC_CONFIG
}

FLAGS = (
    Flag(("--ip", "127.0.0.1"), "It has no authentication: reachable from this machine only."),
    Flag(("--log-level", "error"), "It may run for weeks, and its log is never rotated."),
    Flag(("--ui-disable-news-fetch",), "The Web UI of a local server asks the internet for nothing."),
    Flag(
        ("--sqlite-pragma", "journal_mode=wal"),
        "A write-ahead log syncs less than the rollback journal: 34 to 41 ms per turn without this and the next.",
    ),
    Flag(
        ("--sqlite-pragma", "synchronous=1"),
        "25 ms per turn without it. With WAL a killed server loses nothing; a power cut may cost the last moments.",
    ),
)


def server_arguments() -> list[str]:
    """The arguments for `temporal server start-dev` that all of the above make."""
    arguments = [argument for flag in FLAGS for argument in flag.arguments]
    for config in DYNAMIC_CONFIG:
        arguments += ["--dynamic-config-value", f"{config.key}={json.dumps(config.value)}"]
    return arguments
