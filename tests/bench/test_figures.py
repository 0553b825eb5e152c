"""Figures of the benchmark, computed by hand: medians, ratios, means, speeds."""

from __future__ import annotations

import time

import numpy as np
import pytest

from smsr_bench import measure, report
from smsr_bench.engines import ENGINES, OURS
from smsr_bench.measure import Timing
from smsr_bench.report import Results, Row
from smsr_bench.runs import Run

ROUNDS = Timing({"native": [1.0, 2.0, 4.0], "rival": [2.0, 8.0, 8.0]}, [1e11, 3e11, 8e11])


def test_a_ratio_is_how_many_times_longer_the_rival_takes_round_by_round() -> None:
    """Rounds give 2, 4 and 2; the medians' own ratio would be 4, and the wrong way round 1/2."""
    assert ROUNDS.ratio("rival", "native") == 2.0
    assert ROUNDS.ratio("native", "rival") == 0.5
    assert (ROUNDS.median("native"), ROUNDS.median("rival"), ROUNDS.peak) == (2.0, 8.0, 3e11)


def test_rounds_of_several_passes_stay_paired() -> None:
    merged = measure.merged([ROUNDS, Timing({"native": [10.0], "rival": [30.0]}, [5e11])])
    assert merged.seconds == {"native": [1.0, 2.0, 4.0, 10.0], "rival": [2.0, 8.0, 8.0, 30.0]}
    assert merged.peaks == [1e11, 3e11, 8e11, 5e11]
    assert merged.ratio("rival", "native") == 2.5


def test_every_round_runs_every_engine_once_after_one_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still but for the engines themselves: 3 s and 5 s, and pauses, which are not timed."""
    calls, now = [], [0.0]

    def engine(name: str, seconds: float) -> Run:
        def run(image: np.ndarray) -> np.ndarray:
            calls.append(name)
            now[0] += seconds
            return image

        return run

    def pause(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "sleep", pause)
    runs = {"a": engine("a", 3.0), "b": engine("b", 5.0)}
    timing = measure.time_engines(runs, np.zeros((1, 3, 2, 2), np.float32), 2, lambda: 7.0)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert timing.seconds == {"a": pytest.approx([3.0, 3.0]), "b": pytest.approx([5.0, 5.0])}
    assert timing.peaks == [7.0, 7.0]


def row(name: str, ours: float, ratio: float) -> Row:
    """200 x 100 pixels, 6 of 20 GMAC, on a machine of 100 GMAC/s."""
    return Row(
        name, 200, 100, 3, [0.2, 0.4], 6.0, 20.0, 1e11, {OURS: ours, "rival": ratio * ours}, {OURS: 1.0, "rival": ratio}
    )


ROWS = [row("first", 0.5, 2.0), row("second", 0.1, 8.0)]


def test_the_mean_of_ratios_is_the_geometric_one() -> None:
    """Of 2 and 8 it is 4, the arithmetic one 5, the harmonic one 3.2."""
    assert report.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert "(4.00x)" in report.summary(ROWS, [OURS, "rival"])


def test_an_engine_that_did_not_run_everywhere_is_averaged_over_where_it_did_and_says_so() -> None:
    alone = Row("third", 200, 100, 3, [0.2, 0.4], 6.0, 20.0, 1e11, {OURS: 0.5}, {OURS: 1.0})
    assert "(4.00x, 2 of 3)" in report.summary([*ROWS, alone], [OURS, "rival"])


def test_speeds_and_shares_of_a_row() -> None:
    first = ROWS[0]
    assert first.megapixels == pytest.approx(0.02) and first.active_share == pytest.approx(0.3)
    assert first.gmacs_per_second() == pytest.approx(12.0) and first.gmacs_per_second("rival") == pytest.approx(6.0)
    assert first.of_peak() == pytest.approx(0.12) and first.of_peak("rival") == pytest.approx(0.06)


def cells(table: str, name: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_tables_show_these_figures() -> None:
    engines = [OURS, "rival"]
    expected = ["first", "200x100", "0.30", "6.0 / 20.0", "500", "12", "12 %", "1000 (2.00x)"]
    assert cells(report.summary(ROWS, engines), "first") == expected
    details = report.details(ROWS[:1], engines).splitlines()[3]
    assert [cell.strip() for cell in details.strip("|").split("|")][2:] == ["1000", "2.00", "6", "6 %"]
    assert cells(report.modules(ROWS), "first") == ["first", "0.200", "0.400", "0.300"]
    # 500 ms for 0.02 megapixels
    assert cells(report.series(ROWS[:1], engines), "200x100") == [
        "200x100", "0.02", "0.30", "6.0", "500", "1000", "25000", "2.00",
    ]  # fmt: skip
    largest = Row(**{**vars(ROWS[0]), "memory": {OURS: 3 << 20, "rival": 12 << 20}})
    assert cells(report.memory([largest], engines), ENGINES[OURS].label)[1:] == ["3", "0.25"]
    assert report.memory(ROWS, engines) == ""


def test_the_report_has_a_headline_and_its_facts() -> None:
    facts = {"processor": "Test CPU", "threads": 2, "onnxruntime": "1.32"}
    text = report.markdown(Results(facts, [OURS, "rival"], ROWS, shares=ROWS, sizes=ROWS, span_macs=409_680))
    assert "Test CPU, 2 threads, medians of 3 interleaved rounds, peak 100 GMAC/s float32" in text
    assert "- onnxruntime: 1.32" in text and "## Sizes" in text and "## Other active shares" in text
    assert report.NOT_EXACT in text and "## Peak memory" not in text
