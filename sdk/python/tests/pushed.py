"""Model servers that expect to be called, one of each protocol, for the tests of the bridge."""
import base64
import hashlib
import json
import re
import struct
import threading
import time
import urllib.request
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTML = b"<!doctype html><title>Welcome to nginx!</title>"


class Request:
    """One request to a `Pushed`: method, path, headers, body."""

    def __init__(self, handler):
        self.at = time.monotonic()
        self.method, self.path, self.headers = handler.command, handler.path, handler.headers
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))

    def json(self):
        return json.loads(self.body)

    def form(self):
        """A form's parts: name → (file name, bytes)."""
        told = message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + self.body)
        return {part.get_param("name", header="content-disposition"): (part.get_filename(), part.get_payload(decode=True))
                for part in told.get_payload()}


class Pushed:
    """A model server on a free port. `answers` (path pattern → function of the request) may be changed at any time;
    a function returns a JSON value, (status, value), (status, bytes, headers), or None to cut the connection."""

    def __init__(self, answers):
        self.answers, self.requests, self.port = dict(answers), [], 0
        self._server = None

    def __enter__(self):
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do(self):
                request = Request(self)
                owner.requests.append(request)
                made = next((answer for pattern, answer in owner.answers.items() if re.fullmatch(pattern, self.path)), None)
                told = made(request) if made else (404, {"detail": "Not Found"})
                if told is None:
                    return self.connection.close()
                status, value, headers = (told + ({},))[:3] if isinstance(told, tuple) else (200, told, {})
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                for name, said in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, said)
                self.end_headers()
                self.wfile.write(data)
            do_GET = do_POST = do_PUT = do

            def log_message(self, *args):
                pass
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stop()

    start = __enter__

    def stop(self):
        """Nobody listens there any more; `start` listens at the same port again."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def asked(self, pattern):
        return [request for request in list(self.requests) if re.fullmatch(pattern, request.path)]


def md5(data):
    return hashlib.md5(data).hexdigest()


def multipart(answer=None):
    """A plain microservice; `answer(request)` replaces its predictions."""
    def predict(request):
        name, data = request.form()["image_file"]
        return {"status": "success", "result": {"classes": ["even", "odd"], "result": {"bytes": len(data), "md5": md5(data), "name": name}}}
    return Pushed({"/status": lambda _: {"status": "success"}, "/predict": answer or predict})


COG_SCHEMA = {"openapi": "3.0.2", "components": {"schemas": {
    "Input": {"type": "object", "required": ["photo", "kind"], "properties": {
        "photo": {"type": "string", "format": "uri", "x-order": 0},
        "kind": {"allOf": [{"$ref": "#/components/schemas/kind"}], "x-order": 1},
        "scale": {"type": "number", "default": 1.5, "minimum": 1}}},
    "kind": {"type": "string", "enum": ["a", "b"]}, "Output": {"type": "object"}}}}


def cog(answer=None, schema=COG_SCHEMA):
    def predict(request):
        given = request.json()["input"]
        kind, data = given["photo"].split(";base64,")
        return {"status": "succeeded", "output": {"md5": md5(base64.b64decode(data)), "type": kind, "scale": given.get("scale")}}
    return Pushed({"/health-check": lambda _: {"status": "READY"}, "/openapi.json": lambda _: schema,
                   "/predictions/[^/]*": answer or predict, "/predictions/[^/]*/cancel": lambda _: {}})


def kserve(answer=None, inputs=({"name": "photo", "datatype": "BYTES", "shape": [-1, 1]},), versions=("2", "10")):
    def predict(request):
        head = request.headers.get("Inference-Header-Content-Length")
        if head:
            told, data = json.loads(request.body[:int(head)]), request.body[int(head):]
            assert struct.unpack("<I", data[:4])[0] == len(data) - 4 == told["inputs"][0]["parameters"]["binary_data_size"] - 4
            data = data[4:]
        else:
            told = request.json()
            data = base64.b64decode(told["inputs"][0]["data"][0])
        assert told["inputs"][0]["shape"] == [1, 1] and told["inputs"][0]["name"] == "photo"
        return {"model_name": "m", "outputs": [
            {"name": "md5", "datatype": "BYTES", "shape": [1, 1], "data": [md5(data)]},
            {"name": "scores", "datatype": "FP32", "shape": [1, 2, 2], "data": [0.1, 0.2, 0.3, 0.4]},
            {"name": "count", "datatype": "INT64", "shape": [1], "data": [3]}]}
    return Pushed({"/v2/health/ready": lambda _: {"ready": True}, "/v2/models/m/ready": lambda _: {},
                   "/v2/models/m": lambda _: {"name": "m", "versions": list(versions), "platform": "onnx", "inputs": list(inputs)},
                   "/v2/models/m(/versions/[0-9]+)?/infer": answer or predict})


def labelstudio(answer=None):
    def predict(request):
        where = request.json()["tasks"][0]["data"]["photo"]
        with urllib.request.urlopen(where, timeout=5) as told:
            data, kind = told.read(), told.headers.get_content_type()
        square = {"x": 10, "y": 20, "width": 50, "height": 25, "rotation": 0}
        return {"results": [{"model_version": "v9", "score": 0.75, "result": [
            {"id": "1", "type": "rectanglelabels", "value": {**square, "rectanglelabels": ["face"]}, "score": 0.5},
            {"type": "choices", "value": {"choices": ["day", kind]}},
            {"id": "2", "type": "rectangle", "value": square},
            {"id": "2", "type": "labels", "value": {**square, "labels": ["word"]}},
            {"id": "2", "type": "textarea", "value": {**square, "text": [md5(data)]}, "score": 0.25},
            {"type": "polygonlabels", "value": {"points": [[0, 0], [100, 0], [50, 100]], "polygonlabels": ["roof"]}},
            {"type": "rating", "value": {"rating": 4}}]}]}
    return Pushed({"/health": lambda _: {"status": "UP", "model_class": "Faces"}, "/setup": lambda _: {"model_version": "v9"},
                   "/predict": answer or predict})


def hangs(seconds):
    """An answer that takes so long."""
    def hang(request):
        time.sleep(seconds)
        return {"late": True}
    return hang
