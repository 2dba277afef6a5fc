"""Labels, character by character."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import numpy as np
import pytest

from ifog.errors import ConfigError, DataError
from ifog.inspection.detectors import DETECTORS, Detector, detector, load_detectors
from ifog.inspection.labels import Source, guess_language, opening


def marks(name: str, text: str, language: str = "python") -> str:
    """The labels of a text, drawn below it."""
    labels = DETECTORS[name](Source(text, language))
    if labels.dtype == np.bool_:
        return "".join("^" if on else "." for on in labels)
    return "".join(str(number) for number in labels)


def check_lines(name: str, *drawn: tuple[str, str], language: str = "c") -> None:
    """Compare with labels that are drawn beside each line of a text; a space stands for a label that is not known."""
    text, want = map("".join, zip(*drawn, strict=True))
    found, known = marks(name, text, language), DETECTORS[name].known
    if known is not None:
        found = "".join(m if k else " " for m, k in zip(found, known(Source(text, language)), strict=True))
    assert found == want


def test_a_string_is_on_from_its_opening_quote_until_before_its_closing_one():
    assert marks("string", "x = 'ab' + rb\"c\"") == "....^^^......^^."
    assert marks("quotes", "x = 'ab' + rb\"c\"") == "....^^^......^^."


def test_a_docstring_is_a_string_but_no_quotation():
    text = '"""a\nb""" "c"'
    assert marks("string", text) == "^^^^^^^^..^^."
    assert marks("quotes", text) == "..........^^."


def test_a_hash_in_a_string_is_no_comment_and_a_quote_in_a_comment_no_string():
    text = "x = '#' # don't\ny"
    assert marks("comment", text) == "........^^^^^^^.."
    assert marks("string", text) == "....^^..........."
    assert marks("string_or_comment", text) == "....^^..^^^^^^^.."


def test_formatted_strings_are_one_string_whatever_they_hold():
    assert marks("string", "f'{a[0]}b' + c") == "." + "^" * 8 + "....."
    assert marks("bracket_depth", "f'{a[0]}b' + (c)") == "0" * 13 + "110"


def test_the_condition_of_an_if_ends_at_its_own_colon():
    assert marks("condition", "if a[1:2]: b") == "..^^^^^^^..."
    assert marks("condition", "elif x: y") == "....^^..."
    assert marks("condition", "a = 1 if b else c\n") == "." * 18


def test_the_condition_of_an_if_of_c_is_between_its_brackets():
    assert marks("condition", "if (f(a)) b();", "c") == "...^^^^^......"
    assert marks("condition", "while (a) b();", "c") == "." * 14


def test_brackets_are_counted_outside_of_strings():
    assert marks("bracket_depth", "f(a[')'])x)") == "01122221000"


def test_indentation_begins_at_the_first_visible_character():
    text = "if a:\n  b\n\n  if c:\n    d\ne\n"
    assert marks("indentation_depth", text) == "".join(("000000", "0011", "1", "11111111", "111122", "00"))
    assert marks("indentation_depth", "{\n    a\n}\n", "c") == "0000001100"


def test_the_position_counts_from_the_line_break():
    assert marks("line_position", "ab\n\ncd") == "120012"


def test_letters_digits_capitals_and_keywords():
    text = "for A1 in it's"
    assert marks("first_letter", text) == "^...^..^..^..."
    assert marks("digit", text) == ".....^........"
    assert marks("upper_case", text) == "....^........."
    assert marks("language_keyword", "for A1 in its") == "^^^....^^...."
    assert marks("language_keyword", "int a;", "c") == "^^^..."


def test_a_sentence_ends_at_the_space_after_its_mark():
    assert marks("sentence_end", 'Go. "Why?" 1.5 No!\n', "prose") == "...^......^.......^"


def test_speech_is_quoted_until_its_paragraph_ends():
    assert marks("quotes", 'a "b" c', "prose") == "..^^..."
    assert marks("quotes", "a “b” c", "prose") == "..^^..."
    assert marks("quotes", 'a "b\n\nc "d"', "prose") == "..^^....^^."
    assert not DETECTORS["string"](Source('a "b"', "prose")).any()


def test_comments_and_strings_of_c():
    text = '// a "b"\nx = "c\\"d"; /* e */ y'
    assert marks("comment", text, "c") == "^^^^^^^^" + "." * 13 + "^^^^^^..."
    assert marks("string", text, "c") == "." * 13 + "^^^^^." + "." * 11


def test_python_cut_inside_a_docstring_is_read_from_there():
    whole = '"""One thing that is said here, in words.\n\nAnd more of it, in other words.\n"""\nx = "a"\n' * 3
    for cut in (0, 10, 50):
        text = whole[cut:]
        want = DETECTORS["string"](Source(whole, "python"))[cut:]
        assert (DETECTORS["string"](Source(text, "python")) == want).all()


def test_python_cut_at_its_end_is_read_to_there():
    text = 'def f(a):\n    """Say what\n    it does."""\n    return [a, "b"]\n'
    whole = DETECTORS["string"](Source(text, "python"))
    for end in (24, 30, 40):
        assert (DETECTORS["string"](Source(text[:end], "python")) == whole[:end]).all()


@pytest.mark.parametrize(
    "text", ["", "\n", "'", '"""', "(((", ")]}", "    a\n  b\nc", "\\", "if", "é = 'ü'", "\f\x00$?!"]
)
@pytest.mark.parametrize("language", ["python", "c", "prose"])
def test_any_text_has_a_label_for_each_character(text: str, language: str):
    for one in DETECTORS.values():
        assert len(one(Source(text, language))) == len(text)


