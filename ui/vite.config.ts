import { defineConfig } from 'vite';

/** While one works on the page: what is not a source of it is the server's. */
const server = process.env.DARKROOM_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  // Relative, so that the page works wherever a proxy puts it.
  base: './',
  build: {
    outDir: 'built',
    target: 'es2022',
    // The same names at every build: the server tells browsers which is which, and the history of each file is one.
    rollupOptions: { output: { entryFileNames: 'assets/page.js', assetFileNames: 'assets/page.[ext]' } },
    modulePreload: false,
    // The policy of the page allows no data in place of a file.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  worker: { format: 'es', rollupOptions: { output: { entryFileNames: 'assets/hash.js' } } },
  server: { proxy: { '^/(auth|cases|events|exports|images|jobs|models|predict|problems|search|submissions|training|workers|sdk|docs)(/|\\?|$)': server } },
});
