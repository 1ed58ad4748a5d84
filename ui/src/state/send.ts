/** Sends photographs by XMLHttpRequest, which alone tells how much has been sent. */
import { asProblem, BASE, ended, Refusal, token, Unreachable } from '../api/client';
import type { Submitted } from '../api/submissions';

/** A connection over which nothing has moved for so long is dead; a slow one empties its buffers within it. */
const STALLED_S = 120;

export function send(form: FormData, signal: AbortSignal, moved: (loaded: number) => void): Promise<Submitted> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', `${BASE}/predict`);
    request.responseType = 'json';
    const mine = token.value;
    request.setRequestHeader('authorization', `Bearer ${mine}`);
    let watch = 0;
    const live = () => {
      clearTimeout(watch);
      watch = window.setTimeout(() => request.abort(), STALLED_S * 1_000);
    };
    request.upload.onprogress = (event) => {
      live();
      moved(event.loaded);
    };
    request.onload = () => {
      if (request.status === 202) return resolve(request.response as Submitted);
      if (request.status === 401 && mine === token.value) ended.value = true;
      reject(new Refusal(asProblem(request.response, request.status), Number(request.getResponseHeader('retry-after')) || null));
    };
    request.onerror = () => reject(new Unreachable('The server cannot be reached.'));
    request.onabort = () => reject(signal.aborted ? new DOMException('paused', 'AbortError') : new Unreachable('The connection is dead.'));
    request.onloadend = () => clearTimeout(watch);
    signal.addEventListener('abort', () => request.abort());
    live();
    request.send(form);
  });
}
