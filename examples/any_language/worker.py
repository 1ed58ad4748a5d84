import http.client, json, os, signal, sys, threading, time, urllib.parse, urllib.request, uuid

URL, KEY, held, ending = os.environ["DARKROOM_URL"].rstrip("/") + "/", os.environ["DARKROOM_API_KEY"], [], False

def predict(image, params):                  # your model: bytes in, anything JSON-like out
    return {"fields": {"bytes": len(image)}, "summary": "%d bytes" % len(image)}

def ask(path, body=None, method=None):
    request = urllib.request.Request(urllib.parse.urljoin(URL, path), body and json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method)
    if request.full_url.startswith(URL):     # the key to this host only
        request.add_unredirected_header("Authorization", "Bearer " + KEY)
    return request

def call(path, body=None):                   # the same again until the server answers
    request = ask(path, body)
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
        if call("/workers/%s/heartbeat" % me["worker"], {"jobs": list(held)})["drain"] and not ending:
            end()

def leave():                                 # what it holds goes back at once
    try:
        urllib.request.urlopen(ask("/workers/" + me["worker"], method="DELETE"), timeout=5).close()
    finally:
        os._exit(0)

def end(*_):                                 # when it has done what it holds; at the second signal, now
    global ending
    again, ending = ending, True
    if again or not held:
        leave()

me = call("/workers/register", {"service": "predict", "model": "image_size", "version": "1", "instance": str(uuid.uuid4())})
threading.Thread(target=beat, daemon=True).start()
signal.signal(signal.SIGTERM, end)
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
    if ending:
        leave()
