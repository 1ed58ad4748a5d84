import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const { DARKROOM_URL, DARKROOM_API_KEY } = process.env;
const about = { service: "predict", model: "image_size", version: "1", instance: randomUUID() };
let me, held = [];                           // the session; the job in hand

async function predict(image, params) {      // your model: bytes in, anything JSON-like out
  return { fields: { bytes: image.length }, summary: `${image.length} bytes` };
}

async function call(path, body) {            // the same again until the server answers; the key to this host only
  const url = new URL(path, DARKROOM_URL), headers = { "Content-Type": "application/json" }, method = body ? "POST" : "GET";
  if (url.origin === new URL(DARKROOM_URL).origin) headers.Authorization = `Bearer ${DARKROOM_API_KEY}`;
  for (;;) {
    const sent = { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(60_000) };
    const answer = await fetch(url, sent).catch(() => null), { ok, status } = answer ?? { status: 503 };
    const said = ok && await (body ? answer.json() : answer.arrayBuffer().then(Buffer.from)).catch(() => null);
    if (said) return said;
    if (!ok && status < 500 && status !== 429) throw Object.assign(new Error(`${path} is answered ${status}`), { status });
    await sleep(1000 * (answer?.headers.get("Retry-After") ?? 1));
  }
}

const beat = () => call(`/workers/${me.worker}/heartbeat`, { jobs: held }).catch(() => {});   // the claim meets the same, and sees to it
me = await call("/workers/register", about);
setInterval(beat, 1000 * me.heartbeat_s);    // or the server takes the job back after lease_s
for (;;) {
  try {
    for (const { id, lease_no, image, params } of (await call("/jobs/claim", { worker: me.worker, claim_id: randomUUID(), max: 1, wait_s: 25 })).jobs) {
      held = [{ id, lease_no }];
      const done = await call(image.url).then((bytes) => predict(bytes, params)).then((result) => ({ outcome: "succeeded", result: JSON.parse(JSON.stringify(result)) }))
        .catch(({ name, message }) => ({ outcome: "retry", error: { type: name, message } }));       // "rejected": this image will never do
      await call("/jobs/complete", { worker: me.worker, items: [{ id, lease_no, ...done }] });
      held = [];
    }
  } catch (error) {
    if (error.status !== 410) throw error;
    [held, me] = [[], await call("/workers/register", about)];   // the server gave this session up, and its job to others
  }
}
