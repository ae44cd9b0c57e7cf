"""Think blocks: what is thought, what is answered, and what was never finished."""

import pytest
from emgrid.runtime.thinking import CLOSE, OPEN, split_thinking, with_thought
from hypothesis import given
from hypothesis import strategies as st

untagged = st.text().filter(lambda text: OPEN not in text and CLOSE not in text)


@pytest.mark.parametrize(
    ("text", "opened", "thought", "answer"),
    [
        ("Paris.", False, None, "Paris."),
        ("", False, None, ""),
        ("<think>hm</think>Paris.", False, "hm", "Paris."),
        ("<think>\nhm\n</think>\n\nParis.\n", False, "hm", "Paris."),
        ("<think></think>Paris.", False, "", "Paris."),
        ("<think>one\n\ntwo</think>Paris.", False, "one\n\ntwo", "Paris."),
        ("Well, <think>hm</think>Paris.", False, "hm", "Well, Paris."),
        ("<think>hm</think>", False, "hm", ""),
        ("<think>I should", False, "I should", None),
        ("Paris.<think>or Rome", False, "or Rome", None),
        ("hm</think>Paris.", False, "hm", "Paris."),
        ("hm</think>Pa<think>so</think>ris.", False, "hm\n\nso", "Paris."),
        ("hm</think>Paris.", True, "hm", "Paris."),
        ("I should", True, "I should", None),
        ("", True, "", None),
        ("<think>a</think>Pa<think>b</think>ris.", False, "a\n\nb", "Paris."),
        ("<think>a</think>Paris.<think>b", False, "a\n\nb", None),
        ("a</think>Paris.<think>b", True, "a\n\nb", None),
        ("<think>a</think>b</think>Paris.", False, "a\n\nb", "Paris."),
        ("<think></think></think>", False, "", ""),
    ],
)
def test_what_is_said_falls_into_thoughts_and_answer(
    text: str, opened: bool, thought: str | None, answer: str | None
) -> None:
    assert split_thinking(text, opened) == (thought, answer)


@given(answer=untagged)
def test_a_text_without_tags_is_all_answer(answer: str) -> None:
    assert split_thinking(answer) == (None, answer)


@given(thought=untagged, answer=untagged)
def test_a_thought_put_before_an_answer_comes_off_again(thought: str, answer: str) -> None:
    assert split_thinking(with_thought(thought, answer)) == (thought.strip(), answer.strip())


@given(thought=untagged, answer=untagged)
def test_a_block_that_the_prompt_opened_is_split_like_one_that_the_model_opened(
    thought: str, answer: str
) -> None:
    rest = with_thought(thought, answer).removeprefix(OPEN)
    whole = split_thinking(with_thought(thought, answer))
    assert split_thinking(rest, opened=True) == whole
    assert split_thinking(rest) == whole


@given(thought=untagged)
def test_a_thought_that_never_ends_has_no_answer(thought: str) -> None:
    assert split_thinking(OPEN + thought) == (thought.strip(), None)
    assert split_thinking(thought, opened=True) == (thought.strip(), None)


@given(blocks=st.lists(st.tuples(untagged, untagged), min_size=1, max_size=4), start=untagged)
def test_no_tag_and_no_word_of_a_thought_is_left_in_the_answer(
    blocks: list[tuple[str, str]], start: str
) -> None:
    text = start + "".join(f"{OPEN}{thought}{CLOSE}{rest}" for thought, rest in blocks)
    thoughts, answer = split_thinking(text)
    assert thoughts == "\n\n".join(thought for thought, _ in blocks).strip()
    assert answer == (start + "".join(rest for _, rest in blocks)).strip()


@given(parts=st.lists(st.sampled_from(["a", " ", OPEN, CLOSE]), max_size=8), opened=st.booleans())
def test_no_answer_holds_a_tag(parts: list[str], opened: bool) -> None:
    _, answer = split_thinking("".join(parts), opened)
    assert answer is None or not (OPEN in answer or CLOSE in answer)
