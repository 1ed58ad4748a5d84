// Graphile Worker with the settings of its own performance page (worker.graphile.org/docs/performance).
// Leaves out: HTTP, users and keys, a results table, an audit, a status by image, fencing; a finished job is deleted.

import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { counter, measure, postgres } from "./common.mjs";

const logger = new Logger(() => () => {});
const utils = await makeWorkerUtils({ connectionString: postgres, logger });
await utils.migrate();
const count = counter();
const runner = await run({
  preset: {
    worker: {
      connectionString: postgres,
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      logger,
    },
  },
  taskList: { predict: () => count.done() },
});
await measure((payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: "predict", payload }))), count);
await runner.stop();
await utils.release();
