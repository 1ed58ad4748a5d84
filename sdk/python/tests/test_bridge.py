"""`darkroom-worker bridge`: a job goes to a server of each protocol, and what it answers becomes a document."""
import pytest
from pushed import COG_SCHEMA, cog, kserve, labelstudio, md5, multipart
from serving import Server, Serving, asked, photos, png

from darkroom_worker.cli import main

OFTEN = "from darkroom_worker.bridge import remote\nremote.LOOK_S = (0.1, 0.3)"  # is the server asked whether it is ready
CONFIG = '<View><Image name="i" value="$photo"/><RectangleLabels name="l" toName="i"><Label value="face"/></RectangleLabels></View>'


@pytest.fixture
def server():
    with Server(lease_s=30) as server:  # which a slow machine outlives
        yield server


@pytest.fixture
def bridge(server, tmp_path):
    """Starts a bridge: bridge("cog", pushed, "--flag", …); the model is `m`."""
    bridges = []

    def bridge(protocol, pushed, *flags, **environment):
        (tmp_path / "tmp").mkdir(exist_ok=True)
        bridges.append(Serving(server, "--protocol", protocol, "--url", pushed.url, "--name", "m", *flags, command="bridge", before=OFTEN,
                               **{"TMPDIR": str(tmp_path / "tmp"), "DARKROOM_READY_FILE": str(tmp_path / "ready"), **environment}))
        return bridges[-1]
    yield bridge
    for started in bridges:
        started.kill()


def about(server):
    return asked(server, "register")[-1].body


def test_multipart_sends_a_form_and_takes_upstream_results(server, bridge):
    photo = png(9, 8)
    job = server.add(photo, model="m", params={"n": 3, "word": "é", "list": [1]})
    with multipart() as pushed:
        worker = bridge("multipart", pushed)
        assert server.wait(job).state == "succeeded", worker.said
        assert [item["label"] for item in job.result["items"]] == ["even", "odd"]
        assert job.result["fields"] == {"bytes": len(photo), "md5": md5(photo), "name": md5(photo) + ".png"}
        form = pushed.asked("/predict")[0].form()
        assert {name: form[name][1].decode() for name in ("n", "word", "list")} == {"n": "3", "word": "é", "list": "[1]"}
        assert about(server)["version"] == "bridge" and about(server)["model"] == "m" and job.duration_s > 0
        assert not any(server.key in str(request.headers) for request in pushed.requests)  # the key is Darkroom's alone
        worker.signal()
        worker.ends(0)
        assert not server.workers()


def test_multipart_takes_any_json(server, bridge):
    empty = {"items": [], "fields": {}, "summary": None}
    with multipart() as pushed:
        bridge("multipart", pushed, "--field", "pic")
        for photo, (answer, document) in zip(photos(5), [
                ({"any": {"thing": [1]}}, {"fields": {"any": {"thing": [1]}}}), (7, {"fields": {"value": 7}}),
                ([{"type": "label", "label": "cat"}], {"items": [{"type": "label", "label": "cat"}]}),
                ({"status": "success", "result": {"items": [{"type": "text", "text": "x"}]}}, {"items": [{"type": "text", "text": "x"}]}),
                ({"classes": ["a"], "result": {"a": 1}, "took": 3}, {"items": [{"type": "label", "label": "a"}], "fields": {"a": 1}})]):
            pushed.answers["/predict"] = lambda request, answer=answer: request.form()["pic"] and answer
            assert server.wait(server.add(photo, model="m")).result == {**empty, **document}


def test_cog_finds_the_input_for_the_image_and_waits_while_it_is_busy(server, bridge):
    photo, busy = png(9, 8), [3]
    job = server.add(photo, model="m", params={"scale": 2, "kind": "a"})
    with cog() as pushed:
        predict = pushed.answers["/predictions/[^/]*"]

        def answer(request):
            busy[0] -= 1
            return (409, {"detail": "Already running a prediction"}) if busy[0] >= 0 else predict(request)
        pushed.answers["/predictions/[^/]*"] = answer
        worker = bridge("cog", pushed)
        assert server.wait(job).result["fields"] == {"md5": md5(photo), "type": "data:image/png", "scale": 2}, worker.said
        assert job.attempt == 1 and len(pushed.asked("/predictions/[^/]*")) == 4
        assert {request.method for request in pushed.asked("/predictions/[^/]*")} == {"PUT"}
        assert about(server)["version"].startswith("schema-")
        assert about(server)["params_schema"] == {
            "type": "object", "additionalProperties": False, "required": ["kind"], "properties": {
                "kind": {"allOf": [{"type": "string", "enum": ["a", "b"]}]}, "scale": {"type": "number", "default": 1.5, "minimum": 1}}}


def test_cog_without_a_schema_is_served_if_the_input_is_named(server, bridge):
    job = server.add(png(9, 8), model="m")
    with cog() as pushed:
        pushed.answers["/openapi.json"] = lambda _: (503, {"error": "OpenAPI schema not available"})
        bridge("cog", pushed).hears("say with --field")
        bridge("cog", pushed, "--field", "photo")
        assert server.wait(job).state == "succeeded" and about(server)["version"] == "bridge"


