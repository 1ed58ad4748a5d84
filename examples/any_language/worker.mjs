import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const { DARKROOM_URL, DARKROOM_API_KEY } = process.env;
const ABOUT = { service: "predict", model: "image_size", version: "1", instance: randomUUID(), batch_max: 4 };
const held = new Map();                      // what it holds: job id → lease_no
let me;                                      // the session

class Reject extends Error {}                // thrown by predict: this image will never do; anything else: try again later

async function predict(image, params) {      // your model: bytes in, anything JSON-like out
  return { fields: { bytes: image.length }, summary: `${image.length} bytes` };
}

async function call(method, path, body) {    // the same again until the server answers; the key to this host only
  const url = new URL(path, DARKROOM_URL), headers = { "Content-Type": "application/json" };
  if (url.origin === new URL(DARKROOM_URL).origin) headers.Authorization = `Bearer ${DARKROOM_API_KEY}`;
  for (let wait_s; ; await sleep(1000 * wait_s)) {
    wait_s = 1;
    try {
      const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(60_000) });
      if (answer.ok) return method === "GET" ? Buffer.from(await answer.arrayBuffer()) : await answer.json();
      const said = `${method} ${path}: ${answer.status} ${await answer.text()}`;    // a problem document: its `mend` says what to do
      if (answer.status < 500 && answer.status !== 429) throw Object.assign(new Error(said), { status: answer.status });
      console.error(said);
      wait_s = Number(answer.headers.get("Retry-After")) || 1;
    } catch (error) {
      if (error.status) throw error;
      console.error(`${method} ${path}: ${error.cause ?? error}`);
    }
  }
}

async function beat() {                      // or the server takes the jobs back after lease_s
  for (;;) {
    await sleep(1000 * me.heartbeat_s);
    const jobs = [...held].map(([id, lease_no]) => ({ id, lease_no }));
    await call("POST", `/workers/${me.worker}/heartbeat`, { jobs }).catch(() => {});    // the claim meets the same, and sees to it
  }
}

async function attempt({ id, lease_no, image, params }) {
  try {
    const result = await predict(await call("GET", image.url), params);
    if (Buffer.byteLength(JSON.stringify(result)) > me.max_result_bytes) throw new RangeError("the result is too large");
    return { id, lease_no, outcome: "succeeded", result };
  } catch (error) {
    const outcome = error instanceof Reject ? "rejected" : "retry";
    return { id, lease_no, outcome, error: { type: error?.name, message: String(error?.message ?? error), traceback: error?.stack } };
  }
}

me = await call("POST", "/workers/register", ABOUT);
beat();
for (;;) {
  try {
    const claim = { worker: me.worker, claim_id: randomUUID(), max: ABOUT.batch_max, wait_s: 25 };
    const { jobs } = await call("POST", "/jobs/claim", claim);
    for (const job of jobs) held.set(job.id, job.lease_no);
    for (const job of jobs) {
      await call("POST", "/jobs/complete", { worker: me.worker, items: [await attempt(job)] });
      held.delete(job.id);
    }
  } catch (error) {
    if (error.status !== 410) throw error;
    held.clear();                            // the server gave this session up, and its jobs to others
    me = await call("POST", "/workers/register", ABOUT);
  }
}
