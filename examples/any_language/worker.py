import http.client, json, os, sys, threading, time, urllib.parse, urllib.request, uuid

URL, KEY, held = os.environ["DARKROOM_URL"].rstrip("/") + "/", os.environ["DARKROOM_API_KEY"], []

def predict(image, params):                  # your model: bytes in, anything JSON-like out
    return {"fields": {"bytes": len(image)}, "summary": "%d bytes" % len(image)}

def call(path, body=None):                   # the same again until the server answers
    request = urllib.request.Request(urllib.parse.urljoin(URL, path), body and json.dumps(body).encode(), {"Content-Type": "application/json"})
    if request.full_url.startswith(URL):     # the key to this host only
        request.add_unredirected_header("Authorization", "Bearer " + KEY)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer) if body else answer.read()
        except (OSError, ValueError, http.client.HTTPException) as error:
            code, headers = getattr(error, "code", 503), getattr(error, "headers", {})
        if code == 410:                      # the server gave this session up, and its job to others: begin anew
            os.execv(sys.executable, [sys.executable] + sys.argv)
        if code < 500 and code != 429:
            raise RuntimeError("%s is answered %d" % (path, code))
        time.sleep(int(headers.get("Retry-After") or 1))

def beat():                                  # or the server takes the job back after lease_s
    while not time.sleep(me["heartbeat_s"]):
        call("/workers/%s/heartbeat" % me["worker"], {"jobs": list(held)})

me = call("/workers/register", {"service": "predict", "model": "image_size", "version": "1", "instance": str(uuid.uuid4())})
threading.Thread(target=beat, daemon=True).start()
while True:
    for job in call("/jobs/claim", {"worker": me["worker"], "claim_id": str(uuid.uuid4()), "max": 1, "wait_s": 25})["jobs"]:
        held.append({"id": job["id"], "lease_no": job["lease_no"]})
        try:
            done = {"outcome": "succeeded", "result": predict(call(job["image"]["url"]), job["params"])}
            json.dumps(done, allow_nan=False)
        except Exception as error:           # "rejected" in place of "retry": this image will never do
            done = {"outcome": "retry", "error": {"type": type(error).__name__, "message": str(error) or repr(error)}}
        call("/jobs/complete", {"worker": me["worker"], "items": [dict(done, **held[0])]})
        held.clear()
