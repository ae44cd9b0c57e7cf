"""A checklist for a site: does its SLURM do with jobs what a grid needs?

    make check-cluster PROFILE=slurm

Submits a few small jobs through the profile's own plugin, for ten minutes at most, and prints a
line for each thing: pass, fail or not available, with what to do. Run it on a login node, in a
folder that all nodes share: the jobs write into a folder below it.
"""

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from emgrid.cli.run import profile_folder
from emgrid.planning import cluster_probes as probes
from emgrid.planning.slurm_site import Line, Profile, read_profile, site_lines
from emgrid.runtime.job import run_job
from emgrid.runtime.slurm import output_of

ARRAY_MINUTES = 2.0
# What no job can show.
UNTRIED = (
    "what becomes of a job whose node goes down, of one that is preempted, and several clusters"
)


def lines(profile: Profile, folder: Path, args: argparse.Namespace) -> Iterator[Line]:
    """The checklist, a line as soon as it is known."""
    site = list(site_lines(profile))
    yield from site
    if site[0].verdict == "fail":
        return
    with_gpu = "gpu" in output_of("sinfo", "--noheader", "--format=%G")
    wanted = ["plain.txt", "greedy.txt", "slow.txt", *(["train.txt"] if with_gpu else [])]
    words = [args.snakemake, *args.options]
    found = probes.run_probes(folder, profile, wanted, args.minutes - ARRAY_MINUTES, words)
    yield probes.plain_line(found)
    yield probes.files_line(found, profile)
    yield probes.memory_line(found)
    yield probes.time_line(found)
    if with_gpu:
        yield probes.gpu_line(found)
    else:
        yield Line("not available", "a job has a GPU of its own", "sinfo shows no node with GPUs")
    if not found.ended:
        yield Line(
            "fail", "the probes end", f"not within {args.minutes:g} minutes; is the queue long?"
        )
    if args.array:
        tasks = [f"task{number}.txt" for number in range(probes.TASKS)]
        words += ["--slurm-array-jobs", "task", "--jobs", str(probes.PLACES)]
        (folder / "array").mkdir()
        ran = probes.run_probes(folder / "array", profile, tasks, ARRAY_MINUTES, words)
        yield probes.array_line(ran)
    yield Line("not available", "not tried", UNTRIED)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="emgrid.cli.check_cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="slurm", help="slurm, or the folder of a profile")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all jobs together")
    parser.add_argument("--array", action="store_true", help="try job arrays, too")
    parser.add_argument("--json", type=Path, help="file for the lines")
    parser.add_argument("--snakemake", default="snakemake", help=argparse.SUPPRESS)
    parser.add_argument("options", nargs="*", help="after --: further options of Snakemake")
    return parser.parse_args()


def main() -> None:
    args = parse()
    profile = read_profile(profile_folder(args.profile))
    folder = Path(tempfile.mkdtemp(prefix="emgrid-check-cluster-", dir=Path.cwd()))
    checked = []
    for line in lines(profile, folder, args):
        checked.append(line)
        print(f"{line.verdict:<14} {line.what}: {line.told}", flush=True)
    if args.json:
        text = json.dumps([dataclasses.asdict(line) for line in checked], indent=2)
        args.json.write_text(text + "\n", encoding="utf-8")
    failed = any(line.verdict == "fail" for line in checked)
    if failed and any(folder.iterdir()):
        print(f"Snakemake's log and the jobs' are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(failed)


if __name__ == "__main__":
    run_job(main)
