"""`darkroom-worker test`: every photograph is answered for, and what is wrong is said and felt."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import png

SHADE = """
    '''How light a photograph is.'''
    from darkroom_worker import Reject, label
    name, version = "shade", "1"
    print("loading")
    def predict(image):
        data = image.read()
        if not data.startswith(b"\\x89PNG"):
            raise Reject("not a PNG")
        return {"items": [label("png", 0.5)], "fields": {"bytes": len(data)}}
"""


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    png(folder / "a.png", 3, 2)
    png(folder / "deeper" / ".hidden", 4, 3)
    (folder / "notes.txt").write_text("no photograph")
    return folder


def try_out(*arguments, **options):
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run([sys.executable, "-m", "darkroom_worker", "test", *map(str, arguments)], env=environment,
                          capture_output=True, text=True, timeout=60, **options)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_folders_are_searched_by_content_and_each_photograph_is_a_line_of_json(write, photos):
    os.mkfifo(photos / "pipe.png")
    code, lines, told = try_out(write("shade.py", SHADE), photos, photos / "a.png")
    assert code == 0, told
    assert [Path(line["file"]).name for line in lines] == ["a.png", ".hidden"]
    assert lines[0]["outcome"] == "succeeded" and lines[0]["error"] is None and len(lines[0]["md5"]) == 32 and lines[0]["ms"] > 0
    assert lines[0]["result"]["items"] == [{"type": "label", "label": "png", "score": 0.5}]
    assert "shade 1: 2 photographs, 0 failed, 2 other files skipped; p50 " in told


def test_a_folder_is_its_model_py_or_the_file_named_as_it_is(write, photos, tmp_path):
    write("shade/shade.py", SHADE)
    code, _, told = try_out(tmp_path / "shade", photos)
    assert code == 0 and "shade 1: 2 photographs" in told, told
    write("shade/model.py", SHADE.replace('"1"', '"2"'))
    assert "shade 2: 2 photographs" in try_out(tmp_path / "shade", photos)[2]


def test_it_goes_on_after_a_failure_and_ends_with_1(write, photos):
    code, lines, told = try_out(write("shade.py", SHADE), photos / "notes.txt", photos / "a.png")
    assert code == 1 and [line["outcome"] for line in lines] == ["rejected", "succeeded"]
    assert lines[0]["error"]["message"] == "not a PNG"
    assert "FAILED %s: Reject: not a PNG" % (photos / "notes.txt") in told and "2 photographs, 1 failed" in told


@pytest.mark.parametrize("arguments, said", [
    (["{model}", "{photos}/none.png"], "there is no file or folder"),
    (["{model}"], "no photographs"),
    (["{model}", "{photos}", "--expect", "{photos}/notes.txt"], "holds no known answers"),
])
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(write, photos, arguments, said):
    model = write("shade.py", SHADE)
    code, lines, told = try_out(*(one.format(model=model, photos=photos) for one in arguments))
    assert code == 2 and lines == [] and said in told and "Traceback" not in told, told


def test_the_page_shows_successes_and_failures(write, photos, tmp_path):
    page = tmp_path / "report.html"
    code, _, told = try_out(write("shade.py", SHADE), photos, photos / "notes.txt", "--html", page)
    assert code == 1 and page.as_uri() in told
    said = page.read_text()
    assert said.count("<article") == 3 and said.count('class="card bad"') == 1 and said.count("data:image/") == 2
    assert "How light a photograph is." in said and "Reject: not a PNG" in said and "deeper/.hidden" in said


def test_known_answers_are_recorded_and_then_compared(write, photos, tmp_path):
    answers = tmp_path / "answers.json"
    code, _, told = try_out(write("shade.py", SHADE), photos, photos / "notes.txt", "--expect", answers)
    assert code == 1 and not answers.exists() and "was not written" in told
    assert try_out(write("shade.py", SHADE), photos, "--expect", answers)[0] == 0
    recorded = answers.read_text()
    assert list(json.loads(recorded)["photographs"]) == ["photos/a.png", "photos/deeper/.hidden"]
    code, lines, told = try_out(write("shade.py", SHADE.replace("0.5", "0.505")), "--expect", answers)
    assert code == 0 and len(lines) == 2 and "compared with 2 known answers" in told
    code, lines, told = try_out(write("shade.py", SHADE.replace("0.5", "0.52")), photos, "--expect", answers)
    assert code == 1 and 'FAILED %s: label "png": score was 0.5, is 0.52' % (photos / "a.png") in told
    assert lines[0]["differences"] == ['label "png": score was 0.5, is 0.52']
    assert answers.read_text() == recorded


@pytest.mark.parametrize("source, said", [
    ("def predict(image) return 1", "SyntaxError"),
    ("def init():\n    raise OSError('no weights')\ndef predict(image): ...", "OSError: no weights"),
    ("import os\nos._exit(3)", "exit code 3"),
    ("answer = 1", "ModelError: the module needs predict(image)"),
    (None, "there is no file"),
])
def test_a_model_that_does_not_load_is_told_with_its_reason(write, photos, tmp_path, source, said):
    code, lines, told = try_out(write("broken.py", source) if source else tmp_path / "none.py", photos)
    assert code == 1 and lines == [] and "the model does not load" in told and said in told
    assert ("Traceback" in told) == (said[:3] == "OSE") and "child.py" not in told and "importlib" not in told, told


def test_what_the_server_would_refuse_has_failed(write, photos):
    model = write("boxes.py", """
        def predict(image):
            return {"items": [{"type": "box", "box": [1, 1, 2, 2], **image.params}]}
    """)
    code, lines, told = try_out(model, photos / "a.png")
    assert code == 1 and "InvalidResult: /items/0/box is not [x0, y0, x1, y1] in fractions" in told, told
    assert lines[0]["outcome"] == "rejected" and lines[0]["result"] is None
    assert try_out(model, photos / "a.png", "--params", '{"box": [0.1, 0.1, 0.2, 0.2]}')[0] == 0


def test_what_hangs_or_dies_fails_alone(write, photos):
    model = write("rough.py", """
        import os, time
        def predict(image):
            if image.read()[19] == 3:
                os._exit(7)
            if image.read()[19] == 4:
                time.sleep(600)
            return 1
    """)
    png(photos / "b.png", 5, 2)
    code, lines, told = try_out(model, photos, "--timeout", 2)
    assert code == 1, told
    said = {Path(line["file"]).name: line["error"] and line["error"]["message"] for line in lines}
    assert "exit code 7" in said["a.png"] and "longer than the 2 s" in said[".hidden"] and said["b.png"] is None


def test_batches_are_tried_as_they_are_served(write, photos):
    png(photos / "b.png", 5, 2)
    model = write("batched.py", """
        batch_size = 2
        def predict_batch(images):
            return [len(images)] * len(images)
    """)
    code, lines, _ = try_out(model, photos)
    assert code == 0 and [line["result"]["fields"]["value"] for line in lines] == [2, 2, 1]
    code, lines, told = try_out(write("short.py", "def predict(image): return 1\ndef predict_batch(images): return []"), photos)
    assert code == 0 and "a batch was done one by one" in told and "answered 0 results" in told


def test_parameters_are_given_and_kept_with_the_answers(write, photos, tmp_path):
    model, answers = write("asked.py", "def predict(image, *, shade: int): return shade"), tmp_path / "answers.json"
    assert try_out(model, photos)[0] == 1
    code, lines, told = try_out(model, photos, "--params", '{"shade": 7}', "--expect", answers)
    assert code == 0 and lines[0]["result"]["fields"]["value"] == 7, told
    assert try_out(model, "--expect", answers)[0] == 0
    for params, said in [('{"shade": 8}', "the answers to other parameters"), ("{", "not JSON"), ("[1]", "not a JSON object")]:
        code, _, told = try_out(model, photos, "--params", params, "--expect", answers)
        assert code == 2 and said in told, told


def test_a_name_that_is_no_text_is_a_name(write, tmp_path):
    photo = os.fsencode(tmp_path) + b"/\xff\xe4.png"
    try:
        png(os.fsdecode(photo), 3, 2)
    except OSError:
        pytest.skip("this file system keeps text only")
    model, answers, page = write("shade.py", SHADE), tmp_path / "answers.json", tmp_path / "report.html"
    for _ in ("recorded", "compared"):
        code, lines, told = try_out(model, os.fsdecode(photo), "--expect", answers, "--html", page)
        assert code == 0 and lines[0]["file"].endswith(".png"), told
    assert "compared with 1 known answer " in told and ".png" in page.read_text()
