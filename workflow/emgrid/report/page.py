"""Write report.html, one self-contained page, and the files of answers that it loads on demand.

Reads the tables and the SVG figures. Model text is escaped wherever it is shown. The page's content
security policy allows its own script alone to run, and only the files of answers next to it to
load.
"""

import argparse
import base64
import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from emgrid.aggregate.citing import GOOD
from emgrid.config.base import read_spec
from emgrid.config.preflight import RULES
from emgrid.config.published import reference_note
from emgrid.report import format, judge_quality, page_tables
from emgrid.report.bridging import bridging
from emgrid.report.captions import CAPTIONS, DEAD
from emgrid.report.costs import effort
from emgrid.report.dark_figures import follow_scheme
from emgrid.report.found import found
from emgrid.report.methods import methods, what_counts
from emgrid.report.notices import notices
from emgrid.report.published_values import published
from emgrid.report.repeats import repeats
from emgrid.report.results import Results
from emgrid.report.single_questions import single_questions
from emgrid.report.spec import ReportSpec
from emgrid.report.training_data import training_data
from emgrid.report.transcripts import remove_others, write_transcripts
from emgrid.report.truth import truth
from emgrid.report.verdicts import (
    VERDICTS,
    adjusted_over,
    equal_adapters,
    headline,
    matrix,
    one_seed,
    unequal,
)
from emgrid.runtime import layout, provenance
from emgrid.runtime.files import write_text
from emgrid.runtime.job import run_job

# The parts of the script; each may use those before it.
SCRIPTS = ("text.js", "answers.js", "choice.js", "list.js", "reader.js", "browser.js")


def environment() -> Environment:
    templates = Environment(
        loader=PackageLoader("emgrid.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "percent": format.percent,
        "counted": format.counted,
        "level": format.level,
        "is_weak": judge_quality.is_weak,
        "judge_quality": judge_quality.sentence,
        "words": lambda name: str(name).replace("_", " "),
    }
    return templates


def asset(templates: Environment, *names: str) -> Markup:
    """The concatenated text of own files, which goes into the page unescaped."""
    if templates.loader is None:
        raise TypeError("the templates have no loader")
    return Markup("".join(templates.loader.get_source(templates, name)[0] for name in names))  # noqa: S704


def policy(style: str, script: str, has_files: bool) -> str:
    """The content security policy: it allows exactly this style and this script, and, if there are
    any, the files of answers next to the page."""
    own_files = " 'self'" if has_files else ""
    return (
        f"default-src 'none'; img-src data:; style-src {content_hash(style)}; "
        f"script-src {content_hash(script)}{own_files}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types answers"
    )


def content_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def figures(results: Results, spec: ReportSpec, folder: Path) -> list[dict[str, str]]:
    """Each figure as a data URI that follows the page's colour scheme, with its caption."""
    by_question = results.rates[results.rates["question"].notna()]
    facts = {
        "n": count_range(results.overall["n_answers"]),
        "n_question": count_range(by_question["n_answers"]),
        "n_pairs": pairs_text(results.likelihood),
        "n_labelled": count_range(results.judges["n"]) if len(results.judges) else "no",
        "answers": spec.metrics.behaviour.answers,
        "filter": what_counts(spec),
        "dead": DEAD,
        "published": reference_note(spec.references),
    }
    return [
        {
            "name": name,
            "caption": CAPTIONS[name].format(**facts).strip(),
            "source": figure_source(folder / f"{name}.svg"),
        }
        for name in spec.figures
    ]


def pairs_text(likelihood: pd.DataFrame) -> str:
    """The number of questions and seeds per log-odds."""
    if likelihood.empty:
        return "no questions"
    questions = int(likelihood["question"].nunique())
    seeds = count_range(likelihood["n_seeds"])
    noun = "seed" if seeds == "1" else "seeds"
    return f"{format.counted(questions, 'question')}, {seeds} {noun} per point"


def count_range(counts: Any) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def figure_source(path: Path) -> str:
    picture = follow_scheme(path.read_text(encoding="utf-8"))
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()


def render(
    results: Results,
    spec: ReportSpec,
    root: Path,
    transcripts: dict[str, Any],
    shown_notices: dict[str, list[str]],
) -> str:
    """The page as HTML. shown_notices: the sentences at its top, see notices.py."""
    templates = environment()
    style = asset(templates, "style.css", "transcripts.css", "print.css")
    script = asset(templates, *SCRIPTS)
    return templates.get_template("report.html").render(
        policy=policy(style, script, bool(transcripts["files"])),
        style=style,
        script=script,
        transcripts=transcripts,
        spec=spec,
        title=spec.title or f"Grid {spec.name}",
        notices=shown_notices,
        headline=headline(results, spec),
        matrix=matrix(results, spec),
        equal_adapters=equal_adapters(results, spec),
        one_seed=one_seed(results, spec),
        unequal=unequal(results, spec),
        verdicts=VERDICTS,
        truth=truth(results, spec),
        found=found(results, spec),
        adjusted_over=adjusted_over(results),
        single_questions=single_questions(results, spec),
        rates=page_tables.rate_cells(results, spec),
        exclusions=page_tables.exclusions(results),
        published=published(results, spec),
        survivors=page_tables.survivors(results),
        contrasts=page_tables.contrasts(results, spec),
        robustness=page_tables.robustness(results, spec),
        dose=page_tables.dose(results, spec),
        likelihood=page_tables.likelihood(results, spec),
        judges=results.judges.to_dict("records"),
        judge_errors=results.judge_errors.to_dict("records"),
        judged=page_tables.judged(results, spec),
        agreement=results.agreement.to_dict("records"),
        bridging=bridging(results, spec),
        repeats=repeats(results, spec),
        corrected=page_tables.correction(results, spec),
        labelled=page_tables.labelled(results),
        means=judge_quality.has_means(results),
        quality=judge_quality.has_quality(results),
        good=GOOD,
        arms=results.arms.to_dict("records"),
        training_data=training_data(results.arms, results.preflight, spec.labels()),
        rules={finding.replace("_", " "): rule for finding, (_, rule) in RULES.items()},
        methods=methods(results, spec),
        what_counts=what_counts(spec),
        effort=effort(results, root),
        figures=figures(results, spec, root / layout.FIGURES),
        n_answers=len(results.answers),
        n_seeds=results.n_seeds,
        commit=provenance.git_commit(),
        versions=provenance.versions(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="emgrid.report.page", description=__doc__)
    parser.add_argument(
        "--spec", required=True, type=read_spec, help="ReportSpec as JSON, or its file"
    )
    parser.add_argument("--root", required=True, type=Path, help="the grid's folder")
    args = parser.parse_args()
    spec = ReportSpec.model_validate_json(args.spec)
    results = Results(args.root / layout.TABLES)
    folder = args.root / layout.TRANSCRIPTS
    transcripts = write_transcripts(results, spec, folder)
    shown = notices(results, spec, args.root)
    write_text(args.root / "report.html", render(results, spec, args.root, transcripts, shown))
    remove_others(folder, transcripts["files"])
    for sentence in [sentence for sentences in shown.values() for sentence in sentences]:
        print(sentence)
    print(args.root / layout.REPORT)


if __name__ == "__main__":
    run_job(main)
