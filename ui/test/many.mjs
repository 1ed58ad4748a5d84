// A server in memory that says it has as many photographs as one likes: what the page asks for a gallery, and nothing else.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { fileURLToPath } from 'node:url';

const BUILT = fileURLToPath(new URL('../built', import.meta.url));
const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };
const PAGE = 500;
const SHAPES = [[4032, 3024], [3024, 4032], [1920, 1080], [1000, 1000], [6000, 2600]];

const md5 = (n) => n.toString(16).padStart(32, '0');
const hit = (n) => ({
  md5: md5(n), name: `trip/${n}.jpg`, case: '00000000-0000-4000-8000-000000000001', uploaded_at: '2026-11-22T09:00:00Z', by: 'ines', media_type: 'image/jpeg', bytes: 4_000_000,
  width: SHAPES[n % 5][0], height: SHAPES[n % 5][1], orientation: null, tags: n % 7 ? [] : ['sea'], taken_at: null, camera: null, placeholder: null, distance: null,
});
const box = (at) => ({ type: 'box', box: [at, 0.2, at + 0.2, 0.6], label: 'face', score: 0.9 });
const result = { version: 'v1', job: '00000000-0000-4000-8000-000000000002', finished_at: '2026-11-22T09:00:01Z', items: [box(0.1), box(0.5)], fields: {}, summary: null };
const status = (of) => ({ md5: of, status: 'succeeded', done: true, problem: null, jobs: {}, results: { faces: result } });

/** Its answer to a request, as JSON; nothing where it has none. */
function answer(path, query, body, photographs) {
  if (path === '/auth/login') return { access_token: 'not.a.token', token_type: 'bearer', expires_in: 3_600 };
  if (path === '/auth/profile') return { id: md5(0), name: 'ines', email: null, roles: ['investigator'], disabled_at: null, created_at: '2026-11-22T09:00:00Z' };
  if (path === '/cases') return { items: [], next_cursor: null };
  if (path === '/search/counts') return { images: { count: 5_000, at_least: true }, labels: [{ label: 'face', images: 4_200 }], models: [{ model: 'faces', images: 5_000 }], tags: [{ tag: 'sea', images: 714 }] };
  if (path === '/search') {
    const from = Number(query.get('cursor') ?? 0);
    const items = Array.from({ length: Math.min(PAGE, photographs - from) }, (_, n) => hit(from + n));
    return { items, next_cursor: from + PAGE < photographs ? String(from + PAGE) : null };
  }
  if (path === '/predict/status') return { items: body.images.map(status) };
  return null;
}

/** Listens on a port of its own. `pictures` are the thumbnails, each a WebP, that photographs have in turns. */
export async function serveMany(photographs, pictures) {
  const server = http.createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    const chunks = await request.toArray();
    if (pathname === '/' || pathname.startsWith('/assets/')) {
      const file = pathname === '/' ? '/index.html' : pathname;
      try {
        const bytes = readFileSync(BUILT + file);
        return response.writeHead(200, { 'content-type': TYPES[file.split('.').pop()] }).end(bytes);
      } catch {
        return response.writeHead(404).end();
      }
    }
    const [, image] = /^\/images\/([0-9a-f]{32})\//.exec(pathname) ?? [];
    if (image) return response.writeHead(200, { 'content-type': 'image/webp' }).end(pictures[parseInt(image.slice(-8), 16) % pictures.length]);
    const json = answer(pathname, searchParams, request.headers['content-type'] === 'application/json' ? JSON.parse(Buffer.concat(chunks).toString()) : null, photographs);
    response.writeHead(json ? 200 : 404, { 'content-type': json ? 'application/json' : 'application/problem+json' });
    response.end(JSON.stringify(json ?? { code: 'not_found', title: 'Not found', detail: 'It is not here.', mend: '', status: 404, errors: [] }));
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return { base: `http://127.0.0.1:${server.address().port}`, close: () => { server.close(); server.closeAllConnections(); } };
}

/** Thumbnails of photographs, made by the browser, as the server makes them. */
export async function thumbnails(page, photographs, edge = 256) {
  const made = [];
  for (const bytes of photographs) {
    const encoded = await page.evaluate(async ([base64, edge]) => {
      const blob = new Blob([Uint8Array.from(atob(base64), (one) => one.charCodeAt(0))]);
      const bitmap = await createImageBitmap(blob);
      const scale = edge / Math.max(bitmap.width, bitmap.height);
      const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
      canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      const small = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/webp', quality: 0.8 })).arrayBuffer());
      return btoa(String.fromCharCode(...small));
    }, [bytes.toString('base64'), edge]);
    made.push(Buffer.from(encoded, 'base64'));
  }
  return made;
}
