// BullMQ, many jobs at once in one process; a finished job is removed.

import { Queue, Worker } from "bullmq";
import Redis from "ioredis";
import { counter, document, measure, redis } from "./common.mjs";

const CONCURRENCY = 200;

const connect = () => new Redis(redis, { maxRetriesPerRequest: null });
const queue = new Queue("predict", { connection: connect() });
const count = counter();
const worker = new Worker("predict", async () => document, {
  connection: connect(),
  concurrency: CONCURRENCY,
  removeOnComplete: { count: 0 },
});
worker.on("completed", () => count.done());
await worker.waitUntilReady();
await measure((payloads) => queue.addBulk(payloads.map((data) => ({ name: "image", data }))), count);
await worker.close();
await queue.close();
process.exit(0);
