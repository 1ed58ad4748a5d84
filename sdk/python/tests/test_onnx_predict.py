"""`examples/onnx_predict`: which files it serves, and what it says of those that it does not."""
import base64
import hashlib
import http.server
import importlib.util
import json
import threading
from pathlib import Path

import pytest

from darkroom_worker import ModelError

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
Image = pytest.importorskip("PIL.Image")
FILE = Path(__file__).resolve().parents[3] / "examples/onnx_predict/onnx_predict.py"
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


@pytest.fixture
def served(monkeypatch):
    """Loads the example with this file as the model of its run; `lie` says that it has another checksum."""
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data, lie = files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            told = hashlib.sha256(b"something else" if lie else data).digest()
            self.send_header("Repr-Digest", "sha-256=:%s:" % base64.b64encode(told).decode())
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def served(data, lie=False):
        files["/training/results/r/model"] = data, lie
        spec = importlib.util.spec_from_file_location("onnx_predict", FILE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.init()
        return module
    for name, value in {"URL": "http://127.0.0.1:%d" % server.server_port, "API_KEY": "dr_a_key", "RUN": "r"}.items():
        monkeypatch.setenv("DARKROOM_" + name, value)
    yield served
    server.shutdown()
    server.server_close()


def network(shape, *, kind=FLOAT, inputs=1, wide=3, **told):
    """A network that adds up its input into `wide` scores, the second the highest, with this metadata."""
    size = int(np.prod([side for side in shape if isinstance(side, int)]))
    weights = np.zeros((size, wide), np.float32)
    weights[:, 1] = 1
    given = [onnx.helper.make_tensor_value_info("x%d" % n, kind, shape) for n in range(inputs)]
    nodes = [onnx.helper.make_node("Cast", ["x0"], ["f"], to=FLOAT), onnx.helper.make_node("Flatten", ["f"], ["flat"]),
             onnx.helper.make_node("MatMul", ["flat", "w"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "g", given, [onnx.helper.make_tensor_value_info("y", FLOAT, [None, wide])],
                                   [onnx.numpy_helper.from_array(weights, "w")])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.helper.set_model_props(made, {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()})
    return made.SerializeToString()


class White:
    def pil(self):
        return Image.new("RGB", (40, 30), "white")


@pytest.mark.parametrize("shape", [[None, 64], [1, 64], [None, 1, 8, 8], [None, 3, 8, 8], [None, 8, 8, 3], ["batch", 8, 8, 1]])
def test_networks_of_usual_shapes_are_served_without_being_told_how(served, shape):
    model = served(network(shape))
    labels = [[item["label"] for item in found] for found in model.predict_batch([White(), White()], top=2)]
    assert labels == [["1", "0"]] * 2 and model.version.startswith("run-") and len(model.version) == 16


def test_what_the_file_says_of_itself_counts(served):
    model = served(network([None, 4], labels=["cat", "dog", "eel"], input={"mode": "L", "size": [2, 2], "max": 16, "whole": True}))
    [found] = model.predict_batch([White()])
    assert [item["label"] for item in found] == ["dog", "cat", "eel"] and found[0]["score"] > 0.99
    assert model.pixels(White()).tolist() == [16, 16, 16, 16]
    assert len(served(network([None, 64], labels=["too", "few"])).predict_batch([White()])[0]) == 3


GOOD = network([None, 64])


@pytest.mark.parametrize("data, said", [
    (b"", "no ONNX that can be served"), (b"<!doctype html>", "no ONNX"), (GOOD[:len(GOOD) // 2], "no ONNX"), (b"\x80\x04K\x01.", "no ONNX"),
    (network([None, 64], inputs=2), "does not take one tensor of floats"), (network([None, 64], kind=INT64), "does not take one tensor"),
    (network([None, 7, 9, 4]), "the file does not say how"), (network([None, 8, 8]), "the file does not say how"),
    (network([None, 60]), "no classifier of pictures"), (network([None, 64], labels="{"), "no classifier of pictures"),
    (network([None, 64], input=[1]), "no classifier of pictures"), (network([None, 64], input={"mode": "L"}), "no classifier of pictures"),
    (network([None, 64], input={"mode": "L", "size": [9, 9], "max": 1}), "no classifier of pictures"),
    (network([None, 64], input={"mode": "hm", "size": [8, 8], "max": 1}), "no classifier of pictures")])
def test_a_promoted_file_that_cannot_be_served_is_refused_with_the_reason(served, data, said):
    with pytest.raises(ModelError) as raised:
        served(data)
    assert said in str(raised.value)


def test_another_file_than_the_server_names_is_not_served(served, monkeypatch):
    monkeypatch.setattr("darkroom_worker.http.FETCH_TRIES", 1)
    monkeypatch.setattr("darkroom_worker.http.Busy.pause_s", lambda self, tries: 0.0, raising=False)
    with pytest.raises(ModelError) as raised:
        served(GOOD, lie=True)
    assert "cannot be fetched" in str(raised.value)
    monkeypatch.delenv("DARKROOM_RUN")
    with pytest.raises(ModelError) as raised:
        served(GOOD)
    assert "set DARKROOM_RUN" in str(raised.value)
