/** Hashes files in workers, a few at a time. */
import type { Hashed } from './hash.worker';

/** One reads while the other computes; more only heat the machine. */
const WORKERS = 2;

type Asked = { file: File; resolve: (answer: Hashed) => void };
const line: Asked[] = [];
const idle: Worker[] = [];
const under = new Map<Worker, Asked>();
let made = 0;

function next(worker: Worker): void {
  const asked = line.shift();
  if (!asked) return void idle.push(worker);
  under.set(worker, asked);
  worker.postMessage({ id: 0, file: asked.file });
}

function make(): Worker {
  made += 1;
  const worker = new Worker(new URL('./hash.worker.ts', import.meta.url), { type: 'module' });
  const answer = (said: Hashed) => {
    under.get(worker)?.resolve(said);
    under.delete(worker);
    next(worker);
  };
  worker.onmessage = (event: MessageEvent<Hashed>) => answer(event.data);
  worker.onerror = () => answer({ id: 0, error: 'The file could not be read.' });
  return worker;
}

export function hash(file: File): Promise<Hashed> {
  return new Promise((resolve) => {
    line.push({ file, resolve });
    const worker = idle.pop() ?? (made < WORKERS ? make() : null);
    if (worker) next(worker);
  });
}
