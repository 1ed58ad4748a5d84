import http.client, json, os, threading, time, urllib.error, urllib.parse, urllib.request, uuid

URL, KEY = os.environ["DARKROOM_URL"].rstrip("/") + "/", os.environ["DARKROOM_API_KEY"]
ABOUT = {"service": "predict", "model": "image_size", "version": "1", "instance": str(uuid.uuid4()), "batch_max": 4}
me, held = {}, {}                            # the session; what it holds: job id → lease_no

def predict(image, params):                  # your model: bytes in, anything JSON-like out
    return {"fields": {"bytes": len(image)}, "summary": "%d bytes" % len(image)}

def call(method, path, body=None):           # the same again until the server answers; the key to this host only
    url, data = urllib.parse.urljoin(URL, path), json.dumps(body).encode() if body else None
    while True:
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        if url.startswith(URL):
            request.add_unredirected_header("Authorization", "Bearer " + KEY)
        wait_s = 1
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read() if method == "GET" else json.load(answer)
        except urllib.error.HTTPError as error:
            print(method, path, error, error.read().decode(errors="replace"))    # a problem document: its `mend` says what to do
            if error.code < 500 and error.code != 429:
                raise
            wait_s = int(error.headers.get("Retry-After") or 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            print(method, path, error)
        time.sleep(wait_s)

def beat():                                  # or the server takes the jobs back after lease_s
    while True:
        time.sleep(me["heartbeat_s"])
        try:
            call("POST", "/workers/%s/heartbeat" % me["worker"], {"jobs": [{"id": i, "lease_no": n} for i, n in list(held.items())]})
        except urllib.error.HTTPError:
            pass                             # the claim meets the same, and sees to it

def attempt(job):                            # a ValueError: this image will never do; anything else: try again later
    item = {"id": job["id"], "lease_no": job["lease_no"]}
    try:
        result = predict(call("GET", job["image"]["url"]), job["params"])
        if len(json.dumps(result, allow_nan=False)) > me["max_result_bytes"]:
            raise OverflowError("the result is too large")
        return dict(item, outcome="succeeded", result=result)
    except Exception as error:
        outcome = "rejected" if isinstance(error, ValueError) else "retry"
        return dict(item, outcome=outcome, error={"type": type(error).__name__, "message": str(error) or repr(error)})

me.update(call("POST", "/workers/register", ABOUT))
threading.Thread(target=beat, daemon=True).start()
while True:
    try:
        claim = {"worker": me["worker"], "claim_id": str(uuid.uuid4()), "max": ABOUT["batch_max"], "wait_s": 25}
        jobs = call("POST", "/jobs/claim", claim)["jobs"]
        held.update((job["id"], job["lease_no"]) for job in jobs)
        for job in jobs:
            call("POST", "/jobs/complete", {"worker": me["worker"], "items": [attempt(job)]})
            del held[job["id"]]
    except urllib.error.HTTPError as error:
        if error.code != 410:
            raise
        held.clear()                         # the server gave this session up, and its jobs to others
        me.update(call("POST", "/workers/register", ABOUT))
