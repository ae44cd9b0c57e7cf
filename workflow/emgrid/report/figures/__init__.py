"""The figures of a report; `python -m emgrid.report.figures` draws them."""

from emgrid.report.figures.spec import NamedArm as NamedArm
