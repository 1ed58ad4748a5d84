"""Modules of all accepted shapes, loaded; and one image's fate is never another's."""
import json

import pytest

from darkroom_worker import Image, ModelError, model


def run(loaded, images, **named):
    """The outcomes in order, as (kind, fields or message)."""
    told = sorted(loaded.run(images, **named))
    assert [index for index, _ in told] == list(range(len(images)))
    return [(o.kind, json.loads(o.result)["fields"] if o.result else (o.error or {}).get("message")) for _, o in told]


@pytest.fixture
def images(photo):
    return [Image(photo, params={"n": n}) for n in range(3)]


def test_a_module_says_all_of_itself(load):
    loaded = load('''
        """Counts things.

        Slowly."""
        name, version, tags, labels = "counter", "v-2", ["a", "b"], ("x", "y")
        batch_size = 4
        def predict_batch(images): return [1 for _ in images]
    ''')
    about = loaded.about()
    assert about.pop("files") and about == {
        "model": "counter", "version": "v-2", "description": "Counts things.\n\nSlowly.", "tags": ["a", "b"],
        "labels": ["x", "y"], "params_schema": None, "batch_size": 4, "batched": True}


def test_a_module_that_says_nothing_is_named_by_its_file_and_its_code(load, tmp_path):
    loaded = load("def predict(image): return 1", "My Model.py")
    version = loaded.version
    assert (loaded.name, loaded.batch_size, loaded.description) == ("my_model", 1, None)
    assert version.startswith("code-") and version == loaded.version
    (tmp_path / "requirements.txt").write_text("numpy==2\n")
    assert loaded.version != version
    (tmp_path / "unrelated.py").write_text("")
    (tmp_path / "requirements.txt").unlink()
    assert loaded.version == version
    (tmp_path / "My Model.py").write_text("def predict(image): return 2")
    assert loaded.version != version
    assert load("def predict(image): 1", "eyes/model.py", version="mine").version == "mine"
    assert load("def predict(image): 1", "hands/model.py").name == "hands"


@pytest.mark.parametrize("source", [
    "def init():\n  global w; w = 1\ndef predict(image): return {'n': image.params['n'], 'w': w}",
    "class Model:\n  def setup(self): self.w = 1\n  def predict(self, image): return {'n': image.params['n'], 'w': self.w}",
    "class Base:\n  def setup(self): self.w = 1\n"
    "class Runner(Base):\n  def run(self, image): return {'n': image.params['n'], 'w': self.w}",
    "def predict(name): return {'classes': [], 'result': {'n': name.params['n'], 'w': 1}}",
    "def predict_batch(names): return {name: {'n': name.params['n'], 'w': 1} for name in names}",
    "def predict_batch(images):\n  for image in images: yield {'n': image.params['n'], 'w': 1}",
    "class Model:\n  def predict_batch(self, images): return [{'n': i.params['n'], 'w': 1} for i in images]",
])
def test_functions_classes_and_upstreams_shape_are_taken(load, tmp_path, photo, source):
    from conftest import png
    images = [Image(png(tmp_path / ("%d.png" % n), 1, 1), params={"n": n}) for n in range(3)]
    assert run(load(source), images) == [("succeeded", {"n": n, "w": 1}) for n in range(3)]


def test_upstreams_config_is_read(write, load):
    write("config.py", "model_name = 'average'\nmodel_tags = 'colour'\nbatch_size = 16\n")
    loaded = load("from config import batch_size\ndef predict(name): return {'classes': [], 'result': {}}", "model.py")
    assert (loaded.name, loaded.tags, loaded.batch_size) == ("average", ["colour"], 16)


@pytest.mark.parametrize("source, why", [
    ("x = 1", "the module needs predict"),
    ("class A:\n  def predict(self, i): 1\nclass B:\n  def predict(self, i): 1", "it has A, B"),
    ("name = 'No Good'\ndef predict(image): 1", "'No Good'"),
    ("def predict(): 1", "takes no image"),
    ("def predict(image, weights): 1", "give it a default"),
])
def test_what_cannot_be_served_is_told(load, source, why):
    with pytest.raises(ModelError, match=why):
        load(source)
    with pytest.raises(ModelError, match="there is no file"):
        model.load("/nowhere/model.py")


def test_each_image_has_its_own_fate(load, images):
    loaded = load('''
        import sys
        from darkroom_worker import Cancelled, Reject, Retry
        def predict(image):
            n = image.params["n"]
            if n == 0: raise Reject("never")
            if n == 1: raise Retry(after=30)
            if n == 2: raise KeyError("k")
            if n == 3: raise Cancelled
            if n == 4: sys.exit(3)
            if n == 5: return float("nan")
            return {"n": n}
    ''')
    images = [Image(str(images[0]), params={"n": n}) for n in range(7)]
    outcomes = [outcome for _, outcome in loaded.run(images)]
    assert [o.kind for o in outcomes] == ["rejected", "retry", "retry", "cancelled", "retry", "rejected", "succeeded"]
    assert outcomes[1].after == 30 and outcomes[2].error["type"] == "KeyError"
    assert "a_model.py" in outcomes[2].error["traceback"]
    assert outcomes[5].error["type"] == "InvalidResult" and outcomes[5].error["message"].startswith("/ is nan")


