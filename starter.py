"""Composes the command line: `python starter.py --help`."""

import sys
import traceback
from io import TextIOWrapper

import typer
from pydantic import SecretStr

from console import keys, server
from console.attention.command import attention
from console.cancel import cancel
from console.decide import answer, approve, ask, decide, delegate, deny
from console.demo.command import demo
from console.dial.app import app as dial
from console.dial.backtest_command import backtest_command
from console.dial.explain import explain_command
from console.dial.inputs import Installed
from console.dial.table import table_command
from console.inbox import inbox
from console.listing import list_runs
from console.notify import notify_command
from console.overview import overview
from console.start import run
from console.status import status
from console.steer import pause, resume, say
from console.trajectory.command import trajectory
from console.watch import watch
from runtime.connection import exit_process
from runtime.settings import Settings


def installed(settings: Settings) -> Installed:
    """What a worker with these settings would have."""
    # Here, since the tools take a quarter of a second to load, which the other commands need not wait for.
    import catalog
    from activities.tools import tool_table

    table = tool_table(*catalog.tools(settings))
    return Installed(catalog.AGENTS, {name: tool.spec for name, tool in table.items()})


async def try_webhook(url: SecretStr, secret: SecretStr | None) -> str | None:
    """Post a test message; why it did not arrive, or None."""
    from activities import notify

    return await notify.try_webhook(url, secret)


app = typer.Typer(
    help="Run agents durably on Temporal, watch them, and decide what they ask.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback of ours is a bug; it must not show local variables, which may hold prompts and keys.
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(run)
app.command()(status)
app.command()(watch)
app.command()(inbox)
app.command()(overview)
app.command("list")(list_runs)
app.command()(approve)
app.command()(deny)
app.command()(answer)
app.command()(ask)
app.command()(delegate)
app.command()(decide)
app.command()(say)
app.command()(pause)
app.command()(resume)
app.command()(cancel)
app.command()(trajectory)
app.command()(attention)
app.command("notify")(notify_command(try_webhook))
app.add_typer(server.app, name="server")
app.add_typer(keys.app, name="keys")
app.add_typer(dial, name="dial")
dial.command("explain")(explain_command(installed))
dial.command("table")(table_command(installed))
dial.command("backtest")(backtest_command(installed))


def main() -> int:
    """Run one command; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a question mark, not a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except SystemExit as ended:
        return int(ended.code or 0)
    except Exception:  # a bug: shown whole, and the process still ends by its own way out
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    exit_process(main())
