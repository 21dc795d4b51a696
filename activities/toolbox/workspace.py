"""The folder that file tools are confined to. Blocking: called from threads. Standard library only."""

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from activities.toolbox.change import COMPARED_BYTES, Present
from activities.tools import ToolRejected

WALKED_FILES = 100_000
"""Files looked at for one listing: some seconds of work, and more than a model can use."""

LONGEST_NAME = 255
"""Bytes of one part of a path, on the usual file systems."""

UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and bytes that are not text: such names fit neither into a line nor into JSON."""

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)
BINARY = getattr(os, "O_BINARY", 0)
"""0 where the system has no such flag."""


class Workspace:
    """A folder, addressed by relative paths with `/`. Nothing outside it and nothing hidden can be reached."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self, pattern: str) -> Iterator[tuple[str, int]]:
        """Path and bytes of each regular file whose path matches, in no order.

        Args:
            pattern: A glob in which `**` stands for any folders; or a folder, for all that is in it.
        """
        wanted = self._wanted(pattern)
        root = self._folder.resolve()
        for number, path in enumerate(_walk(root)):
            if number >= WALKED_FILES:
                raise ToolRejected(f"the workspace has over {WALKED_FILES:,} files; nothing can be listed")
            name = path.relative_to(root).as_posix()
            if _matches(wanted, name.split("/")) and not UNSPEAKABLE.search(name):
                size = _size(path, root)
                if size is not None:
                    yield name, size

    def read(self, path: str, start: int, limit: int) -> tuple[bytes, int]:
        """At most `limit` bytes of a file from `start` on, and its whole size.

        Raises:
            ToolRejected: There is no such file to be read here.
        """
        target = self._inside(path)
        try:
            descriptor = _opened(target)
        except (FileNotFoundError, NotADirectoryError):
            raise ToolRejected(f"{path!r} does not exist; list_files shows what does") from None
        except PermissionError:
            raise ToolRejected(f"{path!r} may not be read by this worker") from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ToolRejected(f"{path!r} is not a file; list_files({path!r}) shows what is in a folder")
            if start >= status.st_size:  # beyond what the system can seek to, too
                return b"", status.st_size
            os.lseek(descriptor, start, os.SEEK_SET)
            return os.read(descriptor, limit), status.st_size
        finally:
            os.close(descriptor)

    def present(self, path: str) -> Present | None:
        """The file that a write to this path would replace; None where there is none.

        Raises:
            ToolRejected: No file can be written there.
        """
        target = self._replaceable(path)
        try:
            with os.fdopen(_opened(target), "rb") as file:
                data = file.read(COMPARED_BYTES + 1)
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            return Present(target.stat().st_size)
        return Present(size, digest, data if len(data) <= COMPARED_BYTES else None)

    def write(self, path: str, data: bytes) -> None:
        """Put a file there as a whole, in place of one that is there already: nobody ever sees half of it.

        Raises:
            ToolRejected: No file can be written there.
        """
        target = self._replaceable(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, data)
        except (FileExistsError, NotADirectoryError):
            raise ToolRejected(f"{path!r}: a part of the path is a file, not a folder") from None
        except PermissionError:
            raise ToolRejected(f"{path!r} may not be written by this worker") from None

    def _replaceable(self, path: str) -> Path:
        """Where a file may be put.

        Raises:
            ToolRejected: Something is there that may not be replaced.
        """
        target = self._inside(path)
        if target.exists() and not target.is_file():
            raise ToolRejected(f"{path!r} is not a file and cannot be replaced by one")
        if target.exists() and not os.access(target, os.W_OK):
            raise ToolRejected(f"{path!r} is write-protected")
        return target

    def _wanted(self, pattern: str) -> list[str]:
        """The pattern's parts: `**` for any folders, else a glob for one name."""
        _refuse_bad(pattern)
        pattern = pattern.removeprefix("./").rstrip("/")
        if pattern in {"", "."}:
            return ["**"]
        parts = pattern.replace("[", "[[]").split("/")
        if not re.search(r"[*?]", pattern) and self._inside(pattern).is_dir():
            parts.append("**")
        return parts

    def _inside(self, path: str) -> Path:
        """The real path, symbolic links followed.

        Raises:
            ToolRejected: It is not in the workspace.
        """
        _refuse_bad(path)
        root = self._folder.resolve()
        try:
            target = (root / path).resolve()
        except (OSError, RuntimeError):  # too long; links in a circle
            raise ToolRejected(f"{path!r} is not a path that can be followed") from None
        if not target.is_relative_to(root) or _hidden(target.relative_to(root).parts):
            raise ToolRejected(f"{path!r} leads out of the workspace")
        return target


def _matches(wanted: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a path matches. One regular expression over it all could backtrack for minutes, and stop the worker."""
    reached = {0}
    for pattern in wanted:
        if pattern == "**":
            reached = set(range(min(reached), len(parts) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(parts) and fnmatchcase(parts[at], pattern)}
    return len(parts) in reached


def _refuse_bad(path: str) -> None:
    if UNSPEAKABLE.search(path):
        raise ToolRejected(f"{path!r} holds a character that no path here may hold")
    pure = PurePosixPath(path.replace("\\", "/"))
    if pure.is_absolute() or Path(path).drive or ".." in pure.parts:
        raise ToolRejected(f"{path!r}: use a path relative to the workspace, without '..'")
    if _hidden(pure.parts):
        raise ToolRejected(f"{path!r}: names that begin with a dot are off limits, since some hold secrets")
    if len(path) > 1000 or any(len(part.encode()) > LONGEST_NAME for part in pure.parts):
        raise ToolRejected(f"{path[:80]!r}... is too long")


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") for part in parts)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _size(path: Path, root: Path) -> int | None:
    """Bytes of a regular file; None for one that is gone, is something else or links out of the workspace."""
    with suppress(OSError, RuntimeError):
        real = path.resolve(strict=True)
        status = real.stat()
        inside = real.is_relative_to(root) and not _hidden(real.relative_to(root).parts)
        if inside and stat.S_ISREG(status.st_mode):
            return status.st_size
    return None


def _opened(target: Path) -> int:
    return os.open(target, os.O_RDONLY | NO_FOLLOW | NO_WAIT | BINARY)


def _replace(target: Path, data: bytes) -> None:
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
