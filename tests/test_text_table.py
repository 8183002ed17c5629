"""Tables as hospitals export them, and files that are no tables at all."""

import gzip
import io
import zipfile

import pytest

from ctrs import text_table
from ctrs.errors import InputRejected
from ctrs.text_table import read_text_table, shown


@pytest.fixture
def file(tmp_path):
    def file(content):
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return file


def cells(table):
    return {row: list(values) for row, *values in table.cells.itertuples()}


# --- What is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_any_separator_and_cells_without_the_spaces_around_them(file, separator):
    text = f"patient{separator} months \n A1 {separator}4\nA2{separator}NA\n"
    table = read_text_table(file(text))
    assert list(table.cells.columns) == ["patient", "months"]
    assert cells(table) == {2: ["A1", "4"], 3: ["A2", None]}
    assert table.separator == separator


def test_rows_are_numbered_as_in_a_spreadsheet(file):
    table = read_text_table(file('# exported by X\na,b\n1,2\n\n,\n"x\ny",4\n5\n7,8,9\n'))
    # Row 2 is the first below the names; empty rows are counted, a cell may hold a line break.
    assert cells(table) == {2: ["1", "2"], 5: ["x\ny", "4"]}
    assert table.uneven == {6: 1, 7: 3}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_any_encoding(file, encoding):
    table = read_text_table(file("Größe;b\nJörg;1\n".encode(encoding)))
    assert list(table.cells.columns) == ["Größe", "b"]
    assert cells(table) == {2: ["Jörg", "1"]}


def test_a_formula_is_text_and_windows_line_ends_are_line_ends(file):
    table = read_text_table(file("a,b\r\n=1+1,@SUM(1)\r\n"))
    assert cells(table) == {2: ["=1+1", "@SUM(1)"]}


def test_names_of_columns_may_be_missing_once(file):
    assert list(read_text_table(file(",time\n1,2\n")).cells.columns) == ["", "time"]  # from R


# --- What is not ---------------------------------------------------------------------------------


def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "The file is empty"),
        ("\n\n", "The file is empty"),
        ("patient,time\n", "nothing below it"),
        (zipped(), "an Excel workbook or a zip"),
        (gzip.compress(b"a,b\n1,2\n"), "compressed with gzip"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\x00", "no table of text"),
        (b"a,b\n1,\x00\n", "no table of text"),
        (bytes(range(256)) * 40, "no table of text"),
        ("<!DOCTYPE html><table><tr><td>a</td></tr></table>", "a web page"),
        ("P-1,12.5,1,67\nP-2,3,0,71\n", "3 of 4 cells of the first line are numbers"),
        ("a,b,a\n1,2,3\n", "Two columns share a name: “a”"),
        ("a,b\n1\n2\n3,4\n", "2 of 3 rows do not have 2 cells"),
        (",".join(f"c{n}" for n in range(1001)) + "\n" + "x," * 1000 + "x\n", "1001 columns"),
        ('a,b\n"' + "x" * 200_000 + '",1\n', "no table of text"),
    ],
)
def test_what_is_no_table_is_refused_with_a_way_on(file, content, what):
    with pytest.raises(InputRejected, match=what) as caught:
        read_text_table(file(content))
    assert caught.value.next_step


def test_a_file_too_large_is_refused_before_it_is_read(file, monkeypatch):
    path = file("")
    with path.open("wb") as sparse:
        sparse.truncate(2 * 1024**3)  # takes no room on the disk
    monkeypatch.setattr(type(path), "read_bytes", lambda _: pytest.fail("was read"))
    with pytest.raises(InputRejected, match="2048 MB; up to 256 MB"):
        read_text_table(path)


def test_too_many_rows_are_refused(file, monkeypatch):
    monkeypatch.setattr(text_table, "MAX_ROWS", 3)
    assert len(read_text_table(file("a,b\n" + "1,2\n" * 3)).cells) == 3
    with pytest.raises(InputRejected, match="more than 3 rows"):
        read_text_table(file("a,b\n" + "1,2\n" * 4))


def test_a_name_in_a_message_is_short_and_can_be_printed():
    assert shown("x" * 300) == "x" * 39 + "…"
    assert shown("a\x1b[31m\u202eb") == "a?[31m?b"
