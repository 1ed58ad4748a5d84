// Graphile Worker with the settings of its own performance page (worker.graphile.org/docs/performance).

import { graphile } from "./graphile.mjs";

const batches = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
await graphile({ concurrentJobs: 24, maxPoolSize: 25, ...batches }, 1000);
