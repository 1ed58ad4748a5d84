// pg-boss, fetching and completing in batches on four loops; its job rows keep the output.

import PgBoss from "pg-boss";
import { counter, document, measure, postgres } from "./common.mjs";

const BATCH = 1000;
const LOOPS = 4;
const PAUSE_MS = 2;

const boss = new PgBoss({ connectionString: postgres, max: LOOPS + 2, supervise: false, schedule: false });
await boss.start();
await boss.createQueue("predict");
const count = counter();
let running = true;
const loops = Array.from({ length: LOOPS }, async () => {
  while (running) {
    const jobs = await boss.fetch("predict", { batchSize: BATCH });
    if (jobs.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
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
