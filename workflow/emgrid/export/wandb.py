"""Log tables, figures and report to Weights & Biases, as one artifact of one run.

Runs only if it is requested by name. The key is read from WANDB_API_KEY or `wandb login`.
"""

import argparse
from pathlib import Path

from emgrid.config.sections import WandB
from emgrid.export import first_line
from emgrid.export.spec import WandBSpec
from emgrid.runtime import layout
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.job import run_job
from emgrid.runtime.optional_packages import need

FOLDERS = ("tables", "figures", "transcripts")  # a short report has no folder of transcripts


def log_results(root: Path, name: str, settings: WandB) -> str:
    """Log the results of a finished grid; return their address."""
    import wandb

    try:
        with wandb.init(
            project=settings.project,
            entity=settings.entity,
            name=name,
            mode=settings.mode,
            dir=root,
        ) as run:
            artifact = wandb.Artifact(name, type="results")
            for part in FOLDERS:
                if (root / part).is_dir():
                    artifact.add_dir(str(root / part), name=part)
            artifact.add_file(str(root / layout.REPORT))
            run.log_artifact(artifact)
            return str(run.url or run.dir)
    except wandb.Error as problem:
        advice = "set WANDB_API_KEY, or export.wandb.mode: offline"
        raise EmgridError(f"Weights & Biases: {first_line(problem)}; {advice}") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.export.wandb", description=__doc__)
    parser.add_argument("--spec", required=True, help="WandBSpec as JSON")
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    spec = WandBSpec.model_validate_json(args.spec)
    if spec.wandb is None:
        raise EmgridError("export.wandb is not in the config; add `export: {wandb: {project: …}}`")
    need("wandb", "wandb")
    print(log_results(args.root, spec.name, spec.wandb))


if __name__ == "__main__":
    run_job(main)
