"""What a job does not import."""

import json
import subprocess
import sys

import pytest

SAY = """
import json, sys
from emgrid.runtime.unused_packages import UNUSED, leave_out
leave_out(*UNUSED)
import {module}
from transformers import AutoModelForCausalLM
AutoModelForCausalLM.from_pretrained
print(json.dumps([name for name in UNUSED if sys.modules.get(name)]))
"""


@pytest.mark.parametrize("module", ["emgrid.train.fit", "emgrid.models.engines.transformers"])
def test_packages_without_use_are_not_imported(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