@pytest.mark.parametrize("image", ["base64", "binary"])
def test_kserve_sends_an_element_of_bytes_and_keeps_outputs_as_fields(server, bridge, image):
    photo = png(9, 8)
    job = server.add(photo, model="m", params={"threshold": 0.5})
    with kserve() as pushed:
        worker = bridge("kserve", pushed, "--image", image)
        assert server.wait(job).result["fields"] == {"md5": md5(photo), "scores": [[0.1, 0.2], [0.3, 0.4]], "count": 3}, worker.said
        assert about(server)["version"] == "10" and about(server)["description"] == "onnx"
        assert b'"threshold": 0.5' in pushed.asked("/v2/models/m/versions/10/infer")[0].body


def test_kserve_reads_a_document_that_comes_as_text(server, bridge):
    told = '{"items": [{"type": "box", "box": [0, 0, 0.5, 0.5], "label": "cat", "score": 0.9}]}'
    job = server.add(png(9, 8), model="m")
    with kserve(lambda _: {"outputs": [{"name": "json", "datatype": "BYTES", "shape": [1], "data": [told]}]}) as pushed:
        bridge("kserve", pushed, "--version", "mine")
        assert server.wait(job).result["items"] == [{"type": "box", "box": [0, 0, 0.5, 0.5], "label": "cat", "score": 0.9}]
        assert about(server)["version"] == "mine"


def test_labelstudio_serves_the_image_and_takes_regions_as_items(server, bridge, tmp_path):
    photo = png(9, 8)
    (tmp_path / "config.xml").write_text(CONFIG)
    job = server.add(photo, model="m")
    with labelstudio() as pushed:
        worker = bridge("labelstudio", pushed, "--label-config", tmp_path / "config.xml")
        assert server.wait(job).state == "succeeded", worker.said
        corners = [[0.1, 0.2], [0.6, 0.2], [0.6, 0.45], [0.1, 0.45]]
        assert job.result == {"items": [
            {"type": "box", "box": [0.1, 0.2, 0.6, 0.45], "label": "face", "score": 0.5},
            {"type": "label", "label": "day"}, {"type": "label", "label": "image/png"},
            {"type": "text", "text": md5(photo), "score": 0.25, "polygon": corners},
            {"type": "points", "points": [[0, 0], [1, 0], [0.5, 1]], "label": "roof"}],
            "fields": {"regions": [{"type": "rating", "value": {"rating": 4}}], "score": 0.75}, "summary": None}
        assert (about(server)["version"], about(server)["description"]) == ("v9", "Faces")
        told = pushed.asked("/predict")[0].json()
        assert told["label_config"] == CONFIG and told["tasks"][0]["data"]["photo"].startswith("http://127.0.0.1:")


def test_labelstudio_can_send_the_image_itself_and_find_nothing(server, bridge):
    job = server.add(png(9, 8), model="m")
    with labelstudio(lambda request: {"results": [[]]}) as pushed:
        bridge("labelstudio", pushed, "--image", "data", "--field", "pic")
        assert server.wait(job).result == {"items": [], "fields": {}, "summary": None}
        assert pushed.asked("/predict")[0].json()["tasks"][0]["data"]["pic"].startswith("data:image/png;base64,")


def test_images_go_side_by_side_if_asked(server, bridge):
    import threading
    together = threading.Barrier(3, timeout=60)
    jobs = [server.add(photo, model="m") for photo in photos(3)]
    with multipart(lambda _: {"at": together.wait() >= 0}) as pushed:
        bridge("multipart", pushed, "--parallel", 3)
        assert all(server.wait(job).state == "succeeded" for job in jobs)


def test_usage_is_explained(monkeypatch, capsys):
    monkeypatch.setenv("DARKROOM_API_KEY", "dr_key")
    good = ["--protocol", "multipart", "--url", "http://127.0.0.1:1", "--name", "m"]
    for flags, said in [(["--image", "url"], "no choice"), (["--protocol", "grpc"], "one of multipart, cog, kserve, labelstudio"),
                        (["--url", "ftp://x"], "not the address"), (["--url", "http://h:x"], "not the address"),
                        (["--name", "Ä"], "what the model is called"), (["--listen", "127.0.0.1:0"], "leave --url"),
                        (["--label-config", "/nowhere"], "cannot be read"), (["--parallel", "0"], "above 0"),
                        (["--protocol", "labelstudio", "--images-at", "here"], "no HOST:PORT")]:
        assert main(["bridge", *good, *flags]) == 2 and said in capsys.readouterr().err


def test_a_server_that_becomes_another_model_is_registered_anew(server, bridge):
    with cog() as pushed:
        worker = bridge("cog", pushed)
        first = server.add(png(9, 8), model="m", params={"kind": "a"})
        assert server.wait(first).state == "succeeded"
        pushed.stop()
        worker.hears("does not answer")
        other = {"components": {"schemas": {**COG_SCHEMA["components"]["schemas"], "Output": {"type": "string"}}}}
        pushed.answers["/openapi.json"] = lambda _: other
        pushed.start()
        second = server.add(png(10, 8), model="m", params={"kind": "a"})
        assert server.wait(second).state == "succeeded", worker.said
        assert len(asked(server, "register")) == 2 and second.version != first.version
