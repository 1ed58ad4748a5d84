"""The report of `darkroom-worker test --html`: one page that loads nothing, photographs with what was found drawn on them."""
import base64
import html
import io
import json
from importlib import resources
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from .image import Image

SIDE = 960  # pixels: the longer side of a photograph in the report
RAW_BYTES = 4 << 20  # without Pillow and OpenCV, files up to this size are embedded as they are
SHOWN_AS_IS = ("image/jpeg", "image/png", "image/gif", "image/webp")
COLOURS = 8  # classes c0 to c7 of the style
TAGS = 14  # with more marks than this, their labels would hide the photograph: they show on hovering
TEXT_CHARS = 28  # of a label at a mark
FIELDS_OPEN = 12  # longer tables of fields are folded
Json = Dict[str, Any]


class Card(NamedTuple):
    """One photograph: what was said of it, or why nothing was, and how that differs from its known answer."""

    name: str
    image: Optional[Image]  # None if there is nothing to be shown
    media_type: Optional[str]
    ms: float
    result: Optional[Json]
    error: Optional[str]
    differences: Sequence[str] = ()


class Page(NamedTuple):
    """The whole report: the model, facts in figures, and the photographs."""

    model: str
    version: str
    description: Optional[str]
    facts: Sequence[Tuple[str, str, str]]  # name, value, class (ok, no or nothing)
    cards: Iterable[Card]


def render(page: Page) -> str:
    """The page as HTML."""
    colours: Dict[str, str] = {}
    cards = "".join(_card(card, colours) for card in page.cards)
    facts = "".join('<div class="%s"><dt>%s</dt><dd>%s</dd></div>' % (kind, _e(name), _e(value)) for name, value, kind in page.facts)
    templates = resources.files(__package__) / "templates"
    style = "".join((templates / name).read_text(encoding="utf-8") for name in ("style.css", "report.css"))
    return PAGE.format(name=_e(page.model), version=_e(page.version), description="<p>%s</p>" % _e(page.description) if page.description else "",
                       style=style, facts=facts, cards=cards)


