"""No job of a finished grid is identified by anything else than before."""

import json

from support.golden_specs import FILE, GRIDS, golden


def test_specs_and_keys_are_those_of_finished_grids() -> None:
    before, now = json.loads(FILE.read_text()), golden()
    assert now["specs"].keys() == {path.stem for path in GRIDS}
    for grid, rules in now["specs"].items():
        changed = {rule for rule in rules if rules[rule] != before["specs"].get(grid, {}).get(rule)}
        assert not changed, f"{grid}: {changed}"
    assert now["keys"] == before["keys"]
