"""GPU grids have hours, memory and disk before anything was measured, and say from what."""

from pathlib import Path

import pytest
from emgrid import ROOT
from emgrid.grid.snakefile import read_grid
from emgrid.planning import work_model
from emgrid.planning.estimates import Estimates
from emgrid.runtime.files import write_json

READY = sorted((ROOT / "resources/grids").glob("*.yaml"))
MODELLED = {"train", "sample", "likelihood"}
SEVEN = 7_615_616_512  # parameters of Qwen2.5-7B


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_every_ready_grid_on_a_gpu_has_hours_memory_and_disk(path: Path, tmp_path: Path) -> None:
    grid = read_grid(path)
    estimates = Estimates(grid, tmp_path / "results" / grid.config.name)
    rows = {row.rule: row.hours for row in estimates.rows() if row.rule in MODELLED}
    on_gpu = grid.config.device == "cuda"
    for rule, hours in rows.items():
        assert ("model, not measured" in hours.source) == on_gpu, rule
        if on_gpu:
            assert (hours.value or 0) > 0
    memory = estimates.memory()
    assert bool(memory) == (on_gpu and bool(grid.stages))
    for estimate in memory.values():
        assert (estimate.value or 0) > 1e9
    if on_gpu and grid.stages:
        assert estimates.disk()["adapters"].value


def test_the_hours_are_those_of_a_count_by_hand() -> None:
    """Qwen2.5-7B on 10 million tokens: 6 x 7.6e9 x 1e7 operations at 35 % of 312e12 a second."""
    assert work_model.seconds_per_unit("train", SEVEN) * 1e7 / 3600 == pytest.approx(1.16, abs=0.01)
    # Reading 15.2 GB for 64 tokens takes longer than computing them.
    token = work_model.seconds_per_unit("sample", SEVEN)
    assert token == pytest.approx(2 * SEVEN / (2e12 * 0.3) / 64)
    assert token > 2 * SEVEN / (312e12 * 0.3)


def test_the_size_of_an_adapter_is_near_that_of_its_shapes() -> None:
    """Of rank 32 on Qwen2.5-7B: 28 layers, widths 3584, 512 (keys and values) and 18944."""
    maps = [(3584, 3584), (3584, 512), (3584, 512), (3584, 3584)] + [(3584, 18944)] * 3
    exact = 28 * 32 * sum(map(sum, maps))
    assert work_model.adapter_parameters(SEVEN, 32) == pytest.approx(exact, rel=1 / 3)
    quantised, whole = (work_model.training_bytes(SEVEN, 32, four) for four in (True, False))
    assert quantised < 10e9 < 2 * SEVEN < whole < 30e9


def test_a_record_on_a_gpu_replaces_the_model(tmp_path: Path) -> None:
    grid = read_grid(ROOT / "resources/grids/open-text.yaml")
    root = tmp_path / "results/open-text"
    run = next(iter(grid.stages.values()))
    record = {"device": "cuda (H100)", "tokens": 1000, "epochs": 1, "seconds": 9.0}
    record |= {"step_seconds": 8.0, "spec": {"base": run.base, "training": {"rank": 1}}}
    write_json(root / run.folder / "provenance.json", record)
    hours = {row.rule: row.hours for row in Estimates(grid, root).rows()}
    assert hours["train"].source == "results/open-text"
    assert "model, not measured" in hours["sample"].source
