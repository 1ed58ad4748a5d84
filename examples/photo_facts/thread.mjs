// The thread that the model runs in, so that beats go on while it works, and a photograph that it hangs on can be given up.
import { parentPort } from "node:worker_threads";
import { predict, Reject } from "./model.mjs";

parentPort.on("message", async ({ bytes, params }) => {
  try {
    parentPort.postMessage({ outcome: "succeeded", result: await predict(Buffer.from(bytes), params) });
  } catch (error) {
    const outcome = error instanceof Reject ? "rejected" : "retry";
    const told = { type: error?.constructor?.name, message: String(error?.message ?? error), traceback: error?.stack ?? null };
    parentPort.postMessage({ outcome, error: told });
  }
});
