"""Printed lines, taken from a command's output and pasted into a shell in this project's folder, as people do."""

import asyncio
import os
import re
import subprocess

from tests.commands import ROOT, Ended
from tests.house import SOON, House


def address(house: House) -> str:
    """The server's `host:port`."""
    return str(house.client.service_client.config.target_host)


def line_with(text: str, words: str) -> str:
    """The last printed line that holds these words, as one would copy it."""
    found = [line for line in text.splitlines() if words in line][-1]
    return found[re.search(r"\S*(python|temporal) ", found).start() :]  # type: ignore[union-attr]


async def pasted(line: str, house: House) -> Ended:
    """Run a printed line, with nothing but the server's address in the environment."""
    done = await asyncio.to_thread(
        subprocess.run,
        ["/bin/sh", "-c", line],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SOON,
        env={
            "PATH": os.environ["PATH"],
            "TEMPORAL_ADDRESS": address(house),
            "TEMPORAL_CONFIG_FILE": os.devnull,
        },
    )
    return Ended(done.returncode, done.stdout, done.stderr)
