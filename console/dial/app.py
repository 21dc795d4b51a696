"""The commands `dial ...`."""

import typer

from console.dial.audit_command import audit

app = typer.Typer(
    help="See which calls go ahead, which ask whom, and which are never made.", no_args_is_help=True
)
app.command()(audit)
