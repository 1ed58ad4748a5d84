"""The image that a model is given."""
import copy
import os
import pathlib
import pickle

import pytest

from darkroom_worker import Cancelled, Image, Reject


def test_it_is_its_path_wherever_code_puts_it(photo):
    image = Image(photo, media_type="image/png", params={"a": 1})
    assert isinstance(image, str) and image == photo and pathlib.Path(image) == pathlib.Path(photo)
    assert "/app/objects/" + image == photo
    assert os.path.join("/app/objects", image) == photo
    assert str(pathlib.Path("/app/objects") / image) == photo
    assert image + ".txt" == photo + ".txt"
    assert pickle.loads(pickle.dumps(image)) == photo and copy.deepcopy({"a": image}) == {"a": photo}
    assert open(image, "rb").read() == image.read()
    assert image.md5 == __import__("hashlib").md5(image.read()).hexdigest()
    assert (image.params, image.media_type) == ({"a": 1}, "image/png")


def test_progress_reports_and_cancels(photo):
    told = []
    Image(photo, report=lambda *what: told.append(what)).progress(0.5, "half")
    assert told == [(0.5, "half")]
    Image(photo).progress(0.5)  # nobody listens

    def stop(fraction, note):
        raise Cancelled
    with pytest.raises(Cancelled):
        Image(photo, report=stop).progress(0.5)


def test_pixels_are_upright_rgb(tmp_path, photo):
    pillow = pytest.importorskip("PIL.Image")
    pytest.importorskip("numpy")
    sideways = str(tmp_path / "sideways.jpg")
    exif = pillow.Exif()
    exif[0x0112] = 6
    pillow.new("RGB", (40, 20), (200, 10, 10)).save(sideways, exif=exif)
    image = Image(sideways)
    assert image.size == (20, 40) == image.pil().size
    assert image.array().shape == (40, 20, 3) and abs(int(image.array()[0, 0, 0]) - 200) < 9
    assert Image(photo).size == (3, 2) and Image(photo).array().tolist() == [[[128] * 3] * 3] * 2
    deep = str(tmp_path / "deep.png")
    pillow.new("I;16", (2, 1), 128 * 256).save(deep)
    assert Image(deep).array().tolist() == [[[128] * 3] * 2]


def test_what_cannot_be_decoded_is_rejected(tmp_path):
    pytest.importorskip("PIL")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff not really")
    for read in (lambda i: i.pil(), lambda i: i.array(), lambda i: i.size):
        with pytest.raises(Reject, match="not a readable image"):
            read(Image(str(broken)))
    with pytest.raises(ValueError):
        Image(str(broken)).pil()
