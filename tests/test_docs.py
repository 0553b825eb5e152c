"""The documents: commands run; options, links and paths exist; nothing refers outside of the repository.

Fenced blocks `sh` and `python` of every Markdown file run in a folder of their own with small pictures drawn by our own
code: `photo.png`, `photos/`, `Set5/`, `clip.mp4`. A block that cannot run says why behind its language, as in
`sh norun: needs a GPU`; its options are checked all the same.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import cv2
import pytest

from smsr import contract, resize
from smsr_export.sample import sample_picture
from tests.helpers import REPOSITORY
from tests.runtime.video import rgb_frames, write_clip

SKIPPED = ("build", "dist", "demo", "__pycache__")
LANGUAGES = ("sh", "python", "cpp", "json", "text")
COMMAND = re.compile(r"\s*(?:make|pip|python3?|smsr-\w+|cmake|docker|sudo|torchrun|export|git|ctest)\s")
SOURCE = ("py", "h", "cpp", "cu", "cuh", "inc", "md", "sh", "cmake", "toml", "Dockerfile")
"""Endings of files that must be in the repository where a document names them."""
OUTSIDE = (
    re.compile(r"\bDESIGN(?:\.md|[ ,]*\d)"),
    re.compile(r"(?<!LLVM )\b[Ii]ssue #?\d"),
    re.compile(r"shared/design|/tmp/house"),
    re.compile(r'(?<![\w:".$}])/work\b'),  # docker/ mounts the user's folder there
)
ELSEWHERE = ("docs/operators.md",)
"""Files of other projects that our sources name: the operators' list of onnx-tensorrt."""
PRELUDE = "import cv2\nrgb = cv2.imread('photo.png')[..., ::-1]\n"


@dataclass(frozen=True)
class Block:
    """A fenced block: language, why it does not run ('' where it does), text, line of its fence."""

    language: str
    norun: str
    text: str
    line: int


def tree(ending: str = "") -> list[str]:
    """Files of the repository as relative paths, those of hidden and build folders left out."""
    names: list[str] = []
    for folder, folders, files in os.walk(REPOSITORY):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED]
        where = Path(folder).relative_to(REPOSITORY)
        names += [(where / name).as_posix() for name in files if name.endswith(ending)]
    return sorted(names)


DOCUMENTS = [name for name in tree(".md") if not (REPOSITORY / name).is_symlink()]


@cache
def known() -> frozenset[str]:
    """All files and folders, relative to the repository."""
    files = tree()
    return frozenset(files) | {str(parent) for name in files for parent in Path(name).parents}


def read(document: str) -> str:
    return (REPOSITORY / document).read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[Block]:
    pattern = re.compile(r"^[ ]*```(\w*)(?: norun: ([^\n]+))?\n(.*?)^[ ]*```$", re.M | re.S)
    for match in pattern.finditer(text):
        language, norun, body = match.groups()
        yield Block(language, norun or "", body, text[: match.start()].count("\n") + 1)


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^[ ]*```.*?^[ ]*```$", "", text, flags=re.M | re.S)


def spans(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(text))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_blocks_say_what_they_are(document: str) -> None:
    text = read(document)
    assert text.count("```") == 2 * len(list(blocks(text))), (
        "a fence that is not closed, or with unknown words behind it"
    )
    unknown = [f"line {block.line}: {block.language!r}" for block in blocks(text) if block.language not in LANGUAGES]
    bare = [line for line in prose(text).splitlines() if line.startswith("    ") and COMMAND.match(line)]
    assert not unknown, f"expected one of {LANGUAGES} behind the fence"
    assert not bare, "expected commands in a fenced block, so that they are run"


def runnable(document: str) -> bool:
    return any(block.language in ("sh", "python") and not block.norun for block in blocks(read(document)))


def test_some_commands_run() -> None:
    assert {"README.md", "docs/README.md", "docs/training.md"} <= {
        document for document in DOCUMENTS if runnable(document)
    }