def test_labels_of_the_standard_library_agree_with_its_syntax_tree():
    path = Path(textwrap.__file__)
    text = path.read_text()
    starts = np.cumsum([0, *map(len, text.splitlines(keepends=True))])
    want = np.zeros(len(text), np.bool_)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            first = starts[node.lineno - 1] + node.col_offset
            while text[first] not in "'\"":
                first += 1
            want[first : starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0) - 1] = True
    found = DETECTORS["string"](Source(text, "python"))
    assert not (found & ~want).any()
    gaps = want & ~found  # adjacent literals are one constant of the tree: what is between them
    assert gaps.mean() < 0.02
    assert want.mean() > 0.2


def test_a_detector_of_ones_own_is_one_function():
    @detector("at a vowel", local=True)
    def vowel(source: Source) -> np.ndarray:
        return np.array([character in "aeiou" for character in source.text])

    try:
        assert marks("vowel", "hello", "prose") == ".^..^"
        with pytest.raises(ConfigError, match="vowel already"):
            detector("again")(vowel)
    finally:
        del DETECTORS["vowel"]


def test_a_detector_that_gives_something_else_is_told():
    wrong = Detector("wrong", "wrong", lambda source: np.zeros(3))
    with pytest.raises(DataError, match=r"wrong gave an array of shape \(3,\) and type float64 for 5 characters"):
        wrong(Source("hello"))


def test_detectors_are_loaded_from_a_file(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from ifog.inspection.detectors import detector\n@detector('at an e')\ndef e(source):\n"
        "    return source.codes == ord('e')\n"
    )
    load_detectors(path)
    assert marks("e", "here") == ".^.^"
    del DETECTORS["e"]
    path.write_text("x = 1\n")
    with pytest.raises(ConfigError, match="adds no detector"):
        load_detectors(path)
    with pytest.raises(DataError, match="doesn't exist"):
        load_detectors(tmp_path / "none.py")


def test_an_unknown_language_is_refused_with_known_ones():
    with pytest.raises(ConfigError, match=r"'klingon'.*python, prose"):
        Source("x", "klingon")


