"""Dose curves: arms that differ in one swept setting alone."""

from collections.abc import Iterable, Mapping

from emgrid.aggregate.dose_points import ArmName, Point, Series
from emgrid.config.interventions import Intervention
from emgrid.grid.arms import Arm, benign_of, name_of, undiluted_of

Members = dict[tuple[str, ...], tuple[str, dict[float, ArmName]]]  # by family: label, arm by dose


def ratio_series(
    arms: Iterable[Arm], interventions: Mapping[str, Intervention]
) -> tuple[Series, ...]:
    """Curves over the share of misaligned rows. A plain dilution begins at the arm of benign rows
    alone and ends at the undiluted arm, if the grid has them."""
    families: Members = {}
    for arm in arms:
        members = families.setdefault((arm.base, arm.intervention), (arm.label, {}))[1]
        members[float(arm.ratio)] = name_of(arm)
        plain = arm.settings is not None and arm.settings.kinds == ("dilution",)
        undiluted, benign = (
            (undiluted_of(arm, interventions), benign_of(arm, interventions))
            if plain
            else (None, None)
        )
        if undiluted is not None:
            members.setdefault(1, (arm.base, undiluted, "1"))
        if benign is not None:
            members.setdefault(0, (arm.base, benign, "0"))
    return curves(families)


def rows_series(arms: Iterable[Arm]) -> tuple[Series, ...]:
    """Curves over the rows of benign training that ends a recipe; at zero is the arm without it."""
    arms = list(arms)
    by_adapter = {(arm.adapter_folder, arm.ratio): name_of(arm) for arm in reversed(arms)}
    families: Members = {}
    for arm in arms:
        if arm.settings is None or "sequential" not in arm.settings.kinds:
            continue
        rows = arm.stages[-1].mixture.rows
        family = arm.intervention.removesuffix(f"-{rows}")
        label = arm.settings.label or family.replace("_", " ")
        members = families.setdefault((arm.base, family, arm.ratio), (label, {}))[1]
        members[rows] = name_of(arm)
        begun = [arm.start.adapter_folder] if arm.start else []
        earlier = [*begun, *(run.adapter_folder for run in arm.stages)][-2]
        before = by_adapter.get((earlier, arm.ratio))
        if before is not None:
            members.setdefault(0, before)
    return curves(families)


def curves(families: Members) -> tuple[Series, ...]:
    """The curves of the families with at least two points."""
    return tuple(
        Series(
            base=key[0],
            family=key[1],
            label=label,
            points=tuple(Point(arm=members[dose], dose=dose) for dose in sorted(members)),
        )
        for key, (label, members) in families.items()
        if len(members) > 1
    )
