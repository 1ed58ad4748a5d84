/** Pictures as blobs: the token goes in a header, never in an address. Kept within a bound, newest wish first. */
import { useEffect, useState } from 'preact/hooks';
import { Refusal } from '../api/client';
import { original, thumbnail } from '../api/images';

export type Size = 256 | 1024 | 'full';
export type Picture = { url: string | null; state: 'loading' | 'shown' | 'none'; why?: string };

/** What browsers draw; the others have a thumbnail or none. */
const DRAWN = ['image/jpeg', 'image/png', 'image/gif', 'image/webp', 'image/avif', 'image/bmp'];
/** The most bytes of pictures kept in memory that nobody looks at. */
const KEPT_BYTES = 96 * 1024 * 1024;
/** Browsers open six connections; one is for the stream of events, one for asking, one for whatever is pressed. */
const AT_ONCE = 3;

type Entry = { url: string; bytes: number; users: number };
type Wish = { key: string; run: () => Promise<void> };

const kept = new Map<string, Entry>();
const wishes: Wish[] = [];
let running = 0;

function pump(): void {
  while (running < AT_ONCE) {
    const wish = wishes.pop();
    if (!wish) return;
    running += 1;
    void wish.run().finally(() => {
      running -= 1;
      pump();
    });
  }
}

function tidy(): void {
  let bytes = 0;
  for (const entry of kept.values()) bytes += entry.bytes;
  // A map keeps the order of its insertions: the first is the oldest.
  for (const [key, entry] of kept) {
    if (bytes <= KEPT_BYTES) return;
    if (entry.users > 0) continue;
    URL.revokeObjectURL(entry.url);
    kept.delete(key);
    bytes -= entry.bytes;
  }
}

/** Forgets every picture, as when somebody signs out. */
export function forgetPictures(): void {
  for (const entry of kept.values()) URL.revokeObjectURL(entry.url);
  kept.clear();
}

async function fetchPicture(md5: string, mediaType: string, size: Size, signal: AbortSignal): Promise<Blob | null> {
  const drawn = DRAWN.includes(mediaType);
  if (size === 'full' && drawn) return original(md5, signal);
  const small = await thumbnail(md5, size === 'full' ? 1024 : size, signal);
  return small ?? (drawn ? original(md5, signal) : null);
}

const AGAIN_MAX_S = 15;
/** In how many seconds it may come after all: a server that is away or busy, or a session that ended, is none that has no picture. */
function passing(error: unknown, tries: number): number | null {
  const refused = error instanceof Refusal ? error : null;
  if (refused && refused.problem.status < 500 && ![401, 429].includes(refused.problem.status)) return null;
  return refused?.retryAfter ?? Math.min(AGAIN_MAX_S, 2 ** tries);
}

/** The address of a picture while it is shown. */
export function usePicture(md5: string, mediaType: string, size: Size): Picture {
  const [picture, setPicture] = useState<Picture>({ url: null, state: 'loading' });
  useEffect(() => {
    const key = `${md5}/${size}`;
    const abort = new AbortController();
    let mine: Entry | null = null;
    const take = (entry: Entry) => {
      mine = entry;
      entry.users += 1;
      kept.delete(key);
      kept.set(key, entry);
      setPicture({ url: entry.url, state: 'shown' });
    };
    const known = kept.get(key);
    if (known) {
      take(known);
    } else {
      setPicture({ url: null, state: 'loading' });
      let tries = 0;
      const run = async () => {
        if (abort.signal.aborted) return;
        const meanwhile = kept.get(key);
        if (meanwhile) return take(meanwhile);
        try {
          const blob = await fetchPicture(md5, mediaType, size, abort.signal);
          if (abort.signal.aborted) return;
          if (!blob) return setPicture({ url: null, state: 'none', why: `No preview of ${mediaType.replace('image/', '').toUpperCase()}` });
          // Another that asked for the same may have been faster.
          take(kept.get(key) ?? { url: URL.createObjectURL(blob), bytes: blob.size, users: 0 });
          tidy();
        } catch (error) {
          if (abort.signal.aborted) return;
          const pause = passing(error, (tries += 1));
          if (pause === null) setPicture({ url: null, state: 'none', why: 'The picture could not be fetched' });
          else setTimeout(() => { wishes.push({ key, run }); pump(); }, pause * 1_000);
        }
      };
      wishes.push({ key, run });
      pump();
    }
    return () => {
      abort.abort();
      if (mine) mine.users -= 1;
      tidy();
    };
  }, [md5, mediaType, size]);
  return picture;
}
