"""The demo's light models still give their known answers."""
import importlib.util
from pathlib import Path

import pytest

from darkroom_worker import expect, offline

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
NEEDS = {"face_detect": "cv2", "image_stats": "PIL", "image_hash": "PIL"}


@pytest.mark.parametrize("name", NEEDS)
def test_a_model_gives_its_known_answers(name):
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip("needs %s" % NEEDS[name])
    folder = EXAMPLES / name
    known = expect.read(folder / "answers.json")
    assert {path.parent for path in known.results} == {EXAMPLES / "photos"} and len(known.results) == 8
    with offline.started(str(folder / (name + ".py"))) as pool:
        assert pool.about["model"] == name
        assert offline.refusals(pool, known, timeout_s=60) == []
