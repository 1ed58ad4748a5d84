// Graphile Worker; a finished job is deleted.

import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { counter, measure, postgres } from "./common.mjs";

// Runs with these settings of its worker, enqueueing so many at once.
export async function graphile(settings, batch) {
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ connectionString: postgres, logger });
  await utils.migrate();
  const count = counter();
  const runner = await run({
    preset: { worker: { connectionString: postgres, logger, ...settings } },
    taskList: { predict: () => count.done() },
  });
  await measure((payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: "predict", payload }))), count, batch);
  await runner.stop();
  await utils.release();
  process.exit(0);
}
