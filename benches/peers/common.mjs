// What every adapter shares: how much is asked for, and the turn: warm up, say ready, wait for a line, work, say how long it took.

import { once } from "node:events";

const JOBS = Number(process.env.JOBS);
const WARM_UP = 2000;
export const postgres = process.env.PEER_POSTGRES;
export const redis = process.env.PEER_REDIS;

// The same that a job says in Darkroom: an image and what became of it.
export const document = {
  items: [{ type: "box", box: [0.35, 0.14, 0.53, 0.33], label: "face" }],
  fields: { faces: 1 },
  summary: "1 face",
};

// Counts jobs that are done.
export function counter() {
  let left = 0;
  let tell = () => {};
  return {
    done(count = 1) {
      left -= count;
      if (left === 0) tell();
    },
    expect(count) {
      left = count;
      return new Promise((resolve) => (tell = resolve));
    },
  };
}

// Enqueues in batches while workers run, and waits for the end of the last job; answers seconds.
async function work(enqueue, count, jobs, batch) {
  const ended = count.expect(jobs);
  const start = process.hrtime.bigint();
  for (let first = 0; first < jobs; first += batch) {
    await enqueue(Array.from({ length: Math.min(batch, jobs - first) }, (_, n) => ({ image: first + n, params: {} })));
  }
  await ended;
  return Number(process.hrtime.bigint() - start) / 1e9;
}

export async function measure(enqueue, count, batch = 1000) {
  await work(enqueue, count, Math.min(WARM_UP, JOBS), batch);
  console.log("ready");
  await once(process.stdin, "data");
  const seconds = await work(enqueue, count, JOBS, batch);
  console.log(JSON.stringify({ jobs: JOBS, seconds }));
}