@pytest.mark.parametrize("fault", ["raise RuntimeError('batch')", "return [{}]", "return None", "raise SystemExit(1)"])
def test_a_failed_batch_is_done_one_by_one(load, images, fault):
    loaded = load('''
        def predict_batch(images):
            if len(images) > 1: %s
            if images[0].params["n"] == 1: raise RuntimeError("bad one")
            return [{"n": image.params["n"]} for image in images]
    ''' % fault)
    images = [Image(str(images[0]), params={"n": 0}), Image(str(images[0]), params={"n": 0})]
    assert run(loaded, images) == [("succeeded", {"n": 0})] * 2 and loaded.batch_error
    assert run(loaded, [Image(str(images[0]), params={"n": 1})]) == [("retry", "bad one")]


def test_only_images_of_the_same_parameters_go_in_one_call(load, images):
    plain = load("def predict_batch(images): return [{'n': len(images)}] * len(images)")
    assert run(plain, images) == [("succeeded", {"n": 3})] * 3  # it asks for none
    asking = load("def predict_batch(images, *, n: int): return [{'n': n}] * len(images)")
    assert run(asking, images) == [("succeeded", {"n": n}) for n in range(3)]


def test_an_exception_in_a_batchs_list_is_that_images_failure(load, photo):
    loaded = load('''
        from darkroom_worker import Reject
        def predict_batch(images): return [Reject("blurred"), {"n": 1}]
    ''')
    assert run(loaded, [Image(photo)] * 2) == [("rejected", "blurred"), ("succeeded", {"n": 1})]


def test_keyword_arguments_are_parameters(load, photo):
    loaded = load('''
        from typing import List, Literal, Optional
        def predict(image, *, min_score: float = 0.3, n: int = 1, mode: Literal["fast", "good"] = "fast",
                    words: Optional[List[str]] = None, need: bool, odd=2):
            return {"got": [min_score, n, mode, words, need, odd]}
    ''')
    assert loaded.params.schema() == {"type": "object", "additionalProperties": False, "required": ["need"], "properties": {
        "min_score": {"type": "number", "default": 0.3}, "n": {"type": "integer", "default": 1},
        "mode": {"enum": ["fast", "good"], "default": "fast"},
        "words": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}], "default": None},
        "need": {"type": "boolean"}, "odd": {"type": "integer", "default": 2}}}
    for params, outcome in [
        ({"need": True}, ("succeeded", {"got": [0.3, 1, "fast", None, True, 2]})),
        ({"need": True, "min_score": 1, "n": 2.0, "words": ["a"]}, ("succeeded", {"got": [1.0, 2, "fast", ["a"], True, 2]})),
        ({}, ("rejected", "the parameter 'need' is missing")),
        ({"need": 1}, ("rejected", "the parameter 'need' is 1; it must be of type boolean")),
        ({"need": True, "mode": "bad"}, ("rejected", "the parameter 'mode' is 'bad'; it may be 'fast', 'good'")),
        ({"need": True, "min_scor": 1}, ("rejected", "the model has no parameter 'min_scor'; it has min_score, n, mode, "
                                                     "words, need, odd")),
    ]:
        assert run(loaded, [Image(photo, params=params)]) == [outcome]


def test_cogs_shape_is_taken(load, photo):
    loaded = load('''
        from pathlib import Path
        class Input:  # as Cog's and pydantic's look
            def __init__(self, default=None, ge=None, description=None):
                self.default, self.ge, self.description = default, ge, description
        class Runner:
            """Doubles."""
            def setup(self): self.by = 2
            def run(self, image: Path, scale: float = Input(default=1.5, ge=1, description="How much")) -> float:
                assert isinstance(image, Path) and image.is_file()
                return self.by * scale
    ''')
    assert loaded.description == "Doubles."
    assert loaded.params.schema()["properties"] == {
        "scale": {"type": "number", "minimum": 1, "description": "How much", "default": 1.5}}
    assert run(loaded, [Image(photo)]) == [("succeeded", {"value": 3.0})]


def test_a_large_result_is_rejected_here(load, photo):
    loaded = load("def predict(image): return 'x' * 2000")
    (kind, message), = run(loaded, [Image(photo)], max_bytes=1000)
    assert kind == "rejected" and "the server takes 1000" in message
