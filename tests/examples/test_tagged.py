"""Files of tagged words: read, written back, refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ifog.errors import ConfigError, DataError
from ifog.examples import Table
from ifog.examples.tagged import layout_of, read_tagged, where_word, write_tagged

COLUMNS = """-DOCSTART- -X- O O

EU NNP I-ORG
rejects VBZ O

Peter NNP I-PER


-DOCSTART- -X- O O
# CD O
\u00a0 NN O
-DOCSTART- -X- O O
"""

CONLLU = """# newdoc id = a
# text = Don't go.
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tDo\tdo\tAUX\tVB\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
2.1\tgone\tgo\tVERB\tVB\t_\t_\t_\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_

# text = #1
1\t#1\t_\tSYM\tNN\t_\t0\troot\t_\t_

"""


def written(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_columns_are_read_between_blank_lines_and_beginnings_of_documents(tmp_path: Path):
    table = read_tagged(written(tmp_path / "a.txt", COLUMNS))
    assert table.columns["words"] == [["EU", "rejects"], ["Peter"], ["#", "\u00a0"]]
    assert table.columns["tags"] == [["I-ORG", "O"], ["I-PER"], ["O", "O"]]
    assert [line for _, line in table.places] == [3, 6, 10]
    assert where_word(table, 0, 1) == f"{tmp_path}/a.txt:4"
    second = read_tagged(str(tmp_path / "a.txt"), tags="2")
    assert second.columns["tags"] == [["NNP", "VBZ"], ["NNP"], ["CD", "NN"]]


def test_a_beginning_of_a_document_ends_a_sentence_and_odd_signs_end_no_line(tmp_path: Path):
    table = read_tagged(written(tmp_path / "a.txt", "a\u2028b X\n-DOCSTART- O\nc\x85 Y\n"))
    assert table.columns["words"] == [["a\u2028b"], ["c\x85"]]
    assert [line for _, line in table.places] == [1, 3]


def test_conllu_is_read_without_ranges_and_empty_nodes(tmp_path: Path):
    path = written(tmp_path / "a.conllu", CONLLU)
    table = read_tagged(path)
    assert table.columns["words"] == [["Do", "n't", "go"], ["#1"]]
    assert table.columns["tags"] == [["AUX", "PART", "VERB"], ["SYM"]]
    assert where_word(table, 0, 2) == f"{path}:7"
    assert table.where(1) == f"{path}:10"
    other = read_tagged(path, words="lemma", tags="xpos")
    assert other.columns["words"][0] == ["do", "not", "go"]
    assert other.columns["tags"][0] == ["VB", "RB", "VB"]


def test_json_lines_are_read_by_name(tmp_path: Path):
    path = written(
        tmp_path / "a.jsonl", '{"tokens": ["a", "b"], "pos": ["X", "Y"], "id": 3}\n\n{"tokens": ["c"], "pos": ["X"]}'
    )
    table = read_tagged(path, words="tokens", tags="pos")
    assert table.columns["words"] == [["a", "b"], ["c"]]
    assert table.columns["tags"] == [["X", "Y"], ["X"]]
    assert where_word(table, 0, 1) == f"{path}:1, word 2"
    assert table.where(1) == f"{path}:3"


def test_columns_come_back_as_they_were_with_one_more(tmp_path: Path):
    for text in (COLUMNS, COLUMNS.replace("\n", "\r\n"), COLUMNS.rstrip("\n"), COLUMNS.replace(" ", "\t")):
        table = read_tagged(written(tmp_path / "a.txt", text))
        write_tagged(
            table.with_columns({"predicted": [["P"] * len(w) for w in table.columns["words"]]}), tmp_path / "b"
        )
        made, separator = (tmp_path / "b").read_bytes().decode(), "\t" if "\t" in text else " "
        assert made.replace(f"{separator}P", "") == text
        assert made.count(f"{separator}P") == 5
        again = read_tagged(tmp_path / "b")
        assert again.columns["tags"] == [["P", "P"], ["P"], ["P", "P"]]


def test_conllu_comes_back_with_predictions_as_its_tags(tmp_path: Path):
    table = read_tagged(written(tmp_path / "a.conllu", CONLLU))
    write_tagged(table.with_columns({"predicted": table.columns["tags"]}), tmp_path / "b.conllu")
    assert (tmp_path / "b.conllu").read_bytes().decode() == CONLLU
    made = [["AUX", "ADV", "VERB"], ["SYM"]]
    write_tagged(table.with_columns({"predicted": made}), tmp_path / "b.conllu.gz")
    assert gzip.decompress((tmp_path / "b.conllu.gz").read_bytes()).decode() == CONLLU.replace("PART", "ADV")
    assert read_tagged(tmp_path / "b.conllu.gz").columns["tags"] == made


def test_json_lines_come_back_with_one_more_name(tmp_path: Path):
    table = read_tagged(
        written(tmp_path / "a.jsonl", '{"id": "é", "words": ["a"], "n": [1.5, null]}\n'), labelled=False
    )
    write_tagged(table.with_columns({"predicted": [["X"]]}), tmp_path / "b.jsonl")
    made = (tmp_path / "b.jsonl").read_text("utf-8")
    assert made == '{"id": "é", "words": ["a"], "n": [1.5, null], "predicted": ["X"]}\n'


@pytest.mark.parametrize("name", ["b.txt", "b.conllu", "b.jsonl", "b.txt.gz"])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_table_that_was_no_file_can_be_written(tmp_path: Path, name: str, labelled: bool):
    columns = {"words": [["a", "b"], ["c"]], "predicted": [["X", "Y"], ["Z"]]} | (
        {"tags": [["T", "T"], ["T"]]} if labelled else {}
    )
    write_tagged(Table(columns, [("example", 1), ("example", 2)]), tmp_path / name)
    again = read_tagged(tmp_path / name, tags="predicted" if name == "b.jsonl" else None)
    assert again.columns["words"] == columns["words"]
    assert again.columns["tags"] == columns["predicted"]


@pytest.mark.parametrize("name", ["b.txt", "b.conllu", "b.jsonl"])
def test_sentences_can_be_written_as_they_are(tmp_path: Path, name: str):
    columns = {"words": [["a", "b"], ["c"]], "tags": [["T", "U"], ["T"]]}
    write_tagged(Table(columns, [("example", 1), ("example", 2)]), tmp_path / name, predicted=None)
    again = read_tagged(tmp_path / name)
    assert {column: again.columns[column] for column in columns} == columns
    before = (tmp_path / name).read_bytes()
    write_tagged(again, tmp_path / name, predicted=None)
    assert (tmp_path / name).read_bytes() == before


def test_a_file_of_one_layout_is_written_in_another(tmp_path: Path):
    table = read_tagged(written(tmp_path / "a.conllu", CONLLU))
    write_tagged(table.with_columns({"predicted": [["X"] * 3, ["Y"]]}), tmp_path / "b.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert rows[1] == {"words": ["#1"], "tags": ["SYM"], "predicted": ["Y"]}


def test_several_files_are_one_table(tmp_path: Path):
    paths = [
        written(tmp_path / "a.txt", "a X\n"),
        written(tmp_path / "b.txt.gz", gzip.compress(b"\xef\xbb\xbfb\tY\tZ\n")),
    ]
    table = read_tagged(paths)
    assert table.columns["words"] == [["a"], ["b"]]
    assert table.columns["tags"] == [["X"], ["Z"]]
    assert table.where(1) == f"{paths[1]}:1"


def test_without_labels_one_column_is_enough(tmp_path: Path):
    table = read_tagged(written(tmp_path / "a.txt", "Hello\nworld\n"), labelled=False)
    assert table.columns["words"] == [["Hello", "world"]]
    assert "tags" not in table.columns


def test_the_name_tells_the_layout():
    assert [layout_of(name) for name in ("a.CONLLU.GZ", "a.ndjson", "a.jsonl.gz", "a.gz", "a")] == [
        "conllu",
        "jsonl",
        "jsonl",
        "columns",
        "columns",
    ]


BAD = {
    "empty": ("a.txt", "", r"a\.txt: there is no sentence"),
    "blank": ("a.txt", "\n \n-DOCSTART- O\n", r"a\.txt: there is no sentence"),
    "one column": ("a.txt", "\nHello\nworld\n", r"a\.txt:2: one column.*give a word and its tag"),
    "ragged": ("a.txt", "a b X\n\nc Y\n", r"a\.txt:3: 2 columns where the lines before have 3"),
    "latin": ("a.txt", b"a X\nb\xe9 Y\n", r"a\.txt:2: this is not UTF-8"),
    "fields": ("a.conllu", "# c\n1\ta\tb\n", r"a\.conllu:2: 3 fields between tabs.*has 10"),
    "spaces": ("a.conllu", "1 a a X _ _ _ _ _ _\n", r"a\.conllu:1: 1 fields between tabs"),
    "ids": ("a.conllu", CONLLU.replace("\n\n# text = #1", ""), r"a\.conllu:8: the word's id is '1' where 4 comes"),
    "untagged": ("a.conllu", CONLLU.replace("SYM", "_"), r"a\.conllu:10: the word '#1' has no tag"),
    "json": ("a.jsonl", '{"words": ["a"], "tags": ["X"]}\n{oh}\n', r"a\.jsonl:2: this is no JSON"),
    "object": ("a.jsonl", "[1]\n", r"a\.jsonl:1: no object"),
    "column": ("a.jsonl", '{"words": ["a"], "tag": ["X"]}\n', r"a\.jsonl:1: there is no column 'tags'.*'words', 'tag'"),
    "text": ("a.jsonl", '{"words": "a b", "tags": ["X"]}\n', r"a\.jsonl:1: 'words' is \"a b\"; give a list of strings"),
    "numbers": ("a.jsonl", '{"words": ["a"], "tags": [3]}\n', r"a\.jsonl:1: 'tags' is \[3\]; give a list of strings"),
    "length": ("a.jsonl", '\n{"words": ["a", "b"], "tags": ["X"]}\n', r"a\.jsonl:2: 1 tags for 2 words"),
    "no words": ("a.jsonl", '{"words": [], "tags": []}\n', r"a\.jsonl:1: no words"),
    "not gzip": ("a.txt.gz", "a X\n", r"a\.txt\.gz can't be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, case: str):
    name, text, message = BAD[case]
    with pytest.raises(DataError, match=message):
        read_tagged(written(tmp_path / name, text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.txt can't be read: No such file"):
        read_tagged(tmp_path / "none.txt")


def test_a_cut_gzip_file_is_refused(tmp_path: Path):
    path = written(tmp_path / "a.txt.gz", gzip.compress(b"a X\n" * 100)[:-10])
    with pytest.raises(DataError, match="can't be read"):
        read_tagged(path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.txt", {"tags": "upos"}, "tags is 'upos', but columns without names are numbered"),
        ("a.txt", {"words": "0"}, "words is '0'"),
        ("a.conllu", {"tags": "3"}, "tags is '3', but the fields of CoNLL-U are id, form"),
    ],
)
def test_a_column_that_the_layout_cannot_have_is_refused(
    tmp_path: Path, name: str, options: dict[str, str], message: str
):
    path = written(tmp_path / name, CONLLU if name.endswith("u") else COLUMNS)
    with pytest.raises(ConfigError, match=message):
        read_tagged(path, **options)


def test_a_column_beyond_the_last_is_refused_with_its_line(tmp_path: Path):
    with pytest.raises(DataError, match=r"a\.txt:3: there is no column 4 for the tags, the line has 3"):
        read_tagged(written(tmp_path / "a.txt", COLUMNS), tags="4")


def test_files_of_different_layouts_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="one layout"):
        read_tagged([written(tmp_path / "a.txt", COLUMNS), written(tmp_path / "a.conllu", CONLLU)])
    with pytest.raises(ConfigError, match="no files"):
        read_tagged([])


def test_predictions_of_another_number_than_words_are_not_written(tmp_path: Path):
    table = read_tagged(written(tmp_path / "a.txt", COLUMNS))
    with pytest.raises(DataError, match=r"a\.txt:6: 2 predicted tags for 1 words"):
        write_tagged(table.with_columns({"predicted": [["P"] * 2] * 3}), tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("name", "sentences", "words"),
    [
        ("conll2003/eng.testa", 3250, 51362),
        ("ud_english_ewt/en_ewt-ud-dev.conllu", 2001, 25147),
    ],
)
def test_real_files_come_back_to_the_byte(data: Path, tmp_path: Path, name: str, sentences: int, words: int):
    table = read_tagged(data / name)
    assert (len(table), sum(map(len, table.columns["words"]))) == (sentences, words)
    assert all(map(len, table.columns["words"]))
    out = tmp_path / Path(name).name
    write_tagged(table.with_columns({"predicted": table.columns["tags"]}), out)
    made, before = out.read_text("utf-8"), (data / name).read_text("utf-8")
    if not name.endswith("conllu"):
        lines = [line.rpartition(" ")[0] if line and not line.startswith("-DOC") else line for line in made.split("\n")]
        made = "\n".join(lines)
    assert made == before
