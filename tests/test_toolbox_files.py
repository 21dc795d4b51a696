"""The file tools list, read and write within their workspace, and nothing leads out of it."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

import activities.toolbox.change
import activities.toolbox.files
import activities.toolbox.workspace
from activities.result import content
from activities.toolbox.files import file_tools
from activities.tools import ToolRejected
from agents import bounds
from agents.effect import READ, EffectClass


class Files:
    """The tools, called as the activity does it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tools = {each.spec.name: each for each in file_tools(folder)}

    async def list(self, pattern: str = "**") -> list[str]:
        listing: str = await self.tools["list_files"](pattern)
        return listing.splitlines()

    async def read(self, path: str, offset: int = 0, limit: int = bounds.RESULT_BYTES) -> str:
        return content(await self.tools["read_file"](path, offset), limit, offset)

    def preview(self, path: str, text: str) -> str:
        """What is said beforehand of writing the text there."""
        preview = self.tools["write_file"].preview
        assert preview is not None
        said: str = preview(path=path, content=text)
        return said

    async def write(self, path: str, text: str) -> str:
        said: str = await self.tools["write_file"](path, text)
        return said


@pytest.fixture
def files(tmp_path: Path) -> Files:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return Files(folder)


def fill(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_tools_say_what_they_do_to_the_world(files: Files) -> None:
    effects = {name: each.spec.effect for name, each in files.tools.items()}

    assert (effects["list_files"], effects["read_file"]) == (READ, READ)
    assert effects["write_file"].effect_class is EffectClass.IDEMPOTENT
    assert effects["write_file"].reversible


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**", ["a.md", "b.txt", "docs/c.md", "docs/deep/d.md"]),
        ("*", ["a.md", "b.txt"]),
        ("*.md", ["a.md"]),
        ("**/*.md", ["a.md", "docs/c.md", "docs/deep/d.md"]),
        ("docs/*.md", ["docs/c.md"]),
        ("docs/**", ["docs/c.md", "docs/deep/d.md"]),
        ("docs/**/d.md", ["docs/deep/d.md"]),
        ("docs", ["docs/c.md", "docs/deep/d.md"]),
        ("docs/", ["docs/c.md", "docs/deep/d.md"]),
        ("./?.md", ["a.md"]),
        (".", ["a.md", "b.txt", "docs/c.md", "docs/deep/d.md"]),
        ("a.md", ["a.md"]),
        ("[ab].md", ["No file matches '[ab].md'."]),
    ],
)
async def test_files_are_listed_by_pattern_in_order(files: Files, pattern: str, names: list[str]) -> None:
    fill(files.folder, b_txt="22", a_md="1", docs__deep__d_md="4444", docs__c_md="333")

    assert [line.partition("\t")[0] for line in await files.list(pattern)] == names


async def test_a_listing_tells_sizes(files: Files) -> None:
    fill(files.folder, a_md="é")

    assert await files.list() == ["a.md\t2"]


async def test_hidden_files_are_neither_listed_nor_read_nor_written(files: Files) -> None:
    (files.folder / ".env").write_text("OPENAI_API_KEY=x")
    (files.folder / ".git").mkdir()
    (files.folder / ".git" / "config").write_text("x")
    (files.folder / "open").symlink_to(".env")

    assert await files.list() == ["No file matches '**'."]
    for path in (".env", ".git/config", "open", "docs/.x/y"):
        with pytest.raises(ToolRejected):
            await files.read(path)
        with pytest.raises(ToolRejected):
            await files.write(path, "mine")
    assert (files.folder / ".env").read_text() == "OPENAI_API_KEY=x"


async def test_a_long_listing_is_cut_and_says_so(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activities.toolbox.files, "LISTED_FILES", 2)
    fill(files.folder, a_md="", b_md="", c_md="")

    assert await files.list() == ["a.md\t0", "b.md\t0", "[1 more: use a narrower pattern]"]


async def test_a_workspace_that_is_too_large_to_list_is_refused(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.toolbox.workspace, "WALKED_FILES", 2)
    fill(files.folder, a_md="", b_md="", c_md="")

    with pytest.raises(ToolRejected, match="over 2 files"):
        await files.list()


async def test_a_workspace_that_does_not_exist_yet_is_empty_until_something_is_written(
    tmp_path: Path,
) -> None:
    files = Files(tmp_path / "later")

    assert await files.list() == ["No file matches '**'."]
    await files.write("a.md", "x")
    assert await files.list() == ["a.md\t1"]


