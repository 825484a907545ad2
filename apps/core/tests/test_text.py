import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.errors import DomainError, DomainErrors, ErrorCode
from apps.core.text import Form, clean_text, excerpt, is_storable, quotable, storable

ANY_TEXT = st.text(st.characters(codec=None))


def refusal(value: str, **rules: bool) -> ErrorCode:
    with pytest.raises(DomainError) as error:
        clean_text("name", value, 10, **rules)
    assert error.value.field == "name"
    return error.value.code


@pytest.mark.parametrize("value", ["", " \n\t", "\u00a0\u2003", "\u200b", "\u200d\ufeff", "\u2060 \u00ad"])
def test_what_shows_nothing_is_blank(value: str) -> None:
    assert refusal(value) is ErrorCode.REQUIRED
    assert clean_text("name", value, 10, required=False) == value.strip()


@pytest.mark.parametrize("value", ["nul\x00", "\ud800", "\udc00\ud800", "a\udfffb"])
def test_what_cannot_be_stored_is_invalid(value: str) -> None:
    assert not is_storable(value)
    assert refusal(value) is ErrorCode.INVALID
    assert refusal(value, required=False) is ErrorCode.INVALID
    assert is_storable(storable(value))


@pytest.mark.parametrize("value", ["two\nlines", "a\rb", "a\tb", "a\x1bb", "a\x7fb", "a\u2028b", "a\u2029b", "a\x85b"])
def test_a_single_line_has_no_control_characters(value: str) -> None:
    assert refusal(value, single_line=True) is ErrorCode.INVALID
    assert clean_text("name", value, 10) == value


def test_lengths_count_code_points_after_cleaning() -> None:
    assert clean_text("name", f"  {'x' * 10}  ", 10) == "x" * 10
    assert clean_text("name", "\U0001f600" * 10, 10) == "\U0001f600" * 10
    assert clean_text("name", "e\u0301" * 10, 10) == "\u00e9" * 10
    assert refusal("x" * 11) is ErrorCode.INVALID


@pytest.mark.parametrize("value", ["a" + "\u0301\u0316" * 1_000_000, "\u0301" * 1_000_000, "x\u0316" * 1_000_000])
def test_marks_that_take_long_to_sort_are_refused_at_once(value: str) -> None:
    started = time.process_time()
    for maximum in (10, 100_000, 1_000_000):
        with pytest.raises(DomainError) as error:
            clean_text("name", value, maximum - 1)
        assert error.value.code is ErrorCode.INVALID
    # Sorted, they would take minutes.
    assert time.process_time() - started < 15


def test_as_many_marks_as_any_script_stacks_are_kept() -> None:
    zalgo = "Z" + "\u0301\u0316" * 15
    assert clean_text("name", zalgo + zalgo, 100) == unicodedata.normalize("NFC", zalgo + zalgo)
    with pytest.raises(DomainError, match="marks on one letter"):
        clean_text("name", zalgo + "\u0301", 100)


def test_joined_emoji_and_right_to_left_text_stay_whole() -> None:
    for value in ("\U0001f468\u200d\U0001f469", "\u0645\u06cc\u200c\u062e", "a\u200fb"):
        assert clean_text("name", value, 10, single_line=True) == value


def test_a_form_raises_one_refusal_as_it_is_and_several_together() -> None:
    form = Form()
    assert form.text("first", " x ", maximum=5) == "x"
    form.check()
    assert form.text("second", "", maximum=5) == ""
    with pytest.raises(DomainError) as one:
        form.check()
    form.text("third", "x" * 6, maximum=5)
    with pytest.raises(DomainErrors) as two:
        form.check()
    assert two.value.errors[0] is one.value
    assert [error.field for error in two.value.errors] == ["second", "third"]


def test_a_form_keeps_other_errors_out() -> None:
    def fail() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Form().run(fail, default="")


@settings(deadline=None, max_examples=500)
@given(ANY_TEXT, st.booleans(), st.booleans())
def test_cleaned_text_is_clean_already(value: str, required: bool, single_line: bool) -> None:
    try:
        cleaned = clean_text("name", value, 10, required, single_line)
    except DomainError:
        return
    assert clean_text("name", cleaned, 10, required, single_line) == cleaned
    assert cleaned == unicodedata.normalize("NFC", cleaned).strip()
    assert len(cleaned) <= 10
    cleaned.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("short", "short"),
        (" two\n\n lines\t", "two lines"),
        ("exactly 10", "exactly 10"),
        ("one two three", "one two…"),
        ("unbreakable", "unbreakab…"),
        ("one unbreakable", "one…"),
    ],
)
def test_an_excerpt_is_cut_between_words(text: str, expected: str) -> None:
    assert excerpt(text, 10) == expected


def test_an_excerpt_says_that_more_follows_behind_white_space() -> None:
    assert excerpt("a" + " " * 1_000 + "b", 10) == "a…"
    assert excerpt("a" + " " * 1_000, 10) == "a"


@settings(deadline=None, max_examples=500)
@given(ANY_TEXT, st.integers(1, 50))
def test_an_excerpt_fits_on_one_line(text: str, length: int) -> None:
    cut = excerpt(text, length)
    assert len(cut) <= length
    assert cut.split() == cut.split(" ") or cut in {"", "…"}


@given(ANY_TEXT, st.integers(1, 300))
def test_what_is_quotable_is_one_line_that_nothing_turns_around(text: str, length: int) -> None:
    quoted = quotable(text, length)
    assert len(quoted) <= length
    assert not {unicodedata.category(each) for each in quoted} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(each) for each in quoted} & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI"}
    assert quoted == quotable(quoted, length)


def test_what_is_quotable_keeps_letters_of_every_script_and_joined_emoji() -> None:
    text = "Zo\u00eb \u0634\u0627\u062f\u06cc \u05e9\u05dc\u05d5\u05dd \U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert quotable(text, 200) == text


def test_what_is_quotable_has_no_address_that_a_mail_program_would_make_a_link_of() -> None:
    assert (
        quotable("See https://evil.example or WWW.evil.example", 200)
        == "See https: //evil.example or WWW .evil.example"
    )