# Nothing is loaded and nothing runs, should something ever go unescaped.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Darkroom: {name} {version}</title>
<style>{style}</style>
</head>
<body>
<header class="top"><p class="kicker">Darkroom</p><h1>{name}</h1><p class="meta">{version}</p>{description}<dl class="counts">{facts}</dl></header>
<div class="switches"><label><input type="checkbox" id="marks" checked>Marks</label>
<label><input type="checkbox" id="only-bad">Only failures and differences</label></div>
<main class="cards">{cards}</main>
</body>
</html>
"""


def _card(card: Card, colours: Dict[str, str]) -> str:
    items = card.result["items"] if card.result else []
    taken: List[Tuple[float, float]] = []
    marks = [mark for mark in (_mark(item, colours, taken) for item in items) if mark]
    tags = "".join(mark.tag for mark in marks) if len(marks) <= TAGS else ""
    drawn = '<svg class="marks" viewBox="0 0 1000 1000" preserveAspectRatio="none">%s</svg>%s' % (
        "".join(mark.shape for mark in marks), tags) if marks else ""
    picture = _picture(card)
    stage = ('<label class="stage"><input type="checkbox" class="zoom" aria-label="Enlarge %s"><span class="frame">'
             '<img alt="%s" src="%s">%s</span></label>' % (_e(card.name), _e(card.name), picture, drawn)
             if picture else '<p class="stage none">It cannot be shown.</p>')
    bad = " bad" if card.error or card.differences else ""
    return ('<article class="card%s"><header class="edge"><h2 title="%s">%s</h2><span class="no">%s</span></header>%s'
            '<div class="body">%s</div></article>\n' % (bad, _e(card.name), _e(card.name), duration(card.ms), stage,
                                                     _said(card, colours)))


def _said(card: Card, colours: Dict[str, str]) -> str:
    """What stands below a photograph."""
    parts = []
    if card.error:
        parts.append('<div class="error"><pre>%s</pre></div>' % _e(card.error))
    if card.differences:
        parts.append('<div class="error"><p>It differs from the known answer:</p><ul>%s</ul></div>'
                     % "".join("<li>%s</li>" % _e(what) for what in card.differences))
    if card.result is None:
        return "".join(parts)
    result, items = card.result, card.result["items"]
    if result["summary"]:
        parts.append('<p class="summary">%s</p>' % _e(result["summary"]))
    named = [item for item in items if item["type"] in ("box", "label", "points")]
    if named:
        parts.append('<ul class="labels">%s</ul>' % "".join(_label(*group, colours) for group in _grouped(named)))
    texts = [item.get("text", "") for item in items if item["type"] == "text"]
    if texts:
        parts.append("<blockquote>%s</blockquote>" % "".join("<p>%s</p>" % _e(text) for text in texts))
    others = [_row(item) for item in items if item not in named and item["type"] != "text"]
    if others:
        parts.append(_table(others))
    if result["fields"]:
        table = _table([(name, _value(value)) for name, value in result["fields"].items()])
        opened = " open" if len(result["fields"]) <= FIELDS_OPEN else ""
        parts.append("<details%s><summary>%d field%s</summary>%s</details>"
                     % (opened, len(result["fields"]), "" if len(result["fields"]) == 1 else "s", table))
    if not items and not result["fields"] and not result["summary"]:
        parts.append('<p class="meta">Nothing found.</p>')
    return "".join(parts)


def _grouped(items: List[Json]) -> List[Tuple[str, List[float]]]:
    """Labels in order of appearance, each with the scores it was found with."""
    groups: Dict[str, List[float]] = {}
    for item in items:
        groups.setdefault(str(item.get("label") or item["type"]), []).append(item.get("score"))  # type: ignore[arg-type]
    return list(groups.items())


def _label(label: str, scores: List[float], colours: Dict[str, str]) -> str:
    known = sorted((score for score in scores if isinstance(score, (int, float))), reverse=True)
    range_ = "" if not known else "<span>%s</span>" % " – ".join(dict.fromkeys(_score(score) for score in (known[0], known[-1])))
    times = "<b>×%d</b>" % len(scores) if len(scores) > 1 else ""
    return '<li class="%s">%s%s%s</li>' % (_colour(label, colours), _e(label), times, range_)


class Mark(NamedTuple):
    """A shape on the photograph, in the 1000 × 1000 units of the overlay, and its label."""

    shape: str
    tag: str


def _mark(item: Json, colours: Dict[str, str], taken: List[Tuple[float, float]]) -> Optional[Mark]:
    """The mark of an item that has a place; `taken` is where labels stand already."""
    corners = _corners(item)
    if not corners:
        return None
    label = str(item.get("label") or item.get("text") or item["type"])
    short = label if len(label) <= TEXT_CHARS else label[:TEXT_CHARS - 1] + "…"
    score = item.get("score")
    said = short + (" " + _score(score) if isinstance(score, (int, float)) and item["type"] != "text" else "")
    kind = _colour("text" if item["type"] == "text" else label, colours)
    dots = item["type"] == "points"
    path = " ".join("M%g %gh0" % (x * 1000, y * 1000) for x, y in corners) if dots else \
        "M" + "L".join("%g %g" % (x * 1000, y * 1000) for x, y in corners) + "Z"
    shape = '<g class="%s%s"><title>%s</title><path class="under" d="%s"/><path class="over" d="%s"/></g>' % (
        kind, " dots" if dots else "", _e(said), path, path)
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    side = "right:%.2f%%" % ((1 - max(xs)) * 100) if min(xs) > 0.6 else "left:%.2f%%" % (min(xs) * 100)
    place, inside = "top:%.2f%%" % (min(ys) * 100), min(ys) < 0.07
    if any(abs(x - min(xs)) < 0.3 and abs(y - min(ys)) < 0.07 for x, y in taken):
        place, inside = "bottom:%.2f%%" % ((1 - max(ys)) * 100), True
    else:
        taken.append((min(xs), min(ys)))
    tag = '<span class="tag %s%s" style="%s;%s">%s</span>' % (kind, " in" if inside else "", side, place, _e(said))
    return Mark(shape, tag)


def _corners(item: Json) -> List[Tuple[float, float]]:
    if item["type"] == "box" and item.get("box"):
        x0, y0, x1, y1 = item["box"]
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return [(x, y) for x, y in item.get("polygon" if item["type"] == "text" else "points") or ()]


def _colour(label: str, colours: Dict[str, str]) -> str:
    return colours.setdefault(label, "c%d" % (len(colours) % COLOURS))


def _row(item: Json) -> Tuple[str, str]:
    if item["type"] == "hash":
        return str(item.get("algo")), str(item.get("value"))
    if item["type"] == "embedding":
        return str(item.get("space")), "%s numbers" % item.get("dim")
    return str(item["type"]), _value({name: value for name, value in item.items() if name != "type"})


def _table(rows: List[Tuple[str, str]]) -> str:
    cells = "".join('<tr><th scope="row">%s</th><td>%s</td></tr>' % (_e(name), _e(value)) for name, value in rows)
    return '<table class="fields">%s</table>' % cells


def _picture(card: Card) -> Optional[str]:
    """The photograph as a data URI, small and upright if Pillow or OpenCV is at hand, else as it is."""
    if card.image is None:
        return None
    try:
        return _uri("image/jpeg", _small(card.image))
    except Exception:  # whatever a decoder raises on a file that the model, too, may have refused
        data = card.image.read()
        return _uri(card.media_type, data) if card.media_type in SHOWN_AS_IS and len(data) <= RAW_BYTES else None


def _small(image: Image) -> bytes:
    try:
        import PIL  # noqa: F401
    except ImportError:
        import cv2
        pixels = cv2.cvtColor(image.array(), cv2.COLOR_RGB2BGR)
        scale = min(1.0, SIDE / max(pixels.shape[:2]))
        small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())
    picture, buffer = image.pil(), io.BytesIO()
    picture.thumbnail((SIDE, SIDE))
    picture.convert("RGB").save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


def _uri(media_type: Optional[str], data: bytes) -> str:
    return "data:%s;base64,%s" % (media_type, base64.b64encode(data).decode())


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _score(score: float) -> str:
    return "%.2f" % score


def duration(ms: float) -> str:
    """Milliseconds for people."""
    return "%.2f s" % (ms / 1000) if ms >= 1000 else "%.0f ms" % ms if ms >= 10 else "%.1f ms" % ms


def _e(text: str) -> str:
    return html.escape(text, quote=True)
