"""The report: one page that loads nothing, whatever a model says."""
import re
from html.parser import HTMLParser

from darkroom_worker import Image, box, hash_, label, points, text
from darkroom_worker.overlay import Card, Page, render
from darkroom_worker.results import document
from darkroom_worker.scaffold import gradient

VOID = ("meta", "img", "input", "path")


class Tags(HTMLParser):
    """Asserts that every element is closed where it should be."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page(tmp_path, result, error=None, differences=()):
    file = tmp_path / "a.png"
    file.write_bytes(gradient())
    card = Card("a.png", Image(str(file)), "image/png", 12.0, document(result) if result is not None else None, error, differences)
    return render(Page("faces", "1", "Frontal faces", [("photographs", "1", "")], [card]))


def test_boxes_labels_texts_and_points_are_drawn(tmp_path):
    said = page(tmp_path, {"items": [box(0.1, 0.2, 0.5, 0.6, "face", 0.91), label("dark", 0.7), hash_("00ff", "dhash64"),
                                     text("HOPPER", 0.99, [(0.1, 0.8), (0.4, 0.8), (0.4, 0.9), (0.1, 0.9)]),
                                     points([(0.2, 0.3), (0.3, 0.3)], "eyes")], "fields": {"faces": 1}, "summary": "1 face"})
    tags = Tags(said).seen
    shapes = [attrs["d"] for tag, attrs in tags if tag == "path"]
    assert "M100 200L500 200L500 600L100 600Z" in shapes and "M200 300h0 M300 300h0" in shapes and len(shapes) == 6
    pictures = [attrs["src"] for tag, attrs in tags if tag == "img"]
    assert len(pictures) == 1 and re.match("data:image/(png|jpeg);base64,", pictures[0])
    for what in ("face 0.91", "HOPPER", "eyes", "dark", "00ff", "1 face", "12 ms"):
        assert what in said


def test_nothing_is_loaded_and_nothing_escapes(tmp_path):
    evil = '"><script>alert(1)</script>'
    said = page(tmp_path, {"items": [box(0, 0, 1, 1, evil), text(evil), label(evil), {"type": evil, evil: evil}],
                           "fields": {evil: evil}, "summary": evil}, differences=[evil])
    assert "<script" not in said
    assert all(not attrs.get("src", "data:").startswith(("http", "/")) and "href" not in attrs for _, attrs in Tags(said).seen)
    assert "default-src 'none'" in said and "url(" not in said
    assert "<script" not in page(tmp_path, None, error=evil)


def test_failures_and_differences_stand_out(tmp_path):
    def bad(said):
        return [attrs["class"] for tag, attrs in Tags(said).seen if tag == "article"] == ["card bad"]
    assert not bad(page(tmp_path, {"faces": 1}))
    assert bad(page(tmp_path, None, error="Reject: not a photograph"))
    assert bad(page(tmp_path, {"faces": 1}, differences=["faces was 2, is 1"]))
