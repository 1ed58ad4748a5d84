// What every adapter shares: how much is asked for, and how the answer is printed.

export const jobs = Number(process.env.JOBS);
export const postgres = process.env.PEER_POSTGRES;
export const redis = process.env.PEER_REDIS;
export const ENQUEUE_BATCH = 1000;
const WARM_UP = 4000;

// The same that a job says in Darkroom: an image and what became of it.
export const payload = (n) => ({ image: n, params: {} });
export const document = {
  items: [{ type: "box", box: [0.35, 0.14, 0.53, 0.33], label: "face" }],
  fields: { faces: 1 },
  summary: "1 face",
};

// Enqueues in batches while workers run, and waits for the end of the last job.
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

export async function measure(enqueue, count) {
  for (const [name, total] of [["warm-up", WARM_UP], ["run", jobs]]) {
    const ended = count.expect(total);
    const start = process.hrtime.bigint();
    for (let first = 0; first < total; first += ENQUEUE_BATCH) {
      await enqueue(Array.from({ length: Math.min(ENQUEUE_BATCH, total - first) }, (_, n) => payload(first + n)));
    }
    await ended;
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    if (name === "run") console.log(JSON.stringify({ rate: total / seconds }));
  }
}
