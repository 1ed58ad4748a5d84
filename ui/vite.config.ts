import { defineConfig } from 'vite';

/** While one works on the page: what is not a source of it is the server's. */
const server = process.env.DARKROOM_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  // Relative, so that the page works wherever a proxy puts it.
  base: './',
  build: {
    target: 'es2022',
    modulePreload: false,
    // The policy of the page allows no data in place of a file.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  worker: { format: 'es' },
  server: { proxy: { '^/(auth|cases|images|jobs|models|predict|problems|search|submissions|training|workers|sdk|docs)(/|\\?|$)': server } },
});
