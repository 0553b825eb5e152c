"""Copies of installed packages that see a CPU without AVX-512, to time their AVX2 code on a CPU that has it.

`python tools/hide_avx512.py onnxruntime openvino -o FOLDER`, then `PYTHONPATH=FOLDER SMSR_CPU=avx2 smsr-bench ...`.
Libraries ask by XGETBV whether the operating system saves the registers of AVX-512; in the copies that instruction is
replaced by "no" (only x87, SSE and AVX). Needs Linux on x86-64 and objdump (binutils). The copies are for timing only.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

XGETBV = bytes.fromhex("0f01d0")
ONLY_AVX = bytes.fromhex("6a0758")
"""push 7; pop rax: bits 0, 1 and 2 of XCR0, in as many bytes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code. Errors are one line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="an installed Python package")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER", help="where the copies go")
    options = parser.parse_args(arguments)
    if shutil.which("objdump") is None:
        return _refuse("objdump: expected it on PATH, got none; install binutils")
    for name in options.packages:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            return _refuse(f"{name}: expected an installed package, got none; install it with pip")
        copy = options.output / name
        if copy.exists():
            return _refuse(f"{copy}: expected no such folder yet, got one; remove it or choose another -o")
        shutil.copytree(spec.submodule_search_locations[0], copy, symlinks=True)
        for library in sorted(path for path in copy.rglob("*.so*") if path.is_file() and not path.is_symlink()):
            if count := hide(library):
                print(f"{library.relative_to(options.output)}: {count} replaced")
    return 0


def hide(library: Path) -> int:
    """Replaces every XGETBV in a shared library's code; returns how many."""
    data = bytearray(library.read_bytes())
    if XGETBV not in data:
        return 0
    code = list(_code(_objdump("--section-headers", "--wide", str(library))))
    places = [
        address - start + offset
        for address in instructions(_objdump("--disassemble", "--no-show-raw-insn", str(library)))
        for start, size, offset in code
        if start <= address < start + size
    ]
    for place in places:
        assert data[place : place + 3] == XGETBV  # where objdump says
        data[place : place + 3] = ONLY_AVX
    library.write_bytes(data)
    return len(places)


def instructions(disassembly: str) -> Iterator[int]:
    """Addresses of XGETBV: the bytes alone also occur inside other instructions and in data."""
    for line in disassembly.splitlines():
        address, _, instruction = line.partition(":")
        if instruction.strip() == "xgetbv":
            yield int(address, 16)


def _code(headers: str) -> Iterator[tuple[int, int, int]]:
    """Address, size and file offset of each section with code."""
    for line in headers.splitlines():
        if match := re.match(r"\s*\d+ \S+\s+(\w+)\s+(\w+)\s+\w+\s+(\w+)\s.*CODE", line):
            size, start, offset = (int(number, 16) for number in match.groups())
            yield start, size, offset


def _objdump(*arguments: str) -> str:
    return subprocess.run(["objdump", *arguments], capture_output=True, text=True, check=True).stdout


def _refuse(message: str) -> int:
    print(f"hide_avx512.py: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