@pytest.mark.slow
@pytest.mark.parametrize("document", [document for document in DOCUMENTS if runnable(document)])
def test_commands_run(document: str, tmp_path: Path) -> None:
    provide(tmp_path)
    run = [block for block in blocks(read(document)) if not block.norun]
    script = "set -eux\n" + "".join(block.text for block in run if block.language == "sh")
    done = in_shell(["bash", "-c", script], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    code = PRELUDE + "".join(block.text for block in run if block.language == "python")
    done = in_shell(["python", "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


def provide(folder: Path) -> None:
    """What the documents' examples name."""
    for name in ("runtime", "tools", "plugins", "docs"):
        (folder / name).symlink_to(REPOSITORY / name)
    high = sample_picture(64, 80)
    pictures = {f"photos/{seed}.png": sample_picture(64, 80, seed) for seed in range(3)}
    pictures |= {"Set5/HR/drawn.png": high, "Set5/LR_bicubic/X2/drawnx2.png": resize.downscale(high, 2)}
    for name, picture in {**pictures, "photo.png": sample_picture(30, 40)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), picture[..., ::-1])
    write_clip(folder / "clip.mp4", rgb_frames(10))


def in_shell(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `command` with our commands on PATH, each over this interpreter and these sources."""
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    lines = {"python": "", "python3": ""} | {
        name: f' -c "import sys; from {module} import {function}; sys.exit({function}())"'
        for name, (module, function) in scripts().items()
    }
    for name, line in lines.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{line} "$@"\n')
        (programs / name).chmod((programs / name).stat().st_mode | stat.S_IXUSR)
    packages = [str(REPOSITORY / part) for part in ("", "export", "runtime", "benchmarks")]
    environment = {
        **os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(packages),
        "COLUMNS": "200", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    path = str(programs / command[0]) if command[0] in lines else command[0]
    return subprocess.run(
        [path, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def scripts() -> dict[str, tuple[str, str]]:
    """Our commands, with the module and the function that each starts, from both distributions."""
    projects = read("pyproject.toml") + read("runtime/pyproject.toml")
    found = re.findall(r'^(smsr-\w+) = "([\w.]+):(\w+)"$', projects, re.M)
    return {name: (module, function) for name, module, function in found}


def command_lines(text: str) -> Iterator[str]:
    """Commands of shell blocks, continued lines joined, comments cut off, and of the text's backticks."""
    for block in blocks(text):
        if block.language == "sh":
            joined = block.text.replace("\\\n", " ")
            yield from (line.split(" #")[0] for line in re.split(r"\n|&&", joined))
    yield from spans(text)


def named_options() -> dict[str, set[str]]:
    """Per command of ours (smsr-train pack and weights apart) the options that documents give it."""
    named: dict[str, set[str]] = {}
    for document in DOCUMENTS:
        for line in command_lines(read(document)):
            command = re.sub(r"^\s*(?:\S*python3? )?(?:runtime/)?run\.py ", "smsr-run ", line)
            match = re.match(r"\s*(smsr-(?:train (?:pack|weights)|\w+))(.*)", command)
            if match and match[1].split()[0] in scripts():
                named.setdefault(match[1], set()).update(re.findall(r"(?<!\S)--[a-z][\w-]*", match[2]))
    return named


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name, options in sorted(named_options().items()) if options])
def test_options_exist(command: str, tmp_path: Path) -> None:
    text = in_shell([*command.split(), "--help"], tmp_path).stdout
    missing = {option for option in named_options()[command] if not re.search(rf"{option}(?![\w-])", text)}
    assert not missing, f"documents name options that {command} does not have"


def test_make_targets_and_cmake_options_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.M))
    cmake = "".join(read(name) for name in tree("CMakeLists.txt")) + "".join(read(name) for name in tree(".cmake"))
    for document in DOCUMENTS:
        for line in command_lines(read(document)):
            if match := re.match(r"\s*make ([a-z-]+)", line):
                assert match[1] in targets, f"{document}: make {match[1]}"
            for option in re.findall(r"-D((?:SMSR|ONNXRUNTIME|TENSORRT)\w+)", line):
                assert option in cmake, f"{document}: -D{option}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", prose(read(document))) if "://" not in target]
    folder = (REPOSITORY / document).parent
    for target in targets:
        path, _, anchor = target.partition("#")
        file = folder / path if path else REPOSITORY / document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), f"{target}: no such heading"


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a document: lower case, blanks as dashes, no other punctuation."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_anchors_are_those_of_github() -> None:
    assert anchors("# 6. Or in a `container`\n## bf16, NEON's\n") == {"6-or-in-a-container", "bf16-neons"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_exist(document: str) -> None:
    named = [
        span.rstrip("/") for span in spans(read(document)) if re.fullmatch(r"\w[\w{},*+-]*[./][\w.{},*/+-]*", span)
    ]
    folder = Path(document).parent
    assert not [path for path in named if of_the_repository(path, folder) and not exists(path, folder)]


def of_the_repository(path: str, folder: Path) -> bool:
    """Whether `path`, in a document of `folder`, means a file of ours and not a user's."""
    first = path.split("/", maxsplit=1)[0]
    ours = first in known() or (folder / first).as_posix() in known()
    return path.rsplit(".", 1)[-1] in SOURCE or ("/" in path and ours)


def exists(path: str, folder: Path) -> bool:
    """From the root, the document's folder or as the end of a path; NAME stands for any name, {a,b} for both."""
    if braces := re.search(r"\{([^{}]*)\}", path):
        return all(exists(path.replace(braces[0], part, 1), folder) for part in braces[1].split(","))
    pattern = re.sub(r"[A-Z]{2,}(?=\.)|(?<=_)[A-Z]{2,}", "*", path) if path not in known() else path
    if any(part in (".so", ".dylib", ".dll") for part in Path(path).suffixes):
        return True  # built, not committed
    wanted = (pattern, (folder / pattern).as_posix(), f"*/{pattern}")
    return any(fnmatch(name, form) for form in wanted for name in known())


def sources() -> list[str]:
    texts = [name for name in tree() if name.rsplit(".", 1)[-1] in SOURCE or name in ("Makefile", "pyproject.toml")]
    return [name for name in texts if name != "tests/test_docs.py"]


def test_paths_in_sources_exist() -> None:
    tops = "|".join(sorted({name.split("/")[0] for name in tree() if "/" in name}))
    path = re.compile(rf"(?<![\w./-])(?:{tops})/[\w./-]*\.(?:{'|'.join(SOURCE)})\b(?!\w)")
    real = [name for name in sources() if name != "tests/test_imports.py"]  # which invents files
    named = {(name, os.path.normpath(match)) for name in real for match in path.findall(read(name))}
    assert not [f"{name}: {match}" for name, match in sorted(named) if match not in (*known(), *ELSEWHERE)]


def test_nothing_refers_outside_of_the_repository() -> None:
    references = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in sources()
        for number, line in enumerate(read(name).splitlines(), 1)
        for pattern in (OUTSIDE[:-1] if name.startswith("docker/") else OUTSIDE)
        if pattern.search(line)
    ]
    assert not references


def test_the_parity_table_has_the_contract_s_limits() -> None:
    for precision, allowed in contract.TOLERANCES.items():
        row = next(line for line in read("docs/design.md").splitlines() if line.startswith(f"| {precision} |"))
        numbers = {float(number) for number in re.findall(r"\d[\d.]*(?:e-\d+)?", row.split("|", 2)[2])}
        assert {allowed.flips, allowed.max_abs or allowed.rmse, allowed.psnr_db} <= numbers


def test_the_index_lists_every_page() -> None:
    index = read("docs/README.md")
    pages = [Path(name).relative_to("docs").as_posix() for name in DOCUMENTS if name.startswith("docs/")]
    assert not [page for page in pages if page != "README.md" and f"({page})" not in index]
