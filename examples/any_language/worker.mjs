import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const { DARKROOM_URL, DARKROOM_API_KEY } = process.env;
const about = { service: "predict", model: "image_size", version: "1", instance: randomUUID() };
let me, held = [], ending = false;           // the session; the job in hand; whether it was asked to end

async function predict(image, params) {      // your model: bytes in, anything JSON-like out
  return { fields: { bytes: image.length }, summary: `${image.length} bytes` };
}

function ask(path, body, method = body ? "POST" : "GET", seconds = 60) {       // the key to this host only
  const url = new URL(path, DARKROOM_URL), headers = { "Content-Type": "application/json" };
  if (url.origin === new URL(DARKROOM_URL).origin) headers.Authorization = `Bearer ${DARKROOM_API_KEY}`;
  return fetch(url, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(1000 * seconds) }).catch(() => null);
}

async function call(path, body) {            // the same again until the server answers
  for (;;) {
    const answer = await ask(path, body), { ok, status } = answer ?? { status: 503 };
    const said = ok && await (body ? answer.json() : answer.arrayBuffer().then(Buffer.from)).catch(() => null);
    if (said) return said;
    if (!ok && status < 500 && status !== 429) throw Object.assign(new Error(`${path} is answered ${status}`), { status });
    await sleep(1000 * (answer?.headers.get("Retry-After") ?? 1));
  }
}

async function leave() {                     // what it holds goes back at once
  await ask(`/workers/${me.worker}`, undefined, "DELETE", 5);
  process.exit(0);
}

function end() {                             // when it has done what it holds; at the second signal, now
  if (ending || !held.length) leave();
  ending = true;
}

const beat = () => call(`/workers/${me.worker}/heartbeat`, { jobs: held }).then(({ drain }) => drain && !ending && end())
  .catch(() => {});                          // the claim meets the same, and sees to it
me = await call("/workers/register", about);
setInterval(beat, 1000 * me.heartbeat_s);    // or the server takes the job back after lease_s
process.on("SIGTERM", end);
for (;;) {
  try {
    for (const { id, lease_no, image, params } of (await call("/jobs/claim", { worker: me.worker, claim_id: randomUUID(), max: 1, wait_s: 25 })).jobs) {
      held = [{ id, lease_no }];
      const done = await call(image.url).then((bytes) => predict(bytes, params)).then((result) => ({ outcome: "succeeded", result: JSON.parse(JSON.stringify(result)) }))
        .catch(({ name, message }) => ({ outcome: "retry", error: { type: name, message } }));       // "rejected": this image will never do
      await call("/jobs/complete", { worker: me.worker, items: [{ id, lease_no, ...done }] });
      held = [];
    }
    if (ending) await leave();
  } catch (error) {
    if (error.status !== 410) throw error;
    [held, me] = [[], await call("/workers/register", about)];   // the server gave this session up, and its job to others
  }
}
