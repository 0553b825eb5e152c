"""smsr-bench --submit: one machine's entry, its row, and the page made from all entries."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from smsr.network import NetworkConfig
from smsr_bench import cli, power, submission
from smsr_export.parity.pictures import own_pictures
from smsr_export.writing import ExportRequest, export
from tests.helpers import REPOSITORY, random_network, run_python
from tests.training.helpers import write_pictures

ENTRY = {
    "machine": {"processor": "A CPU", "cores": 4, "threads": 2, "kernels": "avx2", "versions": "smsr 0.1.0"},
    "power": {"mode": "performance", "watts": {"package-0": 12.34, "VDD_IN": 5.0}},
    "picture": {"name": "baby", "width": 256, "height": 128, "share": 0.178},
    "rounds": 20,
    "seconds": {
        "fp32": {"network": {"median": 0.1, "p95": 0.1204}, "with files": {"median": 0.2, "p95": 0.25}},
        "int8, dense rival": {"network": {"median": 0.3, "p95": 0.4}, "with files": {"median": 0.5, "p95": 0.6}},
    },
}


def test_an_entry_s_row_has_its_facts_and_leaves_out_what_the_machine_lacks() -> None:
    assert submission.row(ENTRY) == [
        "A CPU", "2", "avx2", "performance", "package-0 12.3, VDD_IN 5.0", "baby 256x128, active 0.18",
        "100 / 120 (with files: 200 / 250)", "", "300 / 400 (with files: 500 / 600)",
    ]  # fmt: skip
    quiet = {**ENTRY, "power": {"mode": "not readable", "watts": {}}}
    assert submission.row(quiet)[3:5] == ["not readable", "not readable"]


def test_a_measured_entry_is_written_and_becomes_a_row_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "LEAST_ROUNDS", 3)
    network = random_network(
        NetworkConfig(2, 16, 2, 3), seed=3, splits=[[(5, 0), (0, 3), (16, 0)], [(0, 0), (9, 7), (1, 2)]]
    )
    torch.save(network.state_dict(), tmp_path / "small.pt")
    export(network, ExportRequest(tmp_path / "small.pt", tmp_path / "small.smsr", own_pictures(2)))
    pictures = write_pictures(tmp_path / "pictures", 1, (20, 26))
    entry = tmp_path / "entries" / "small.json"
    words = [tmp_path / "small.smsr", pictures, "--engines", "rival", "--rounds", "1", "--threads", "1"]
    assert cli.main([*map(str, words), "--submit", str(entry)]) == 0
    written = json.loads(entry.read_text())
    assert written["picture"] | {"share": 0} == {"name": "p0", "width": 26, "height": 20, "share": 0}
    assert set(written["seconds"]) == {"fp32"} and written["rounds"] == 3
    network_alone, with_files = written["seconds"]["fp32"].values()
    assert 0 < network_alone["median"] <= network_alone["p95"] and with_files["median"] > 0
    printed = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in printed[2].strip("|").split("|")]
    assert cells == submission.row(written)

    tool = REPOSITORY / "tools" / "machines_table.py"
    assert run_python(tool, "--folder", entry.parent, cwd=tmp_path).returncode == 1
    assert run_python(tool, "--folder", entry.parent, "--write", cwd=tmp_path).returncode == 0
    assert run_python(tool, "--folder", entry.parent, cwd=tmp_path).returncode == 0
    page = (entry.parent / "README.md").read_text()
    assert "[small](small.json)" in page and cells[-3] in page
    (entry.parent / "other.json").write_text('{"machine": {}}')
    done = run_python(tool, "--folder", entry.parent, cwd=tmp_path)
    assert done.returncode == 1 and "other.json: expected an entry of smsr-bench --submit, got KeyError" in done.stderr


def test_the_repository_s_page_is_that_of_its_entries() -> None:
    done = run_python(REPOSITORY / "tools" / "machines_table.py", cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_watts_come_from_rapl_s_counter_also_when_it_begins_again_and_from_ina_s_rails(tmp_path: Path) -> None:
    zone = tmp_path / "class" / "powercap" / "intel-rapl:0"
    rail = tmp_path / "bus" / "i2c" / "drivers" / "ina3221" / "1-0040" / "hwmon" / "hwmon3"
    for folder in (zone, rail):
        folder.mkdir(parents=True)
    files = {zone / "name": "package-0", zone / "energy_uj": "9000000", zone / "max_energy_range_uj": "10000000"}
    files |= {rail / "in1_label": "VDD_IN", rail / "in1_input": "5000", rail / "curr1_input": "2500"}
    for file, text in files.items():
        file.write_text(f"{text}\n")

    def work() -> None:
        time.sleep(0.3)
        (zone / "energy_uj").write_text("3000000\n")  # from 9 J over 10 J to 3 J: 4 J

    start = time.monotonic()
    measured = power.watts(work, 0.1, tmp_path)
    elapsed = time.monotonic() - start
    assert measured["VDD_IN"] == pytest.approx(12.5)
    assert 4 / elapsed <= measured["package-0"] <= 4 / 0.3
    assert power.watts(work, 0.0, tmp_path / "nothing") == {}


def test_the_power_mode_is_the_governor_and_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert power.mode(tmp_path) == "not readable"
    governor = tmp_path / "devices" / "system" / "cpu" / "cpu0" / "cpufreq" / "scaling_governor"
    profile = tmp_path / "firmware" / "acpi" / "platform_profile"
    for file, text in ((governor, "powersave\n"), (profile, "balanced\n")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert power.mode(tmp_path) == "powersave, balanced"
    nvpmodel = tmp_path / "nvpmodel"
    nvpmodel.write_text("#!/bin/sh\necho 'NV Power Mode: MAXN'\necho 0\n")
    nvpmodel.chmod(0o755)
    assert power.mode(tmp_path) == "MAXN"
