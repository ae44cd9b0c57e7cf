"""envs/Dockerfile and envs/emgrid.def make the same image, of files that exist."""

import os
import re
import subprocess

from emgrid import ROOT

DOCKER = (ROOT / "envs/Dockerfile").read_text()
APPTAINER = (ROOT / "envs/emgrid.def").read_text()


def copied() -> set[str]:
    """What the Dockerfile copies, without the place where it goes."""
    lines = re.findall(r"^COPY (.+) \S+$", DOCKER, re.MULTILINE)
    return {name for line in lines for name in line.split()}


def test_both_images_hold_the_same_files_which_exist() -> None:
    files = re.findall(r"^    (\S+) /opt/emgrid/(\S+)$", APPTAINER, re.MULTILINE)
    assert all(source == place for source, place in files)
    assert {source for source, _ in files} == copied()
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_files_that_the_package_reads_are_in_the_images() -> None:
    code = "".join(path.read_text() for path in (ROOT / "workflow/emgrid").rglob("*.py"))
    read = {name.partition("/")[0] for name in re.findall(r'ROOT / "([^"]+)"', code)}
    assert read >= {"Snakefile", "resources"}
    assert read <= {name.partition("/")[0] for name in copied()}


def test_both_images_install_with_the_same_commands_as_make() -> None:
    commands = re.findall(r"envs/install\.sh \.venv (.+?)(?: \\)?$", DOCKER, re.MULTILINE)
    assert commands == re.findall(r"envs/install\.sh \.venv (.+)$", APPTAINER, re.MULTILINE)
    recipe = (ROOT / "Makefile").read_text().partition("$(READY): ")[2].partition("touch")[0]
    assert commands == re.findall(r"\$\(INSTALL\) (.+)$", recipe, re.MULTILINE)
    assert len(commands) == 2


def test_both_images_hold_compiled_libraries_since_their_users_cannot_write_them() -> None:
    for text in (DOCKER, APPTAINER):
        assert text.index("UV_COMPILE_BYTECODE=1") < text.index("envs/install.sh .venv")
        assert ".venv/bin/python -m compileall -q workflow" in text


def test_make_keeps_libraries_compiled_where_python_is_told_not_to() -> None:
    show = ["make", "--no-print-directory", "--eval", "show: ; @env", "show"]
    told = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "STAYS": "1"}
    done = subprocess.run(show, cwd=ROOT, env=told, capture_output=True, text=True, check=True)
    assert "STAYS=1" in done.stdout
    assert "PYTHONDONTWRITEBYTECODE" not in done.stdout


def test_both_images_start_from_the_same_python() -> None:
    (base,) = re.findall(r"^FROM (\S+)$", DOCKER, re.MULTILINE)
    assert base in re.findall(r"^From: (\S+)$", APPTAINER, re.MULTILINE)
