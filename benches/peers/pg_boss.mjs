// pg-boss, fetching and completing in batches on four loops; its job rows keep the output.
// Leaves out: HTTP, users and keys, an audit, a status by image, fencing.

import PgBoss from "pg-boss";
import { counter, document, measure, postgres } from "./common.mjs";

const BATCH = 1000;
const LOOPS = 4;

const boss = new PgBoss({ connectionString: postgres, max: LOOPS + 2, supervise: false, schedule: false });
await boss.start();
await boss.createQueue("predict");
const count = counter();
let running = true;
const loops = Array.from({ length: LOOPS }, async () => {
  while (running) {
    const jobs = await boss.fetch("predict", { batchSize: BATCH });
    if (jobs.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      continue;
    }
    await boss.complete("predict", jobs.map((job) => job.id), document);
    count.done(jobs.length);
  }
});
await measure((payloads) => boss.insert(payloads.map((data) => ({ name: "predict", data }))), count);
running = false;
await Promise.all(loops);
await boss.stop({ graceful: false, wait: true });
process.exit(0);
