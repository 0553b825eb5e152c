"""Says in one line what a test run skipped: `python tools/skipped.py REPORT.xml`, a report of pytest's --junit-xml.

Reasons are counted, in their own words; make test ends with this line.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        got = " ".join(arguments) or "none"
        print(
            f"skipped: error: expected a report of pytest --junit-xml, got {got}; make test writes one", file=sys.stderr
        )
        return 2
    print(line(reasons(Path(arguments[0]))))
    return 0


def reasons(report: Path) -> Counter[str]:
    """Reason -> how many tests were skipped for it."""
    entries = ElementTree.parse(report).iter("skipped")
    return Counter(re.sub(r"^Skipped: ", "", entry.get("message", "no reason given")) for entry in entries)


def line(counted: Counter[str]) -> str:
    parts = [f"{reason} ({count})" if count > 1 else reason for reason, count in sorted(counted.items())]
    return f"skipped tests: {counted.total()}{': ' if parts else ''}{'; '.join(parts)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
