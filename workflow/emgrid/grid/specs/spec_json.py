"""A job's spec as the text that identifies the job: Snakemake runs a job again when it changes."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, cast

from emgrid.config.base import Strict
from emgrid.config.judges import AnyJudge, Judge
from emgrid.config.triggers import Wording
from emgrid.runtime.files import canonical

NOTHING: Mapping[str, Collection[str]] = MappingProxyType({})
# Fields that describe an entry of a registry to people.
DESCRIPTIONS = frozenset({"about", "licence", "label"})


def spec_json(
    spec: Strict,
    leave_out: Mapping[str, Collection[str]] = NOTHING,
    sparse: Collection[str] = (),
) -> str:
    """Return a spec as canonical JSON, with the fields that were given when it was built.

    leave_out: by a field of the spec, the fields of its value on which no result depends. sparse:
    fields of the spec whose value is written without what is left at its default.
    """
    return canonical(
        {
            name: plain(getattr(spec, name), set(leave_out.get(name, ())), name in sparse)
            for name in spec.model_fields_set
        }
    )


def plain(value: Any, leave_out: set[str], sparse: bool = False) -> Any:
    """Return a value of a spec as plain data. Judges and wordings are written without what no
    value depends on, so that a new field of theirs changes no spec of a finished grid."""
    if isinstance(value, Judge):
        return value.bare()
    if isinstance(value, Strict):
        short = sparse or type(value) is Wording
        left_out = leave_out | value.unused_later()
        return value.model_dump(mode="json", exclude=left_out, exclude_defaults=short)
    if isinstance(value, dict):
        return {key: plain(part, leave_out, sparse) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, leave_out, sparse) for part in value]
    return value


def of_known_kinds(judges: Iterable[Judge]) -> tuple[AnyJudge, ...]:
    """Return judges as specs hold them: each is of one of the kinds that a config may name."""
    return cast(tuple[AnyJudge, ...], tuple(judges))
