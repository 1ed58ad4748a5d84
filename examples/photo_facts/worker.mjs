// photo_facts: a Darkroom microservice in Node. Environment: DARKROOM_URL, DARKROOM_API_KEY or DARKROOM_API_KEY_FILE, DARKROOM_INSECURE.
import { randomUUID } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker as Thread } from "node:worker_threads";
import { Gone, Refused, Server } from "./server.mjs";

const ABOUT = {
  service: "predict", model: "photo_facts", version: "facts-1", instance: randomUUID(), batch_max: 4, host: hostname(), sdk: "examples/photo_facts",
  description: "Camera, time and place from EXIF, colours, and a hash that draws a preview", tags: ["exif", "colours"],
  labels: ["black", "white", "grey", "red", "orange", "brown", "yellow", "green", "blue", "purple", "pink"],
};
const WAIT_S = 25;                           // how long one claim waits on the server for work
const READY = `/tmp/darkroom-${ABOUT.model}.ready`;    // written at registration and at each beat that is answered
const { DARKROOM_URL = "http://127.0.0.1:8080", DARKROOM_API_KEY, DARKROOM_API_KEY_FILE } = process.env;
const server = new Server(DARKROOM_URL, DARKROOM_API_KEY ?? readFileSync(DARKROOM_API_KEY_FILE, "utf8").trim());

const held = new Map();                      // job id → lease_no
const waiting = new AbortController();       // ends the claim that waits when a signal comes
let me, thread, draining = false, signals = 0;

const holds = (job) => held.get(job.id) === job.lease_no;
const listed = () => [...held].map(([id, lease_no]) => ({ id, lease_no }));

async function register() {
  held.clear();                              // what an earlier session held is lost
  me = await server.patiently(() => server.ask("POST", "/workers/register", ABOUT));
  writeFileSync(READY, me.worker);
  console.log(`registered ${ABOUT.model} ${ABOUT.version} as ${me.worker}`);
}

async function beat() {
  for (let pause = me.heartbeat_s; ; ) {
    await sleep(1000 * pause, null, { ref: false });
    const sent = new Map(held), { worker } = me;
    try {
      const told = await server.ask("POST", `/workers/${worker}/heartbeat`, { draining, jobs: listed() }, { seconds: 10 });
      // a lease won since the beat was sent is not meant
      for (const id of told.stop) if (held.get(id) === sent.get(id)) held.delete(id);
      if (told.drain) drain();
      writeFileSync(READY, worker);
      pause = told.next_s;
    } catch (error) {
      console.error(error.message);          // the loop meets 401 and 410, and sees to them
    }
  }
}

function drain() {
  draining = true;
  waiting.abort(new Error("draining"));
}

async function claim() {
  const body = { worker: me.worker, claim_id: randomUUID(), max: ABOUT.batch_max, wait_s: WAIT_S };
  const options = { seconds: WAIT_S + 15, signal: waiting.signal };
  const told = await server.patiently(() => server.ask("POST", "/jobs/claim", body, options), () => !draining);
  if (told?.drain) drain();
  for (const job of told?.jobs ?? []) held.set(job.id, job.lease_no);
  return told?.jobs ?? [];
}

// What became of a job, as an item of /jobs/complete; nothing if it was taken away.
async function attempt(job) {
  const item = { id: job.id, lease_no: job.lease_no }, started = performance.now();
  try {
    const bytes = await server.patiently(() => server.image(job.image), () => holds(job));
    if (!bytes || !holds(job)) return undefined;
    return { ...item, ...(await inThread(bytes, job)), duration_s: (performance.now() - started) / 1000 };
  } catch (error) {
    return { ...item, outcome: "retry", error: { type: error.constructor.name, message: error.message || String(error), traceback: error.stack } };
  }
}

// Predicts in the thread; one that hangs or dies is replaced for the next photograph.
function inThread(bytes, { params, deadline_s }) {
  return new Promise((resolve, reject) => {
    const broken = (why) => {
      clearTimeout(timer);
      thread?.terminate();
      thread = undefined;
      reject(why);
    };
    const timer = setTimeout(() => broken(new Error(`the model took longer than ${deadline_s} s`)), 1000 * deadline_s);
    thread ??= newThread();
    thread.done = (told) => {
      clearTimeout(timer);
      resolve(told);
    };
    thread.broken = broken;
    thread.postMessage({ bytes, params });
  });
}

function newThread() {
  const made = new Thread(new URL("./thread.mjs", import.meta.url));
  made.on("message", (told) => made.done(told));
  made.on("error", (error) => made.broken(error));
  made.on("exit", (code) => made === thread && made.broken(new Error(`the model's thread ended with ${code}`)));
  return made;
}

async function complete(job) {
  const item = await attempt(job);
  if (item && holds(job)) {
    const body = { worker: me.worker, items: [item] };
    const told = await server.patiently(() => server.ask("POST", "/jobs/complete", body), () => holds(job));
    const verdict = told?.items[0];
    console.log(`job ${job.id} ${item.outcome} ${verdict?.problem?.detail ?? item.error?.message ?? ""}`);
  }
  if (holds(job)) held.delete(job.id);
}

// Gives back what is still held, and signs off.
async function leave(code) {
  rmSync(READY, { force: true });
  try {
    if (held.size) await server.once("POST", "/jobs/release", { worker: me.worker, items: listed() }, { seconds: 5 });
    if (me) await server.once("DELETE", `/workers/${me.worker}`, undefined, { seconds: 5 });
  } catch (error) {
    console.error(error.message);
  }
  process.exit(held.size ? 130 : code);
}

for (const name of ["SIGTERM", "SIGINT"]) {
  process.on(name, () => {
    drain();                                 // the first finishes what is held, a second gives it back
    if (++signals > 1 || !me) leave(0);
  });
}
let code = 0;
try {
  await register();
  beat();
  while (!draining) {
    try {
      for (const job of await claim()) await complete(job);
    } catch (error) {
      if (error instanceof Gone) await register();
      else if (!waiting.signal.aborted) throw error;
    }
  }
} catch (error) {
  console.error(error instanceof Refused ? error.message : error);
  code = 1;
}
await leave(code);