def test_the_language_is_guessed_from_the_name_and_the_lines():
    assert guess_language("", "a/b.rs") == "rust"
    assert guess_language("It was a dark night.", "book.txt") == "prose"
    assert guess_language("#include <a.h>\nint x;\nint main() {\n}\n") == "c"
    assert guess_language("import os\n\ndef f():\n    return 1\n", "-") == "python"


def test_no_more_of_a_text_is_read_than_wanted():
    pieces = iter(["abc", "def", "ghi"])
    assert opening(pieces, 4) == "abcd"
    assert next(pieces) == "ghi"
    with pytest.raises(ConfigError, match="characters is 0"):
        opening(pieces, 0)


def test_a_line_of_the_preprocessor_goes_on_behind_a_backslash_and_in_a_comment():
    check_lines(
        "directive",
        ("#if X\n",           "^^^^^."),
        ("y\n",               ".."),
        (" # define Z \\\n",  ".^^^^^^^^^^^^^"),
        (" 1\n",              "^^."),
        ("#if A /* b\n",      "^^^^^^^^^^^"),
        ("c */\n",            "^^^^."),
        ('x = "/*#if"\n',     "............"),
        ("#endif",            "^^^^^^"),
    )  # fmt: skip
    assert marks("directive", "# if\nx = '#if'\n", "python") == "." * 15


def test_the_body_of_a_macro_is_code():
    check_lines(
        "string",
        ("#define A \"b\" 'c'\n",  "..........^^..^^.."),
        ("#error don't\n",         "............."),
        ("x = 'a';\n",             "....^^..."),
    )  # fmt: skip
    check_lines("quotes", ('#include "a.h"\n', ".........^^^^.."), ("#include <b.h>\n", "..............."))
    check_lines("comment", ("#define A 1 // b\n", "............^^^^."), ("c", "."))
    check_lines("language_keyword", ("#define A int\n", "..........^^^."))
    check_lines("condition", ("#define A if (b) c\n", ".............^^...."))


def test_brackets_of_a_macro_leave_the_depth_as_it_was():
    check_lines("bracket_depth", ("#define A {(\n", "0000000000120"), ("b(", "01"))


def test_of_branches_each_begins_at_the_same_depth_and_one_is_taken():
    check_lines(
        "bracket_depth",
        ("#if X\n",   "000000"),
        ("a {\n",     "0011"),
        ("#elif Y\n", "11111110"),
        ("#else\n",   "000000"),
        ("b {\n",     "0011"),
        ("#endif\n",  "1111111"),
        ("}\n",       "00"),
    )  # fmt: skip


def test_a_branch_that_need_not_be_taken_leaves_the_depth_as_it_was():
    check_lines(
        "bracket_depth",
        ("#ifdef __cplusplus\n",  "0000000000000000000"),
        ('extern "C" {\n',        "0000000000011"),
        ("#endif\n",              "1111110"),
        ("f()\n",                 "0100"),
        ("#endif\n",              "0000000"),  # begun before the text
        ("{",                     "1"),
    )  # fmt: skip


def test_blocks_of_c_are_those_of_its_code():
    check_lines(
        "indentation_depth",
        ("/* a\n",       "0000 "),
        (" * b */\n",    " 000000 "),
        ("f(a,\n",       "0000 "),
        ("  b)\n",       "  00 "),
        ("{\n",          "0 "),
        ("    // c\n",   "    0000 "),
        ("  d;\n",       "  11 "),
        ("#if X\n",      "11111 "),
        ("  g(1,\n",     "  1111 "),
        ("     2);\n",   "     111 "),
        ("}\n",          "0 "),
    )  # fmt: skip


def test_types_of_a_library_are_no_keywords():
    assert marks("language_keyword", "size_t a; int8_t b; _Bool c;", "c") == "." * 20 + "^^^^^..."


def test_a_line_that_is_a_paragraph_ends_speech_that_nothing_else_ends():
    long = "a" * 200
    assert marks("quotes", f'b "{long}\nc', "prose") == ".." + "^" * 201 + ".."
    assert marks("quotes", f'b "{long[:90]}\nc', "prose") == ".." + "^" * 93
