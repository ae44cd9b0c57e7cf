"""Other places from which Snakemake may read the workflow."""

import os
import subprocess
import sys
from pathlib import Path

import yaml
from emgrid import ROOT
from support.run import small_config

MODULE = f"""
module emgrid:
    snakefile: "{ROOT}/workflow/Snakefile"
    config: config

use rule * from emgrid as emgrid_*
"""


def dry_run(folder: Path, snakefile: Path) -> subprocess.CompletedProcess[str]:
    (folder / "my.yaml").write_text(yaml.safe_dump(small_config()))
    command = [sys.executable, "-m", "snakemake", "-n", "-s", str(snakefile)]
    command += ["--configfile", "my.yaml", "--cores", "1"]
    environment = {name: os.environ[name] for name in os.environ if "EMGRID" not in name}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_snakefile_of_the_catalog_plans_the_grid_and_writes_nothing(tmp_path: Path) -> None:
    done = dry_run(tmp_path, ROOT / "workflow/Snakefile")
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"]


def test_an_import_as_a_module_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(MODULE)
    done = dry_run(tmp_path, tmp_path / "Snakefile")
    assert done.returncode != 0
    assert (
        "emgrid: emgrid cannot be a module of another workflow; run it from a rule" in done.stderr
    )
    assert "Traceback" not in done.stderr
