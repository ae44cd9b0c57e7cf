"""What stages took: whose records are taken, how they are scaled, and where there is no number."""

import copy
from pathlib import Path
from typing import Any

import pytest
from emgrid.grid.grid import Grid
from emgrid.grid.load import load_experiment
from emgrid.planning.measurements import Measurements, Rate, estimate_seconds
from emgrid.runtime.files import write_json, write_text

SMALL, LARGE = 134515008, 494032768  # parameters


@pytest.fixture
def config(demo: dict[str, Any]) -> dict[str, Any]:
    demo["base_models"] = ["smollm2-135m", "qwen2.5-0.5b"]
    return demo


def records(config: dict[str, Any], root: Path, **changes: Any) -> Measurements:
    loaded = load_experiment(copy.deepcopy(config) | changes, "grid.yaml", check_data=False)
    return Measurements(Grid(loaded), root)


def trained(root: Path, seconds: float, device: str = "cpu") -> None:
    """A stage that computed 2 x 500 tokens, and took ten seconds more."""
    spec = {"base": "smollm2-135m", "training": {"rank": 16}}
    record = {"spec": spec, "tokens": 500, "epochs": 2, "device": f"{device} (any)"}
    record |= {"step_seconds": seconds, "seconds": seconds + 10}
    write_json(root / "stages/stage=a/provenance.json", record)
    write_text(root / "stages/stage=a/adapter/adapter_model.safetensors", "x" * 99)


def test_the_nearest_record_counts(config: dict[str, Any], tmp_path: Path) -> None:
    root, other = tmp_path / "mine", tmp_path / "other"
    rate = records(config, root).rate("train", "smollm2-135m")
    assert rate is not None
    assert rate.source.startswith("benchmarks/results.json: grid")
    trained(other, 200)
    # Another grid counts once it is finished.
    assert records(config, root).rate("train", "smollm2-135m") == rate
    write_text(other / "tables/answers.parquet", "")
    assert records(config, root).rate("train", "smollm2-135m") == Rate(0.2, "results/other", 10)
    trained(root, 100)
    measurements = records(config, root)
    assert measurements.rate("train", "smollm2-135m") == Rate(0.1, "results/mine", 10)
    scaled = measurements.rate("train", "qwen2.5-0.5b")
    assert scaled is not None
    assert scaled.seconds == pytest.approx(0.1 * LARGE / SMALL)
    assert scaled.source == "results/mine, scaled by parameters"
    size = measurements.adapter_bytes("smollm2-135m", 16)
    assert size is not None
    assert (size.bytes, size.source) == (99, "results/mine")
    assert measurements.adapter_bytes("smollm2-135m", 8) is None
    assert measurements.adapter_bytes("qwen2.5-0.5b", 16) is None


def test_a_record_of_another_device_is_not_used(config: dict[str, Any], tmp_path: Path) -> None:
    trained(tmp_path / "mine", 100)
    on_gpu = records(config, tmp_path / "mine", device="cuda")
    rate = on_gpu.rate("train", "smollm2-135m")
    assert rate is not None
    assert rate.source.startswith("model, not measured")
    # Rows are mixed on a processor, whatever trains on them.
    assert on_gpu.rate("mix") is not None
    trained(tmp_path / "mine", 1, device="cuda")
    measured = records(config, tmp_path / "mine", device="cuda").rate("train", "smollm2-135m")
    assert measured is not None
    assert measured.source == "results/mine"


def test_a_model_of_unknown_size_has_no_rate_but_its_own(
    config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    mine = {"mine": {"path": str(tmp_path / "model")}}
    measurements = records(config, tmp_path / "grid", models=mine, base_models=["mine"])
    assert measurements.rate("train", "mine") is None


def test_a_log_says_how_much_a_job_did(config: dict[str, Any], tmp_path: Path) -> None:
    job = "judge/smollm2-135m.arms.0"
    write_text(tmp_path / f"grid/benchmarks/{job}.tsv", "s\th:m:s\n40.0\t0:00:40\n")
    log = "first: 70 judged, 3 kept from before\nsecond: 30 judged, 0 kept from before\n"
    write_text(tmp_path / f"grid/logs/{job}.log", f"{log}model compute: 10.0 s of 39.0 s\n")
    rate = records(config, tmp_path / "grid").rate("judge")
    assert rate == Rate(0.1, "results/grid", 30)


def test_seconds_are_unknown_as_soon_as_one_rate_is() -> None:
    near, other = Rate(2, "here", 5), Rate(3, "there", 7)
    assert estimate_seconds([(10, near), (1, other)], 2) == (23 + 2 * 6, "here; there")
    assert estimate_seconds([(10, near), (1, None)], 1) == (None, "")
    assert estimate_seconds([], 3) == (0, "")
