"""Known answers: what counts as a difference, and how it is told."""
import copy
import json

import pytest

from darkroom_worker import ModelError, box, embedding, hash_, label, text
from darkroom_worker.expect import differences, read, told, write
from darkroom_worker.results import document

KNOWN = document({"items": [box(0.1, 0.1, 0.5, 0.5, "face", 0.9), box(0.6, 0.6, 0.9, 0.9, "face", 0.8), label("dark", 0.7),
                            text("HOPPER", 0.99), hash_("00ff", "dhash64"), embedding([1.0, 2.0], "faces-2")],
                  "fields": {"faces": 2, "brightness": 113.2, "colour": "#8e6a60"}, "summary": "2 faces"})


def changed(**members):
    now = copy.deepcopy(KNOWN)
    now.update(members)
    return now


def test_what_lies_within_the_tolerance_is_the_same_in_any_order():
    now = changed(items=[copy.deepcopy(item) for item in reversed(KNOWN["items"])])
    now["items"][-1]["box"][0] += 0.009
    now["items"][-1]["score"] -= 0.009
    now["fields"] = dict(KNOWN["fields"], brightness=113.9)
    assert differences(KNOWN, now, 0.01) == []


@pytest.mark.parametrize("break_it, said", [
    (lambda now: now["items"][0].update(score=0.7), 'box "face": score was 0.9, is 0.7'),
    (lambda now: now["items"][0]["box"].__setitem__(0, 0.2), 'box "face": box was [0.1, 0.1, 0.5, 0.5], is [0.2, 0.1, 0.5, 0.5]'),
    (lambda now: now["items"][0].update(label="mask"), 'box "face" is missing; box "mask" is new'),
    (lambda now: now["items"].pop(1), 'box "face" is missing'),
    (lambda now: now["items"][3].update(text="HOPPEN"), 'text "HOPPER" is missing; text "HOPPEN" is new'),
    (lambda now: now["items"][4].update(value="00fe"), 'hash "dhash64": value was "00ff", is "00fe"'),
    (lambda now: now["items"][5]["values"].append(3.0), 'embedding "faces-2": values was [1.0, 2.0], is [1.0, 2.0, 3.0]'),
    (lambda now: now["items"][2].pop("score"), 'label "dark": score was 0.7, is null'),
    (lambda now: now["fields"].update(faces=3), "faces was 2, is 3"),
    (lambda now: now["fields"].update(faces=2.0, brightness=150.0), "brightness was 113.2, is 150.0"),
    (lambda now: now["fields"].update(colour="#8e6a61"), 'colour was "#8e6a60", is "#8e6a61"'),
    (lambda now: now["fields"].pop("colour"), 'colour was "#8e6a60", is null'),
    (lambda now: now.update(summary=None), 'summary was "2 faces", is null'),
])
def test_a_difference_is_told_with_what_was_and_what_is(break_it, said):
    now = copy.deepcopy(KNOWN)
    break_it(now)
    assert told(differences(KNOWN, now, 0.01)) == said


def test_many_differences_are_counted():
    now = changed(items=[label("%d" % number) for number in range(20)])
    assert told(differences(KNOWN, now, 0.01)).endswith("; and 21 more")


def test_answers_name_their_photographs_from_where_they_lie(tmp_path):
    photograph = tmp_path / "photos" / "a.jpg"
    photograph.parent.mkdir()
    photograph.write_bytes(b"bytes")
    file = tmp_path / "answers" / "known.json"
    file.parent.mkdir()
    write(file, "faces", "1", {"min_score": 0.5}, [(photograph, "4b3a6218bb3e3a7303e8a171a60fcf92", KNOWN)])
    assert list(json.loads(file.read_text())["photographs"]) == ["../photos/a.jpg"]
    answers = read(file)
    assert answers.params == {"min_score": 0.5}
    assert answers.results == {photograph.resolve(): ("4b3a6218bb3e3a7303e8a171a60fcf92", KNOWN)}
    moved = tmp_path.rename(tmp_path.with_name("elsewhere")) / "answers" / "known.json"
    assert len(read(moved).results) == 1
    (moved.parents[1] / "photos" / "a.jpg").write_bytes(b"others")
    with pytest.raises(ModelError, match="a.jpg is not the photograph"):
        read(moved)
    (moved.parents[1] / "photos" / "a.jpg").unlink()
    with pytest.raises(ModelError, match="not there: .*a.jpg"):
        read(moved)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tolerance": 0.01, "params": {}, "photographs": {"a.jpg": 1}}'])
def test_a_file_without_answers_says_how_to_record_them(tmp_path, content):
    file = tmp_path / "known.json"
    file.write_text(content)
    with pytest.raises(ModelError, match="holds no known answers.*record them"):
        read(file)
    with pytest.raises(ModelError, match="cannot read"):
        read(tmp_path / "none.json")
