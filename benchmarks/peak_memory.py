"""Runs a module of emgrid's as the workflow does, and writes how much memory it held at most.

    python benchmarks/peak_memory.py FILE emgrid.train.train --spec …

The file has `mib`: of the GPU that torch computed on in this process, or else of main memory.
"""

import atexit
import json
import resource
import runpy
import sys
from pathlib import Path

MEBIBYTE = 2**20


def write_peak(path: Path) -> None:
    torch = sys.modules.get("torch")
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        held = torch.cuda.max_memory_allocated()
    path.write_text(json.dumps({"mib": held / MEBIBYTE}), encoding="utf-8")


def main() -> None:
    path, module, *words = sys.argv[1:]
    sys.argv = [module, *words]
    atexit.register(write_peak, Path(path))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
