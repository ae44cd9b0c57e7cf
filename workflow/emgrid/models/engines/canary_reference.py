"""The reference of the canary: an adapter's log-probabilities by transformers with peft.

Run as a program, it writes them for an engine that has no transformers model.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from emgrid.models.base_model import BaseModel
from emgrid.runtime.errors import EmgridError
from emgrid.runtime.files import read_json, write_json
from emgrid.runtime.job import run_job


def references(
    model: Path, adapters: Sequence[Path], precision: str, device: str
) -> dict[Path, list[float]]:
    """Each adapter's reference, computed in a separate process so that all memory is freed.

    model: model.json of the base model. The values are log-probabilities of shape (scored tokens,),
    in nats.
    """
    with TemporaryDirectory() as folder:
        output = Path(folder) / "references.json"
        command = [
            sys.executable,
            "-m",
            "emgrid.models.engines.canary_reference",
            "--model",
            str(model),
        ]
        command += ["--precision", precision, "--device", device, "--output", str(output)]
        process = subprocess.run([*command, "--adapters", *map(str, adapters)], check=False)
        if process.returncode != 0:
            raise EmgridError(
                f"{model}: the adapters' references could not be computed (exit status "
                f"{process.returncode}); see the lines above"
            )
        values = read_json(output)
    return {adapter: values[str(adapter)] for adapter in adapters}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="emgrid.models.engines.canary_reference", description=__doc__
    )
    parser.add_argument("--model", required=True, type=Path, help="model.json of the base model")
    parser.add_argument("--adapters", required=True, type=Path, nargs="+", help="adapter folders")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args()

    # Late, as it imports torch, which the engine that asks for references may not load yet.
    from emgrid.models.engines.transformers import TransformersEngine

    engine = TransformersEngine(BaseModel.read(args.model), args.precision, args.device, 1)
    write_json(args.output, {str(path): engine.reference(path) for path in args.adapters})


if __name__ == "__main__":
    run_job(main)