async def test_a_file_is_read(files: Files) -> None:
    fill(files.folder, docs__a_md="Olá\n", empty_md="")

    assert await files.read("docs/a.md") == "Olá\n"
    assert await files.read("empty.md") == "(empty)"


async def test_a_long_file_is_read_in_parts_that_split_no_character(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "RESULT_BYTES", 101)
    text = "".join(f"{n} 😀é " for n in range(100))
    fill(files.folder, a_md=text)
    read, offset, pages = "", 0, 0
    while True:
        page, marker, said = (await files.read("a.md", offset)).partition("\n[bytes ")
        read, pages = read + page, pages + 1
        if not marker:
            break
        offset = int(said.partition("offset=")[2].partition(" ")[0])

    assert read == text
    assert pages > len(text.encode()) // 101


async def test_an_offset_within_a_character_begins_at_the_next_one(files: Files) -> None:
    fill(files.folder, a_md="😀b")

    assert await files.read("a.md", 1) == "b"


async def test_an_offset_beyond_the_end_tells_the_size(files: Files) -> None:
    fill(files.folder, a_md="abc")

    with pytest.raises(ToolRejected, match="has only 3 bytes"):
        await files.read("a.md", 3)


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0", b"text\0text", "Olá".encode("utf-16"), b"caf\xe9"]
)
async def test_what_is_not_text_is_refused(files: Files, data: bytes) -> None:
    (files.folder / "a.bin").write_bytes(data)

    with pytest.raises(ToolRejected, match="not a text file in UTF-8"):
        await files.read("a.bin")


async def test_what_is_no_file_cannot_be_read(files: Files) -> None:
    fill(files.folder, docs__a_md="x")
    os.mkfifo(files.folder / "pipe")

    for path, why in {
        "docs": "is not a file",
        "": "is not a file",
        "pipe": "is not a file",
        "gone.md": "does not exist",
        "docs/a.md/b": "does not exist",
    }.items():
        with pytest.raises(ToolRejected, match=why):
            await files.read(path)


OUTSIDE = (
    "../secret.txt",
    "docs/../../secret.txt",
    "docs/../a.md",
    "/etc/hostname",
    "link.txt",
    "linked/secret.txt",
    "loop",
    "..",
    "a\0b",
    "a\nb",
    "half\ud83d",
    "x" * 300,
    "x/" * 600,
)


@pytest.mark.parametrize("path", OUTSIDE)
async def test_nothing_outside_the_workspace_is_read_or_written(files: Files, path: str) -> None:
    outside = files.folder.parent
    (outside / "secret.txt").write_text("secret")
    fill(files.folder, docs__a_md="x")
    (files.folder / "link.txt").symlink_to(outside / "secret.txt")
    (files.folder / "linked").symlink_to(outside)
    (files.folder / "loop").symlink_to("loop")

    with pytest.raises(ToolRejected):
        await files.read(path)
    with pytest.raises(ToolRejected):
        await files.write(path, "mine")
    assert [line for line in await files.list("**") if "secret" in line or "link" in line] == []
    assert sorted(p.name for p in outside.iterdir()) == ["secret.txt", "workspace"]
    assert (outside / "secret.txt").read_text() == "secret"


@pytest.mark.parametrize("pattern", ["../**", "/etc/*", "docs/../../*", "a\0*"])
async def test_no_pattern_looks_outside(files: Files, pattern: str) -> None:
    with pytest.raises(ToolRejected):
        await files.list(pattern)


async def test_a_link_within_the_workspace_is_followed(files: Files) -> None:
    fill(files.folder, docs__a_md="x")
    (files.folder / "now.md").symlink_to("docs/a.md")
    await files.write("now.md", "y")

    assert await files.read("now.md") == "y"
    assert (files.folder / "docs/a.md").read_text() == "y"
    assert await files.list() == ["docs/a.md\t1", "now.md\t1"]


async def test_a_written_file_is_there_as_a_whole_with_its_folders_and_its_rights(files: Files) -> None:
    fill(files.folder, old_md="old")
    (files.folder / "old.md").chmod(0o640)

    assert await files.write("a/b/new.md", "Olá") == "Wrote 4 bytes to a/b/new.md."
    await files.write("old.md", "newer")
    await files.write("old.md", "newer")

    assert (files.folder / "a/b/new.md").read_text() == "Olá"
    assert ((files.folder / "old.md").read_text(), (files.folder / "old.md").stat().st_mode & 0o777) == (
        "newer",
        0o640,
    )
    assert sorted(p.name for p in files.folder.iterdir()) == ["a", "old.md"]


