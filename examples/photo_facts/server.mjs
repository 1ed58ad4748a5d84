// Speaks to one Darkroom server: the same request again until it is answered, and the key to this host only.
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const LOCAL = ["localhost", "127.0.0.1", "[::1]"];
const BACKOFF_S = [0.25, 30];                // the first pause is at most this, the longest that

export class Gone extends Error {}           // 410: the server gave this session up; register again
export class Refused extends Error {}        // another 4xx: the same again would not help
class Busy extends Error {                   // the server is away or asks for patience
  retryAfter = 0;
  // full jitter, and never sooner than the server asked
  pause = (tries) => Math.max(this.retryAfter, Math.random() * Math.min(BACKOFF_S[1], BACKOFF_S[0] * 2 ** tries));
}

export class Server {
  constructor(base, key) {
    this.base = new URL(base);
    this.key = key;
    const inClear = this.base.protocol === "http:" && !LOCAL.includes(this.base.hostname);
    if (inClear && process.env.DARKROOM_INSECURE !== "true") {
      throw new Error(`${base} would send the key and photographs in clear over the network: use https://, or, where nobody can listen `
        + "on the way, set DARKROOM_INSECURE=true");
    }
  }

  // One request: the answer's bytes, or Gone, Refused or Busy.
  async once(method, path, body, { seconds = 30, signal } = {}) {
    const url = new URL(path, this.base), headers = { "Content-Type": "application/json" };
    if (url.origin === this.base.origin) headers.Authorization = `Bearer ${this.key}`;    // fetch drops it where a redirect leads elsewhere
    const limits = [AbortSignal.timeout(1000 * seconds), ...(signal ? [signal] : [])];
    let answer, said;
    try {
      answer = await fetch(url, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.any(limits) });
      said = Buffer.from(await answer.arrayBuffer());
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw new Busy(`${method} ${path}: ${error.cause ?? error}`);
    }
    if (answer.ok) return said;
    const kind = answer.status === 410 ? Gone : answer.status === 429 || answer.status >= 500 ? Busy : Refused;
    const failure = new kind(`${method} ${path}: ${answer.status} ${said.toString().slice(0, 2000)}`);
    if (kind === Busy) failure.retryAfter = Number(answer.headers.get("Retry-After")) || 0;
    throw failure;
  }

  // The JSON of an answer.
  async ask(method, path, body, options) {
    const said = await this.once(method, path, body, options);
    try {
      return JSON.parse(said);
    } catch {
      throw new Busy(`${method} ${path}: the answer is no JSON: ${said.toString().slice(0, 100)}`);
    }
  }

  // Does something until it is not Busy, or no longer wanted (then undefined).
  async patiently(act, wanted = () => true) {
    for (let tries = 0; wanted(); tries++) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof Busy)) throw error;
        const pause = error.pause(tries);
        console.error(`${error.message}; again in ${pause.toFixed(1)} s`);
        await sleep(1000 * pause);
      }
    }
  }

  // An image's bytes; what some proxy sends in their place is no image.
  async image({ url, sha256 }) {
    const bytes = await this.once("GET", url);
    if (createHash("sha256").update(bytes).digest("hex") !== sha256) throw new Busy(`GET ${url}: these are other bytes`);
    return bytes;
  }
}
