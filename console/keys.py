"""The commands `keys new` and `keys show`: the keys that people sign their decisions with."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import TypeAdapter, ValidationError

from agents.rules import ANYONE, Name
from console.exits import Exit, Trouble, finish
from console.lines import python_line
from console.signing import public_key, read_key, write_new_key
from console.text import plain

app = typer.Typer(help="Keys that people sign their decisions with.", no_args_is_help=True)

_NAME: TypeAdapter[str] = TypeAdapter(Name)


@app.command()
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Who will sign with it, as the rules name them.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="The private key's file; otherwise NAME.pem in this folder.")
    ] = None,
) -> None:
    """Make a key: the private half into a file, the public half as lines for the rules file."""

    async def command() -> Exit:
        who = _person(name)
        path = out or _default_file(who)
        key = write_new_key(path)
        typer.echo(
            f"# The private key is in {path}: it stays with {plain(who)}, who signs with it after", err=True
        )
        typer.echo(f"#   export AGENT_SIGNING_KEY={shlex.quote(str(path.absolute()))}", err=True)
        typer.echo(
            "# These lines belong into the rules file; from then on every decision must be signed:", err=True
        )
        typer.echo(rules_lines(who, public_key(key)), nl=False)
        return Exit.DONE

    finish(command())


@app.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A private key's file.", show_default=False)],
) -> None:
    """Print the public half of a key, as the rules file holds it."""

    async def command() -> Exit:
        typer.echo(public_key(read_key(file)))
        return Exit.DONE

    finish(command())


def rules_lines(name: str, key: str) -> str:
    """The lines of a rules file that name a person and their key."""
    text: str = yaml.safe_dump({"people": {name: {"key": key}}}, allow_unicode=True, sort_keys=False)
    return text


def _person(name: str) -> str:
    try:
        found = _NAME.validate_python(name)
    except ValidationError as error:
        raise Trouble(
            f"{name!r} is nobody's name: 1 to 100 characters, no comma, no line break, no space at the beginning.",
            Exit.USAGE,
        ) from error
    if found == ANYONE:
        raise Trouble(f"Nobody may be called {ANYONE!r}.", Exit.USAGE)
    return found


def _default_file(name: str) -> Path:
    if any(not (letter.isalnum() or letter in "._-") for letter in name) or name.startswith("."):
        line = python_line("starter.py", "keys", "new", name, "--out", "key.pem")
        raise Trouble(f"Name the file, since {name!r} makes none: `{line}`", Exit.USAGE)
    return Path(f"{name}.pem")
