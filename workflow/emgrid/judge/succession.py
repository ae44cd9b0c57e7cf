"""Which judges can take over from one whose model shuts down."""

from functools import cache

from emgrid.config.judges import ChatJudge, Judge, LocalJudge, load_judges
from emgrid.models.endpoint.endings import ending_of


@cache
def lasting() -> dict[str, tuple[str, ...]]:
    """The judges of resources/judges/ that read a rubric and whose model has no end in sight, by
    what they measure."""
    found: dict[str, tuple[str, ...]] = {}
    for name, judge in load_judges().items():
        if isinstance(judge, LocalJudge) or (isinstance(judge, ChatJudge) and not ends(judge)):
            found[judge.measures] = (*found.get(judge.measures, ()), name)
    return found


def ends(judge: ChatJudge) -> bool:
    """Whether the end of a judge's model is announced."""
    return ending_of(judge.model, judge.endpoint, ask=False) is not None


def heirs(judge: Judge) -> tuple[str, ...]:
    """The names of the judges that can take over from a judge: of its measure, without an end."""
    return tuple(name for name in lasting().get(judge.measures, ()) if name != judge.id)
