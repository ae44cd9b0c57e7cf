"""Which jobs a run would start, and why: Snakemake's own decision, asked of it in this process.

The graph of jobs is built as `snakemake -n` builds it, with those settings of the workstation's
profile that it depends on. What a job's parameters were is read from Snakemake's records.
"""

import ast
import gc
import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emgrid import ROOT
from emgrid.config.base import read_yaml
from emgrid.grid.grid import Grid
from emgrid.planning.replaced import replaced, retold
from emgrid.planning.spec_diff import Change, changes
from emgrid.runtime.errors import EmgridError

PROFILE = ROOT / "workflow/profiles/workstation/config.yaml"


@dataclass(frozen=True)
class Job:
    """A job that would run, and what speaks for it; what its outputs were made of is on record.

    name: its wildcards. changed: of its spec. version: of its code, before and
    now. missing, stopped: outputs that are not there, or whose job did not end. renewed: inputs
    that were made or edited since. added, dropped: inputs that it has now, or had. follows: rules
    of the jobs that would make its inputs before it.
    """

    rule: str
    name: str
    output: str
    changed: tuple[Change, ...] = ()
    version: tuple[str, str] | None = None
    missing: tuple[str, ...] = ()
    stopped: bool = False
    renewed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    recorded: bool = False


@dataclass(frozen=True)
class Needed:
    """jobs: those that would run, in the order of the graph. total: of all jobs, by rule."""

    grid: Grid
    jobs: list[Job]
    total: dict[str, int]


def needed(configfile: Path) -> Needed:
    """What `snakemake -n` would start. The grid's folder becomes the working directory."""
    made = planned(configfile)
    found = made.dag
    listed = [job for level in found.toposorted() for job in sorted(level, key=str) if job.output]
    grid, records = made.globals["GRID"], found.workflow.persistence

    def recorded(file: str) -> Any:
        record = records._read_record(file)
        return None if record is None else split(set(record.params))[0]

    jobs = [read_job(found, job) for job in listed if found.needrun(job)]
    if jobs:
        stages = replaced(grid, recorded)
        jobs = [retold(job, stages) for job in jobs]
    total = Counter(str(job.rule.name) for job in found.jobs)
    return Needed(grid, jobs, dict(sorted(total.items())))


def planned(configfile: Path) -> Any:
    """Snakemake's workflow after a dry run."""
    # The graph lives as long as this process; looking for garbage in it takes a third of the time.
    gc.disable()
    from snakemake.api import SnakemakeApi
    from snakemake.settings import types as settings

    profile = read_yaml(PROFILE)
    # With just these two quiet, Snakemake stops where it would print the jobs.
    quiet = {settings.Quietness.RULES, settings.Quietness.PROGRESS}
    output = settings.OutputSettings(
        dryrun=True, quiet=quiet, log_level_override=logging.ERROR, enable_file_logging=False
    )
    triggers = [settings.RerunTrigger.parse_choice(name) for name in profile["rerun-triggers"]]
    with SnakemakeApi(output) as api:
        try:
            workflow = api.workflow(
                resource_settings=settings.ResourceSettings(cores=1),
                config_settings=settings.ConfigSettings(configfiles=[configfile.absolute()]),
                snakefile=ROOT / "Snakefile",
            )
            graph = workflow.dag(
                settings.DAGSettings(
                    rerun_triggers=frozenset(triggers),
                    force_incomplete=profile["rerun-incomplete"],
                    max_checksum_file_size=profile["max-checksum-file-size"],
                )
            )
            graph.execute_workflow(executor="dryrun")
        except Exception as problem:
            api.print_exception(problem)
            raise EmgridError(f"{configfile}: Snakemake cannot plan this grid") from None
        return workflow._workflow


def read_job(graph: Any, job: Any) -> Job:
    """What Snakemake's reasons are, and what has changed since its records were made."""
    reason = graph.reason(job)
    records = graph.workflow.persistence
    output = job.output[0]
    made_of = records.input(output)
    recorded = records.params(output)
    coming = {str(file) for file in reason.updated_input_run}
    follows = {
        str(other.rule.name)
        for other, files in graph.dependencies[job].items()
        if coming & set(map(str, files)) or not recorded
        if graph.needrun(other)
    }
    changed: tuple[Change, ...] = ()
    version = None
    added: set[str] = set()
    dropped: set[str] = set()
    if recorded is not None:
        changed, version = compare(recorded, records._params(job))
    if made_of is not None:
        now = set(map(str, records._input(job)))
        before = set(map(str, made_of))
        added, dropped = now - before, before - now
    return Job(
        rule=str(job.rule.name),
        name=" ".join(map(str, job.wildcards)),
        output=str(output),
        changed=changed,
        version=version,
        missing=tuple(sorted(map(str, reason.missing_output))),
        stopped=bool(reason.forced or reason.incomplete_output),
        renewed=tuple(sorted({str(file) for file in reason.updated_input} - coming)),
        added=tuple(sorted(added)),
        dropped=tuple(sorted(dropped)),
        follows=tuple(sorted(follows)),
        recorded=recorded is not None,
    )


def compare(old: list[Any], new: list[Any]) -> tuple[tuple[Change, ...], tuple[str, str] | None]:
    """What differs between two recorded sets of params: in the spec, and the version.

    Snakemake keeps params without their names. The spec is the one that is JSON; what else has
    changed and stands alone is the version, since files are named by the spec.
    """
    before, after = split(set(old)), split(set(new))
    found = changes(before[0], after[0]) if before[0] != after[0] else []
    gone, come = before[1] - after[1], after[1] - before[1]
    if len(gone) == len(come) == 1:
        return tuple(found), (gone.pop(), come.pop())
    if gone or come:
        found.append(Change("params", ", ".join(sorted(gone)), ", ".join(sorted(come))))
    return tuple(found), None


def split(params: set[Any]) -> tuple[Any, set[str]]:
    """The spec among a job's params, as they are recorded, and the others."""
    spec = None
    others = set()
    for text in params:
        value = ast.literal_eval(text)
        if isinstance(value, str) and value[:1] in ("{", "["):
            spec = json.loads(value)
        else:
            others.add(str(value))
    return spec, others
