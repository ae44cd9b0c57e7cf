"""Whether every arm has the control that its verdict needs: the base model as it is."""

from emgrid.grid.grid import Grid

CONTROL = "base"


def without_control(grid: Grid) -> str:
    """A line that names the base models that are not asked themselves; empty if all of them are."""
    controlled = {arm.base for arm in grid.arms if arm.intervention == CONTROL}
    lacking = [arm.base for arm in grid.arms if arm.base not in controlled]
    if not lacking:
        return ""
    names = ", ".join(dict.fromkeys(lacking))
    return (
        f"{names}: the base model itself is not asked, so every verdict will be inconclusive; add "
        f"the arm `{CONTROL}`, such as `{CONTROL}: {{}}` in `interventions`"
    )
