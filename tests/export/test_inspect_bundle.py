"""The bundle of Inspect logs with their viewer."""

import json
from pathlib import Path

from emgrid.export import inspect_bundle
from inspect_ai.log import read_eval_log
from support.inspect_logs import log, sample, saved
from support.run import run_module


def test_a_static_server_can_show_the_logs(tmp_path: Path) -> None:
    (tmp_path / "inspect").mkdir()
    saved(tmp_path / "inspect", log(sample()))
    (tmp_path / "inspect-bundle").mkdir()
    (tmp_path / "inspect-bundle/of-an-old-log").write_text("old")
    done = run_module(inspect_bundle, "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "inspect-bundle"
    assert "<script" in (folder / "index.html").read_text()
    listed = json.loads((folder / "logs/listing.json").read_text())
    assert list(listed) == ["theirs.eval"]
    assert read_eval_log(folder / "logs/theirs.eval").status == "success"
    assert not (folder / "of-an-old-log").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"inspect", "inspect-bundle"}
