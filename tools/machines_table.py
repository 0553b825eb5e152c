"""docs/benchmark/machines/README.md, made from the entries beside it, which `smsr-bench --submit` writes.

`python tools/machines_table.py --write` after a new entry; without --write it only compares, as a test does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from smsr_bench import submission

MACHINES = Path(__file__).parent.parent / "docs" / "benchmark" / "machines"
TEXT = """# Machines

Times are milliseconds, median / 95th percentile of the network alone, in brackets with reading the picture and writing
a PNG. smsr in float32 and bf16; int8 is the dense rival in OpenVINO ([ADR 7](../../adr/0007-int8.md)). Yours, by a pull
request with the file and the page; NAME is the processor and its power mode, no host name:

```sh norun: minutes of timing, and a table of yours
smsr-bench SMSR_X2.smsr baby.png --submit docs/benchmark/machines/NAME.json
python tools/machines_table.py --write
```

{table}
"""


def page(folder: Path) -> str:
    """The page for the entries of a folder, in order of their names. Raises SystemExit for a file that is no entry."""
    rows = []
    for file in sorted(folder.glob("*.json")):
        try:
            rows.append([f"[{file.stem}]({file.name})", *submission.row(json.loads(file.read_text()))])
        except (ValueError, KeyError, TypeError) as error:
            got = f"{type(error).__name__}: {error}"
            raise SystemExit(
                f"{file}: expected an entry of smsr-bench --submit, got {got}; measure it again"
            ) from error
    table = tabulate(rows, ["entry", *submission.HEADER], tablefmt="github", disable_numparse=True)
    return TEXT.format(table=table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the page")
    parser.add_argument(
        "--folder", type=Path, default=MACHINES, help="of the entries; default: docs/benchmark/machines"
    )
    options = parser.parse_args(arguments)
    made, file = page(options.folder), options.folder / "README.md"
    if options.write:
        file.write_text(made)
    elif not file.is_file() or file.read_text() != made:
        print(f"{file}: expected the table of its entries, got another; run with --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
