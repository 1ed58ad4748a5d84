/** Beside the page, so that it stays quick: the MD5 of a file, and whether it begins as an image does. */
import { Md5 } from './md5';

export type Hashed = { id: number; md5: string; image: boolean } | { id: number; error: string };

const ascii = (bytes: Uint8Array, from: number, to: number) => String.fromCharCode(...bytes.subarray(from, to));

/** By its first bytes, whatever its name; the server looks closer. */
function beginsAsImage(b: Uint8Array): boolean {
  if (b[0] === 0xff && b[1] === 0xd8) return true;
  const start = ascii(b, 0, 4);
  if (start === '\x89PNG' || start === 'GIF8' || start.startsWith('BM')) return true;
  if (start === 'II*\0' || start === 'MM\0*' || start === 'II+\0' || start === 'MM\0+') return true;
  return (start === 'RIFF' && ascii(b, 8, 12) === 'WEBP') || ascii(b, 4, 8) === 'ftyp';
}

onmessage = async (event: MessageEvent<{ id: number; file: File }>) => {
  const { id, file } = event.data;
  try {
    const head = new Uint8Array(await file.slice(0, 16).arrayBuffer());
    if (!beginsAsImage(head)) return postMessage({ id, md5: '', image: false } satisfies Hashed);
    const md5 = new Md5();
    const reader = file.stream().getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) md5.add(part.value);
    postMessage({ id, md5: md5.hex(), image: true } satisfies Hashed);
  } catch (error) {
    postMessage({ id, error: String(error) } satisfies Hashed);
  }
};
