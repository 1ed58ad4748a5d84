// BullMQ on a Redis that keeps nothing: what it does not lose with Redis it loses with the machine.
// Leaves out: durability, HTTP, users and keys, an audit, a status by image; a finished job is removed.

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
