"""The last line of `make test`: how many tests were skipped, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import skipped

REPORT = """<testsuites><testsuite>
<testcase name="a"><skipped type="pytest.skip" message="no nvcc">file: Skipped</skipped></testcase>
<testcase name="b"><skipped type="pytest.skip" message="Skipped: no nvcc"/></testcase>
<testcase name="c"><skipped type="pytest.skip" message="TENSORRT_INCLUDE is not set"/></testcase>
<testcase name="d"/>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (REPORT, "skipped tests: 3: TENSORRT_INCLUDE is not set; no nvcc (2)\n"),
        ("<testsuites><testsuite><testcase/></testsuite></testsuites>", "skipped tests: 0\n"),
    ],
)
def test_skipped_tests_are_counted_by_reason(
    report: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tests.xml").write_text(report)
    assert skipped.main([str(tmp_path / "tests.xml")]) == 0
    assert capsys.readouterr().out == line


def test_without_a_report_one_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert skipped.main([str(tmp_path / "none.xml")]) == 2
    assert "none.xml; make test writes one" in capsys.readouterr().err
