// Graphile Worker as it comes, without batches: every job is fetched and completed by a statement of its own.

import { graphile } from "./graphile.mjs";

await graphile({ concurrentJobs: 24, maxPoolSize: 25 }, 100);
