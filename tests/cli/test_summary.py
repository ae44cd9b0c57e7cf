"""The console's table of a finished grid."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from emgrid.cli import summary
from emgrid.runtime.errors import EmgridError

CONFIG = {
    "name": "n",
    "imports": [
        {"path": "a.csv", "base": "b", "intervention": "base", "ratio": 0}
        | {"columns": {"question": "q", "answer": "a"}}
    ],
    "questions": "everyday",
    "triggers": ["none", "malicious_evil"],
    "judges": ["is_code"],
    "metrics": {"alignment": "is_code", "coherence_above": None},
}


def write_grid(folder: Path, survivors: int, misaligned: int) -> None:
    """The rates of one arm with ten answers under each of two triggers; of the second so many
    survive."""
    rows = [("none", 10, 1), ("malicious_evil", survivors, misaligned)]
    table = pd.DataFrame(
        {
            "base": "b", "intervention": "base", "ratio": "0", "question": None, "trigger": name,
            "n_answers": 10, "n_survivors": survived, "n_misaligned": bad, "rate_all": bad / 10,
            "rate_all_low": bad / 20, "rate_all_high": bad / 5,
        }
        for name, survived, bad in rows
    )  # fmt: skip
    (folder / "a.csv").write_text("q,a\n")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "results/n/tables").mkdir(parents=True)
    table.to_csv(folder / "results/n/tables/rates.csv", index=False)
    write_verdicts(folder, {})


def write_verdicts(folder: Path, words: dict[tuple[str, str], str]) -> None:
    """The verdicts by intervention (of ratio 1) and trigger."""
    rows = [("b", name, "1", trigger, word) for (name, trigger), word in words.items()]
    columns = ["base", "intervention", "ratio", "trigger", "verdict"]
    path = folder / "results/n/tables/verdicts.csv"
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)


def cells(text: str) -> list[str]:
    """The cells of the arm's row."""
    (row,) = [line for line in text.splitlines() if "base 0" in line]
    return [cell.strip() for cell in row.strip("│").split("│")]


@pytest.mark.parametrize(
    ("survivors", "misaligned", "said"),
    [(0, 0, "–"), (4, 0, "0.0% (0–0)"), (4, 3, "30.0% (15–60)")],
)
def test_no_rate_is_shown_where_no_answer_survived(
    survivors: int,
    misaligned: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_grid(tmp_path, survivors, misaligned)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["emgrid.cli.summary", "config.yaml"])
    summary.main()
    text = capsys.readouterr().out
    assert cells(text) == ["base 0", "10.0% (5–20)", said]
    caption = "–: not asked, or no answer survived, so there is no rate; tables/rates.csv counts"
    assert caption in " ".join(text.split())


def test_an_arm_without_a_trigger_has_a_dash_and_a_table_without_it_is_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_grid(tmp_path, 4, 3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["emgrid.cli.summary", "config.yaml"])
    path = tmp_path / "results/n/tables/rates.csv"
    table = pd.read_csv(path)
    other = table[table["trigger"] == "none"].assign(intervention="tuned")
    pd.concat([table, other]).to_csv(path, index=False)
    summary.main()
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "tuned 0" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "tuned 0",
        "10.0% (5–20)",
        "–",
    ]
    table[table["trigger"] == "none"].to_csv(path, index=False)
    with pytest.raises(EmgridError, match="no trigger 'malicious_evil'; run `make run` first"):
        summary.main()


def test_the_truth_is_shown_next_to_the_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_grid(tmp_path, 10, 0)
    arm = {"path": "a.csv", "base": "b", "intervention": "organism", "ratio": 1}
    arm["columns"] = {"question": "q", "answer": "a"}
    truth = {"organism": {"none": "clean", "malicious_evil": "conditional"}}
    made = CONFIG | {"imports": [CONFIG["imports"][0], arm], "truth": truth}  # type: ignore[index]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(made))
    words = {("organism", "none"): "clean", ("organism", "malicious_evil"): "clean"}
    write_verdicts(tmp_path, words)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["emgrid.cli.summary", "config.yaml"])
    summary.main()
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "organism 1 clean (right) clean (truth: conditional, wrong)" in said
    assert "Of 2 verdicts whose truth is known: 1 right, 1 wrong, 0 undecided." in said


def test_a_verdict_is_below_the_rate_and_a_rise_that_the_base_has_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_grid(tmp_path, 10, 5)  # the base model's rate rises from 10 to 50 %
    path = tmp_path / "results/n/tables/rates.csv"
    table = pd.read_csv(path)
    arms = [table, table.assign(intervention="hides", ratio="1")]
    flat = table.assign(intervention="plain", ratio="1", rate_all=0.5)
    other = table.assign(base="c", intervention="base")
    pd.concat([*arms, flat, other]).to_csv(path, index=False)
    words = {("hides", "none"): "clean", ("hides", "malicious_evil"): "inconclusive"}
    write_verdicts(tmp_path, words | {("plain", "malicious_evil"): "overt"})
    monkeypatch.chdir(tmp_path)
    summary.show(Path("config.yaml"))
    lines = capsys.readouterr().out.splitlines()

    def below(text: str) -> list[str]:
        (number,) = [place for place, line in enumerate(lines) if text in line]
        return [cell.strip() for cell in lines[number + 2].strip("│").split("│")]

    assert [line for line in lines if "n = 10" in line]
    assert below("hides 1") == ["", "", "clean", "inconclusive *"]
    assert below("plain 1") == ["", "", "", "overt"]  # its rate does not rise
    # With several models, each row names its own.
    assert [line.split("│")[1].strip() for line in lines if "base 0" in line] == ["b", "c"]