async def test_a_failed_write_leaves_the_old_file_and_no_rest(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(files.folder, a_md="old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        await files.write("a.md", "new")

    assert [(p.name, p.read_text()) for p in files.folder.iterdir()] == [("a.md", "old")]


async def test_a_file_cannot_replace_a_folder_nor_pass_through_a_file(files: Files) -> None:
    fill(files.folder, docs__a_md="x")

    for path in ("docs", "", "docs/a.md/b"):
        with pytest.raises(ToolRejected):
            await files.write(path, "x")
    assert await files.list() == ["docs/a.md\t1"]


# --- the preview of a write -------------------------------------------------------------------------------------------


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def test_the_preview_of_a_new_file_is_its_size_and_its_text(files: Files) -> None:
    assert files.preview("a/new.md", "Olá\n") == "New file a/new.md, 5 bytes:\n\nOlá\n"
    assert list(files.folder.iterdir()) == []


def test_the_preview_of_a_change_is_what_differs(files: Files) -> None:
    old = "".join(f"{n}\n" for n in range(20))
    fill(files.folder, a_md=old)

    assert files.preview("a.md", old.replace("10\n", "ten\n")) == (
        f"Replaces a.md (50 bytes, sha256 {sha(old.encode())}) by 51 bytes:\n\n"
        "@@ -8,7 +8,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13"
    )
    assert (files.folder / "a.md").read_text() == old


def test_the_preview_says_where_nothing_would_change(files: Files) -> None:
    fill(files.folder, a_md="same")

    assert files.preview("a.md", "same") == (
        f"a.md has this very content already (4 bytes, sha256 {sha(b'same')}). Nothing would change."
    )


@pytest.mark.parametrize("now", ["new", "x\nother\nlast", "x\nold\nlast\n", "x\r\nold\nlast", None], ids=repr)
def test_a_file_that_has_changed_meanwhile_has_another_preview(files: Files, now: str | None) -> None:
    """Also where the difference to what will be written looks the same."""
    fill(files.folder, a_md="x\nold\nlast")
    before = files.preview("a.md", "x\nnew\nlast")
    (files.folder / "a.md").unlink()
    if now is not None:
        (files.folder / "a.md").write_bytes(now.encode())

    assert files.preview("a.md", "x\nnew\nlast") != before


def test_only_the_ends_of_lines_may_differ(files: Files) -> None:
    fill(files.folder, a_md="one\ntwo\n")

    assert files.preview("a.md", "one\r\ntwo\r\n").endswith("by 10 bytes:\n\nOnly the ends of lines differ.")


@pytest.mark.parametrize(
    ("old", "reason"),
    [
        (b"\xff\xfe\x00", "it is not text"),
        (b"a\0b", "it is not text"),
        (b"x" * (activities.toolbox.change.COMPARED_BYTES + 1), "it is too long"),
        (b"\n" * (activities.toolbox.change.COMPARED_LINES + 1), "there are too many lines"),
    ],
    ids=["bytes", "with a zero", "long", "many lines"],
)
def test_what_cannot_be_compared_is_named_by_size_and_digest(files: Files, old: bytes, reason: str) -> None:
    (files.folder / "a.bin").write_bytes(old)

    assert files.preview("a.bin", "new") == (
        f"Replaces a.bin ({len(old):,} bytes, sha256 {sha(old)}; not compared: {reason}) by 3 bytes:\n\nnew"
    )


def test_a_file_that_may_not_be_read_is_named_by_its_size(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> int:
        raise PermissionError

    fill(files.folder, a_md="secret")
    monkeypatch.setattr(os, "open", denied)

    assert files.preview("a.md", "new") == (
        "Replaces a.md (6 bytes; not compared: it may not be read by this worker) by 3 bytes:\n\nnew"
    )


def test_long_lines_of_a_difference_are_cut(files: Files) -> None:
    fill(files.folder, a_md="x" * 1000)
    preview = files.preview("a.md", "y" * 1000)

    assert f"\n-{'x' * 198}…\n+{'y' * 198}…" in preview


@pytest.mark.parametrize("path", ["docs", "../out.md", ".env", "/etc/passwd"])
def test_a_write_that_would_be_rejected_is_rejected_in_its_preview(files: Files, path: str) -> None:
    fill(files.folder, docs__a_md="x")

    with pytest.raises(ToolRejected):
        files.preview(path, "x")
