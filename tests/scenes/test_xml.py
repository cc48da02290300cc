"""XML of products comes from strangers."""

import pytest

from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.xml import need, need_count, need_number, need_text, number_at, read_xml, root_tag, text_of

GOOD = b'<?xml version="1.0"?><s:product xmlns:s="urn:x" s:kind="a"><s:k>1.5</s:k><t> hi </t><e/></s:product>'
BOMB = b'<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY d "&b;&b;&b;">]><a>&d;</a>'


def test_names_come_without_namespaces(tmp_path):
    (tmp_path / "a.xml").write_bytes(GOOD)
    root = read_xml(tmp_path / "a.xml")
    assert (root.tag, root.attrib) == ("product", {"kind": "a"})
    assert need_number(root, "k", "a.xml") == 1.5
    assert text_of(root, "t") == "hi"
    assert text_of(root, "none", "x") == "x"
    assert number_at(root, "t", 7.0) == 7.0
    assert root_tag(tmp_path / "a.xml") == "product"


@pytest.mark.parametrize(
    "content",
    [
        BOMB,
        BOMB.decode().encode("utf-16"),
        BOMB.decode().encode("utf-16-le"),
        b'<?xml version="1.0" encoding="utf-7"?>' + BOMB,
        b"<!doctype a SYSTEM 'http://example.org/a.dtd'><a/>",
        b'<?xml version="1.0" encoding="no-such-thing"?><a/>',
        GOOD[:-10],
        b"",
        b"\x89PNG\r\n",
        "<a>ä</a>".encode("latin-1"),
    ],
)
def test_refused(content):
    with pytest.raises(DamagedProduct, match=r"it\.xml"):
        read_xml(content, "it.xml")


def test_utf_16_and_latin_1_are_read():
    assert read_xml('<?xml version="1.0" encoding="utf-16"?><a>ä</a>'.encode("utf-16")).text == "ä"
    assert read_xml('<?xml version="1.0" encoding="ISO-8859-1"?><a>ä</a>'.encode("latin-1")).text == "ä"


def test_absent_parts_name_the_file_and_the_element(tmp_path):
    root = read_xml(GOOD)
    with pytest.raises(DamagedProduct, match=r"p\.xml has no element q/r"):
        need(root, "q/r", "p.xml")
    with pytest.raises(DamagedProduct, match="nothing in its element e"):
        need_text(root, "e", "p.xml")
    with pytest.raises(DamagedProduct, match="'hi' in t, which is not a number"):
        need_number(root, "t", "p.xml")
    for bad in ("nan", "inf", "1e400"):
        with pytest.raises(DamagedProduct, match="not a number"):
            need_number(read_xml(f"<a><b>{bad}</b></a>".encode()), "b", "p.xml")
    for bad in ("-1", "1.5", "1e30"):
        with pytest.raises(DamagedProduct, match="not a number of things"):
            need_count(read_xml(f"<a><b>{bad}</b></a>".encode()), "b", "p.xml")
    with pytest.raises(DamagedProduct, match="cannot be read"):
        read_xml(tmp_path / "none.xml")


def test_root_tag_looks_past_comments(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes(b"<?xml version='1.0'?>\n<!-- <b> -->\n<level1Product xmlns:x='y'>")
    assert root_tag(path) == "level1Product"
    path.write_bytes(b"II*\x00")
    assert root_tag(path) == ""
    assert root_tag(tmp_path / "none.xml") == ""
