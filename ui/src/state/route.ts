/** Where one is: behind the # of the address, since the paths before it are the server's. */
import { signal } from '@preact/signals';

export type Route = { page: string; id: string | null; query: URLSearchParams };

const parse = (hash: string): Route => {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page = '', id = null] = path.split('/').map(decode);
  return { page: page || 'gallery', id: id || null, query: new URLSearchParams(query) };
};

/** An address that somebody broke is shown as it is. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const route = signal<Route>(parse(location.hash));
addEventListener('hashchange', () => (route.value = parse(location.hash)));

/** The address of a page. */
export function to(page: string, id?: string | null, query?: Record<string, string | null | undefined>): string {
  const said = Object.entries(query ?? {}).filter((pair): pair is [string, string] => !!pair[1]);
  const tail = said.length ? `?${new URLSearchParams(said)}` : '';
  return `#/${page}${id ? `/${encodeURIComponent(id)}` : ''}${tail}`;
}

/** At once: who presses a key twice means twice. */
export function go(address: string): void {
  location.hash = address;
  route.value = parse(address);
}
