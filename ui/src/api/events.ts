/** A stream of events: the present state of what is followed, told again whenever it is another. */
import { asProblem, BASE, Refusal, token } from './client';

/** What a stream says. */
export type Reader = {
  /** The server has begun to tell. */
  open: () => void;
  /** What a topic is now, and the id by which one comes again. */
  state: (topic: string, state: unknown, id: string) => void;
  /** A topic, or with null everything, is told of no more. */
  problem: (topic: string | null) => void;
};

/** Within so many seconds a stream begins: it may find no connection, as browsers open six. */
const BEGIN_S = 10;
/** The server says something every fifteen seconds; after so many without a word the connection is dead. */
const SILENT_S = 40;

/** Reads a stream until its end; throws if there is none to be had, or it breaks. */
export async function follow(topics: string[], last: string | null, signal: AbortSignal, reader: Reader): Promise<void> {
  const dead = new AbortController();
  let watch = 0;
  const within = (seconds: number) => {
    clearTimeout(watch);
    watch = window.setTimeout(() => dead.abort(), seconds * 1_000);
  };
  try {
    within(BEGIN_S);
    const headers = new Headers({ accept: 'text/event-stream', authorization: `Bearer ${token.value}` });
    if (last) headers.set('last-event-id', last);
    const address = `${BASE}/events?watch=${encodeURIComponent(topics.join(','))}`;
    const answer = await fetch(address, { headers, cache: 'no-store', signal: AbortSignal.any([signal, dead.signal]) });
    if (!answer.ok || !answer.body || !answer.headers.get('content-type')?.startsWith('text/event-stream')) {
      throw new Refusal(asProblem(null, answer.status), Number(answer.headers.get('retry-after')) || null);
    }
    reader.open();
    const pieces = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      within(SILENT_S);
      const { value, done } = await pieces.read();
      if (done) return;
      const events = (text + value).split('\n\n');
      text = events.pop()!;
      for (const event of events) if (!signal.aborted) tell(event, reader);
    }
  } finally {
    clearTimeout(watch);
  }
}

function tell(event: string, reader: Reader): void {
  const field = (name: string) => event.split('\n').find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  const kind = field('event');
  if (!kind) return;
  const data = JSON.parse(field('data') ?? '{}') as { topic: string | null; state?: unknown };
  if (kind === 'state' && data.topic !== null) reader.state(data.topic, data.state, field('id') ?? '');
  else if (kind === 'problem') reader.problem(data.topic);
}
