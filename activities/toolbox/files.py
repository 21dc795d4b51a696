"""Tools for the documents in a folder: list, read, write."""

import asyncio
from pathlib import Path
from typing import Annotated

from pydantic import Field

from activities.toolbox.change import change
from activities.toolbox.workspace import Workspace
from activities.tools import Excerpt, Tool, ToolRejected, tool
from agents import bounds
from agents.effect import READ, Effect

LISTED_FILES = 1000
"""Files named by one listing: about 50 KB, which a model reads at once."""

PATH = Field(description="Path relative to the workspace, with / between its parts.")


def file_tools(workspace: Path) -> tuple[Tool, ...]:
    """The file tools, confined to the folder `workspace`."""
    files = Workspace(workspace)

    @tool(READ, timeout_seconds=30)
    async def list_files(
        pattern: Annotated[
            str,
            Field(
                description="Glob such as 'docs/*.md'; ** stands for any folders. A folder: all that is in it."
            ),
        ] = "**",
    ) -> str:
        """List the files of the workspace whose path matches: one line each with path, a tab, and size in bytes."""
        found = sorted(await asyncio.to_thread(lambda: list(files.files(pattern))))
        lines = [f"{path}\t{size}" for path, size in found[:LISTED_FILES]]
        if not lines:
            return f"No file matches {pattern!r}."
        if len(found) > LISTED_FILES:
            lines.append(f"[{len(found) - LISTED_FILES:,} more: use a narrower pattern]")
        return "\n".join(lines)

    @tool(READ, timeout_seconds=30)
    async def read_file(
        path: Annotated[str, PATH],
        offset: Annotated[int, Field(ge=0, description="Where to begin, in bytes. 0 is the beginning.")] = 0,
    ) -> Excerpt:
        """Read a text file of the workspace. A long one comes in parts: the result then says how to go on."""
        data, size = await asyncio.to_thread(files.read, path, offset, bounds.RESULT_BYTES)
        if offset and offset >= size:
            raise ToolRejected(f"{path!r} has only {size} bytes")
        return _excerpt(path, data, offset, size)

    def would_write(path: str, content: str) -> str:
        return change(path, files.present(path), content.encode(errors="replace"))

    @tool(
        Effect(writes=True, idempotent=True, reversible=True),
        timeout_seconds=30,
        preview=would_write,
        undo="Write the former content back, or delete the file if it was new. No copy of what is replaced is kept.",
    )
    async def write_file(
        path: Annotated[str, PATH], content: Annotated[str, Field(description="All of it.")]
    ) -> str:
        """Write a text file of the workspace, in place of one that is there already. Makes the folders it needs."""
        data = content.encode(errors="replace")
        await asyncio.to_thread(files.write, path, data)
        return f"Wrote {len(data)} bytes to {path}."

    return list_files, read_file, write_file


def _excerpt(path: str, data: bytes, offset: int, size: int) -> Excerpt:
    """The text of a part of a file that may begin and end within a character.

    Raises:
        ToolRejected: It is not text.
    """
    begin = 0
    while offset and begin < min(3, len(data)) and data[begin] & 0xC0 == 0x80:
        begin += 1
    try:
        text = data[begin:].decode()
    except UnicodeDecodeError as error:
        cut_at_end = offset + len(data) < size and error.start >= len(data) - begin - 3
        if not cut_at_end:
            raise _not_text(path, size) from None
        text = data[begin : begin + error.start].decode()
    if "\0" in text:
        raise _not_text(path, size)
    return Excerpt(text, start=offset + begin, total=size)


def _not_text(path: str, size: int) -> ToolRejected:
    return ToolRejected(f"{path!r} is not a text file in UTF-8 ({size} bytes)")
