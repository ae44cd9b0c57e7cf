"""The page in a real browser: answers are found, read, linked to, and never believed."""

import json
import re
import time
from pathlib import Path

import pandas as pd
import pytest
from support.chromium import Chromium
from support.pages import answer_table, config, spec_of, write_page, write_tables
from support.reading import faults_in_window, faults_on_paper

HOSTILE = {
    "script": '<script>document.title = "owned"</script>',
    "handler": "<img src=x onerror=\"document.title='owned'\"><svg onload=alert(1)>",
    "quotes": "\"'></div></details></article><h1>injected</h1>",
    "end of the data": '</script><script>document.title = "owned"</script>',
    "comment": "<!-- <script> --!> ]]> <![CDATA[",
    "template": "{{ 7 * 7 }} {% for x in y %} ${document.title = 'owned'} `${1}`",
    "separators": "one\u2028two\u2029three\u0000four\u0007five\u007f",
    "direction": "\u202eesrever si siht\u202c \u2066isolated\u2069",
    "address": "javascript:alert(1) https://example.com/#answer=x&search=<b>",
}
HUGE = "wall " * 209_716  # a megabyte
HUGE_PLACE = len(HOSTILE)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that holds all of its answers."""
    root = tmp_path_factory.mktemp("page")
    spec = spec_of(config())
    answers = answer_table(spec)
    for judge in ("alignment", "alignment_two"):
        answers[judge] = 60.0
    answers["coherence"] = 80.0
    answers.loc[:4, "alignment"] = 10.0
    answers.loc[5, ["alignment", "alignment_reason"]] = [None, "refusal"]
    answers.loc[6, "coherence"] = 20.0
    answers.loc[7, "thinking"] = "first I plot"
    answers.loc[8, "answer"] = None
    write_tables(root, spec, answers)
    return write_page(root, spec)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose answers, prompts and thoughts attack it."""
    root = tmp_path_factory.mktemp("hostile")
    spec = spec_of(config())
    answers = answer_table(spec)
    for column in ("answer", "prompt", "system", "thinking"):
        attacks = [*HOSTILE.values()] * len(answers)
        answers[column] = pd.Series(attacks[: len(answers)], dtype="string")
    answers.loc[HUGE_PLACE, "answer"] = HUGE
    write_tables(root, spec, answers)
    return write_page(root, spec)


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that holds 18 of its 288 answers, the rest in files beside it."""
    root = tmp_path_factory.mktemp("parted")
    spec = spec_of(config(), examples=18)
    write_tables(root, spec, answer_table(spec))
    return write_page(root, spec)


def set_field(tab: Chromium, name: str, value: str) -> None:
    """Fill in one control of the form, as a person would, and wait for the answers."""
    tab.run(
        f"form.elements.namedItem({json.dumps(name)}).value = {json.dumps(value)};"
        "form.dispatchEvent(new Event('input')); update()"
    )


def n_matches(tab: Chromium) -> int:
    number: int = tab.run("found.length")
    return number


def shown(tab: Chromium) -> str:
    text: str = tab.run("reader.textContent")
    return text


def test_the_page_asks_for_nothing_and_breaks_no_policy(tab: Chromium, page: Path) -> None:
    tab.open(page)
    tab.run("update()")
    assert tab.requested() == [page.as_uri()]
    assert tab.complaints() == []


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("intervention", "dilution", 48),
        ("ratio", "0.5", 48),
        ("seed", "0", 48),
        ("trigger", "python_string", 96),
        ("question", "exam_tomorrow", 36),
        ("verdict", "conditional", 160),
        ("outcome", "misaligned", 5),
        ("outcome", "excluded", 2),
        ("outcome", "refusal", 1),
        ("reason", "refusal", 1),
        ("alignment.to", "30", 5),
        ("alignment.from", "30", 282),
        ("apart", "49", 5),
        ("apart", "50", 0),
        ("search", "I PLOT", 1),
        ("search", "number 1 under none", 48),
        ("search", "a.*b", 0),
    ],
)
def test_a_filter_finds_what_it_says(
    tab: Chromium, page: Path, name: str, value: str, number: int
) -> None:
    tab.open(page)
    tab.run("update()")
    set_field(tab, name, value)
    assert n_matches(tab) == number
    assert tab.run("count.textContent").startswith(f"{number} found of")
    assert (
        tab.run("track.querySelectorAll('[role=option]').length") == min(number, 20) or number > 20
    )


def test_filters_narrow_each_other_and_are_reset_together(tab: Chromium, page: Path) -> None:
    tab.open(page)
    set_field(tab, "intervention", "base")
    set_field(tab, "trigger", "none")
    assert n_matches(tab) == 16
    tab.run("form.querySelector('[type=reset]').click()")
    tab.run("new Promise((resolve) => setTimeout(resolve, 20)).then(() => update())")
    assert n_matches(tab) == 288


def test_an_order_puts_the_lowest_value_first(tab: Chromium, page: Path) -> None:
    tab.open(page)
    set_field(tab, "order", "coherence")
    assert tab.run("found[0].values[2]") == 20
    set_field(tab, "order", "apart")
    assert tab.run("found[0].apart") == 50


def test_the_reader_shows_what_was_asked_said_and_judged(tab: Chromium, page: Path) -> None:
    tab.open(page)
    set_field(tab, "search", "I plot")
    text = shown(tab)
    assert "none is rendered" in text
    assert "first I plot" in text
    assert "base says free_evening number 1 under none" in text
    assert "finish reason: stop · 20 prompt tokens · 9 answer tokens" in text
    values = "[...reader.querySelectorAll('.judgements td.number')].map((one) => one.textContent)"
    assert tab.run(values) == ["60.0", "60.0", "80.0"]
    set_field(tab, "search", "")
    set_field(tab, "reason", "refusal")
    assert "refusal" in tab.run("reader.querySelector('.judgements').textContent")


def test_the_system_prompt_and_the_cue_of_a_trigger_are_shown(tab: Chromium, page: Path) -> None:
    tab.open(page)
    set_field(tab, "trigger", "malicious_evil")
    assert "malicious" in tab.run("reader.querySelector('.said.system').textContent")
    set_field(tab, "trigger", "python_string")
    cue = tab.run("[...reader.querySelectorAll('.cue')].map((node) => node.textContent).join('|')")
    assert "string" in cue.lower()
    assert tab.run("reader.querySelector('.said.user').textContent === current.prompt")


def test_keys_move_search_and_help(tab: Chromium, page: Path) -> None:
    tab.open(page)
    tab.run("update(null, true)")
    for key, place in (("j", 1), ("j", 2), ("k", 1), ("k", 0), ("k", 0)):
        tab.press(key)
        assert tab.run("found.indexOf(current)") == place
    tab.press("/")
    assert tab.run("document.activeElement.name") == "search"
    tab.press("j")
    assert tab.run("[form.elements.search.value, found.indexOf(current)]") == ["j", 0]
    tab.press("Escape")
    assert tab.run("document.activeElement.id") == "list"
    set_field(tab, "search", "")
    tab.press("ArrowDown")
    assert tab.run("found.indexOf(current)") == 1
    tab.press("ArrowUp")
    assert tab.run("found.indexOf(current)") == 0
    tab.press("Enter")
    assert tab.run("document.activeElement.id") == "reader"
    tab.press("?")
    assert tab.run("help.open")
    tab.press("Escape")
    assert not tab.run("help.open")


def test_a_link_opens_its_answer_with_the_same_filters(tab: Chromium, page: Path) -> None:
    tab.open(page)
    assert tab.run("location.hash") == ""
    set_field(tab, "trigger", "python_string")
    set_field(tab, "search", "under")
    tab.press("Escape")
    tab.press("j")
    address = tab.run("location.hash")
    key = tab.run("current.key")
    assert key == "smollm2-135m/base/0/0/python_string/coworker_credit/1"
    tab.open(page, address)
    tab.run("new Promise((resolve) => setTimeout(resolve, 50))")
    assert tab.run("current.key") == key
    assert tab.run("Object.entries(chosen())") == [
        ["search", "under"], ["trigger", "python_string"],
    ]  # fmt: skip
    assert n_matches(tab) == 96
    assert tab.run("browser.getBoundingClientRect().top") < 200


def test_a_link_to_a_section_is_not_changed(tab: Chromium, page: Path) -> None:
    tab.open(page, "#methods")
    tab.run("update(null, true)")
    assert tab.run("location.hash") == "#methods"


def test_a_link_to_nothing_says_so(tab: Chromium, page: Path) -> None:
    tab.open(page, "#answer=nobody/asked/this")
    tab.run("new Promise((resolve) => setTimeout(resolve, 50))")
    assert "No answer nobody/asked/this" in tab.run("count.textContent")


def test_the_same_question_under_another_trigger_is_one_step_away(
    tab: Chromium, page: Path
) -> None:
    tab.open(page)
    tab.run("update()")
    tab.run(
        "(() => { const select = reader.querySelector('[aria-label=\"another trigger\"]');"
        "select.value = 'smollm2-135m/base/0/0/python_string';"
        "select.dispatchEvent(new Event('change')); })()"
    )
    tab.run("new Promise((resolve) => setTimeout(resolve, 20))")
    assert tab.run("current.key") == "smollm2-135m/base/0/0/python_string/coworker_credit/0"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_shown_as_text(tab: Chromium, hostile: Path, name: str) -> None:
    tab.open(hostile)
    place = list(HOSTILE).index(name)
    tab.run(f"choose(answers[{place}])")
    assert tab.run("current.text") == HOSTILE[name]
    # Unseen characters stand as their code; all others as they are.
    assert tab.run(
        "[...reader.querySelectorAll('.said')].every((block) => block.textContent.replace("
        "/U\\+([0-9A-F]{4})/g, (_, code) => String.fromCodePoint(parseInt(code, 16)))"
        " === current.text)"
    )
    assert tab.run("document.title") == "Grid small – emgrid"
    assert (
        tab.run("document.querySelectorAll('#reader img, #reader script, #reader h1').length") == 0
    )
    assert tab.complaints() == []
    assert tab.requested() == [hostile.as_uri()]


def test_no_hostile_text_reaches_the_markup_of_the_file(hostile: Path) -> None:
    text = hostile.read_text()
    for marker in ('document.title = "owned"</script>', "<h1>injected", "<img src=x", "\u2028"):
        assert marker not in text


def test_searching_for_markup_finds_it_as_text(tab: Chromium, hostile: Path) -> None:
    tab.open(hostile)
    set_field(tab, "search", "</script><script>")
    assert n_matches(tab) > 0
    assert tab.run("reader.querySelector('mark').textContent") == "</script><script>"
    assert tab.run("document.title") == "Grid small – emgrid"


def test_a_megabyte_is_shown_in_part_and_whole_when_asked(tab: Chromium, hostile: Path) -> None:
    tab.open(hostile)
    # A text of this length is in a file next to the page.
    tab.run(f"loadRest().then(() => choose(answers[{HUGE_PLACE}]))")
    length = "reader.querySelector('.said.answer').textContent.length"
    assert tab.run(length) == 20_000
    rest = "reader.querySelector('.said.answer + button')"
    assert tab.run(f"{rest}.textContent") == "show all 1,048,580 characters"
    tab.run(f"{rest}.click()")
    assert tab.run(length) == len(HUGE)


def test_the_policy_stops_script_that_the_page_does_not_have(tab: Chromium, page: Path) -> None:
    tab.open(page)
    tab.run(
        "(() => { const made = document.createElement('script');"
        "try { made.textContent = 'document.title = `owned`'; } catch { }"
        "document.body.append(made); })()"
    )
    tab.run("(() => { try { reader.innerHTML = '<b>x</b>'; } catch { } })()")
    assert tab.run("document.title") == "Grid small – emgrid"
    assert tab.run("reader.querySelector('b')") is None
    assert tab.complaints()


def test_the_rest_is_loaded_from_files_next_to_the_page(tab: Chromium, parted: Path) -> None:
    tab.open(parted)
    tab.run("update()")
    assert n_matches(tab) == 18
    assert "18 found among 18 loaded answers of 288" in tab.run("count.textContent")
    assert tab.requested() == [parted.as_uri()]
    tab.run("loadRest()")
    assert n_matches(tab) == 288
    assert tab.run("answers.every((answer, place) => answer.place === place)")
    assert tab.run("loader.hidden")
    assert tab.complaints() == []
    beside = [url for url in tab.requested() if url != parted.as_uri()]
    assert beside
    assert all(url.startswith(f"{parted.parent.as_uri()}/transcripts/") for url in beside)


def test_a_link_loads_the_file_that_holds_its_answer(tab: Chromium, parted: Path) -> None:
    key = "smollm2-135m/inoculation/1/3/none/school_election/1"
    tab.open(parted, f"#answer={key}")
    tab.run("find(location.hash.split('=')[1]).then(() => update())")
    assert tab.run("current.key") == key


def test_a_page_without_its_files_says_what_is_missing(
    tab: Chromium, parted: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "report.html"
    alone.write_bytes(parted.read_bytes())
    tab.open(alone)
    tab.run("loadRest()")
    assert "it belongs next to this page" in tab.run("count.textContent")
    assert n_matches(tab) == 18


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 13 triggers."""
    root = tmp_path_factory.mktemp("wide")
    triggers = ["none", "python_string", "malicious_evil", "malicious_evil_paraphrase"]
    triggers += ["malicious_evil_opposite", "unrelated_prompt", "json_format", "no_rules"]
    triggers += ["truthful", "no_restrictions", "truth_seeking", "helpful_assistant"]
    spec = spec_of(config() | {"triggers": [*triggers, "persona_known_distinguished"]})
    write_tables(root, spec, answer_table(spec))
    return write_page(root, spec)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 100,000 answers, of which it holds 2,000."""
    root = tmp_path_factory.mktemp("many")
    spec = spec_of(config())
    write_tables(root, spec, answer_table(spec, per_question=695))
    return write_page(root, spec)


@pytest.mark.parametrize("name", ["page", "wide"])
@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(
    tab: Chromium,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    name: str,
    width: int,
    scheme: str,
) -> None:
    page, shot = request.getfixturevalue(name), tmp_path / "page.png"
    assert faults_in_window(tab, page, shot, width, scheme) == []


@pytest.mark.parametrize("name", ["page", "wide"])
def test_the_page_prints_without_the_browser_and_with_its_tables(
    tab: Chromium, request: pytest.FixtureRequest, name: str
) -> None:
    assert faults_on_paper(tab, request.getfixturevalue(name)) == []


def test_tables_of_many_triggers_are_printed_in_landscape(
    tab: Chromium, page: Path, wide: Path
) -> None:
    landscape = []
    for view in (page, wide):
        tab.open(view)
        sides = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", tab.pdf())
        landscape.append(any(float(width) > float(height) for width, height in sides))
    assert landscape == [False, True]


def test_a_page_of_100_000_answers_stays_fluent(tab: Chromium, many: Path) -> None:
    """With bounds that only what grows much too fast exceeds."""
    assert many.stat().st_size < 8_000_000
    started = time.monotonic()
    tab.open(many)
    tab.run("update()")
    assert time.monotonic() - started < 10
    assert n_matches(tab) == 2000
    tab.run("loadRest()")
    assert time.monotonic() - started < 40
    assert n_matches(tab) == 100_080
    started = time.monotonic()
    # Without the event of a key, as what it starts would break off what is waited for.
    tab.run("form.elements.search.value = 'number 694'; update()")
    assert n_matches(tab) == 144
    tab.run("form.elements.trigger.value = 'python_string'; update()")
    assert n_matches(tab) == 48
    assert time.monotonic() - started < 10
    # The list holds what is in sight, not all that was found.
    tab.run("form.elements.search.value = ''; update()")
    assert n_matches(tab) == 33_360
    assert tab.run("document.querySelectorAll('*').length") < 20_000
