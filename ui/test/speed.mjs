// How fast the page is, on a machine that does nothing else: `cd ui && npm ci && node test/speed.mjs [photographs]`.
// Time to the first picture, how long a great list takes to come, and how long frames take while one scrolls through it.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { serveMany, thumbnails } from './many.mjs';

const PHOTOGRAPHS = Number(process.argv[2] ?? 100_000);
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
/** Pixels a second: reading, looking for something, and flinging. */
const SPEEDS = [600, 3_000, 12_000];
const SCROLLED_S = 8;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-quic', '--disable-background-networking'] });
const photos = here('../../examples/photos/');
const jpegs = readdirSync(photos).filter((name) => name.endsWith('.jpg')).map((name) => readFileSync(photos + name));
const studio = await browser.newPage();
const pictures = await thumbnails(studio, jpegs);
await studio.close();
const server = await serveMany(PHOTOGRAPHS, pictures);

const row = (...cells) => console.log(`| ${cells.join(' | ')} |`);
const ms = (n) => `${n.toFixed(n < 10 ? 1 : 0)} ms`;
const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

const built = [['index.html', 'index.html'], ...readdirSync(here('../built/assets')).map((name) => [name, `assets/${name}`])];
const weights = built.map(([name, path]) => [name, gzipSync(readFileSync(here(`../built/${path}`)), { level: 9 }).length]);
row('file', 'kB, compressed');
row('---', '--:');
for (const [name, bytes] of weights) row(name, (bytes / 1_000).toFixed(1));
row('all', (weights.reduce((sum, [, bytes]) => sum + bytes, 0) / 1_000).toFixed(1));

/** Signed in already, as after a reload. */
async function open(cpuSlower = 1) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  await context.addInitScript(() => {
    sessionStorage.setItem('darkroom.token', 'not.a.token');
    new MutationObserver((_, observer) => {
      const image = document.querySelector('.tile img');
      if (!image) return;
      observer.disconnect();
      image.decode().catch(() => undefined).then(() => requestAnimationFrame(() => (window.firstPicture = performance.now())));
    }).observe(document, { childList: true, subtree: true });
  });
  const page = await context.newPage();
  if (cpuSlower > 1) await (await context.newCDPSession(page)).send('Emulation.setCPUThrottlingRate', { rate: cpuSlower });
  await page.goto(server.base);
  await page.waitForFunction(() => window.firstPicture, null, { timeout: 60_000 });
  return { page, context, first: await page.evaluate(() => window.firstPicture) };
}

console.log();
row('time to the first picture', 'median of five');
row('---', '--:');
for (const slower of [1, 4]) {
  const times = [];
  for (let time = 0; time < 5; time += 1) {
    const { context, first } = await open(slower);
    times.push(first);
    await context.close();
  }
  row(slower === 1 ? 'this machine' : `a processor ${slower} times slower`, ms(times.sort((a, b) => a - b)[2]));
}

const { page } = await open();
const loading = await page.evaluate(async (wanted) => {
  const began = performance.now();
  const sets = () => Number(document.querySelector('.tile')?.getAttribute('aria-setsize'));
  while (sets() !== wanted) {
    scrollTo(0, document.documentElement.scrollHeight);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return performance.now() - began;
}, PHOTOGRAPHS);
console.log(`\nThe whole list of ${PHOTOGRAPHS.toLocaleString('en')} came in ${(loading / 1_000).toFixed(1)} s, scrolling to its end all the time.\n`);

/** Scrolls evenly, and looks at each frame for how long it took and whether what is in sight is drawn. */
const scrolled = (speed, from) => page.evaluate(async ([speed, seconds, from]) => {
  const end = document.documentElement.scrollHeight;
  scrollTo(0, end * from);
  await new Promise((resolve) => setTimeout(resolve, 700));
  const frame = () => new Promise(requestAnimationFrame);
  const [frames, began] = [[], await frame()];
  let [last, bare, soon] = [began, 0, 0];
  let y = scrollY;
  while (last - began < seconds * 1_000) {
    const now = await frame();
    frames.push(now - last);
    y += (speed * (now - last)) / 1_000;
    scrollTo(0, y);
    last = now;
    // A point in the middle of the window lies on a photograph, or in the gap beside one.
    const under = document.elementsFromPoint(innerWidth / 2, innerHeight / 2).concat(document.elementsFromPoint(innerWidth / 2 + 12, innerHeight / 2 + 12));
    const tile = under.map((element) => element.closest('.tile')).find(Boolean);
    if (!tile) bare += 1;
    else if (!tile.querySelector('img')) soon += 1;
  }
  return { frames, bare, soon };
}, [speed, SCROLLED_S, from]);

row('scrolling', 'frames', 'median', '95 %', '99 %', 'longest', 'over 34 ms', 'nothing drawn', 'picture not there yet');
row('---', '--:', '--:', '--:', '--:', '--:', '--:', '--:', '--:');
for (const speed of SPEEDS) {
  for (const [where, from] of [['beginning', 0], ['middle', 0.5]]) {
    const { frames, bare, soon } = await scrolled(speed, from);
    const sorted = [...frames].sort((a, b) => a - b);
    row(`${speed.toLocaleString('en')} px/s, ${where}`, frames.length, ms(at(sorted, 0.5)), ms(at(sorted, 0.95)), ms(at(sorted, 0.99)), ms(sorted.at(-1)), sorted.filter((one) => one > 34).length, bare, soon);
  }
}
const kept = await page.evaluate(() => ({ tiles: document.querySelectorAll('.tile').length, heap: performance.memory?.usedJSHeapSize ?? 0 }));
console.log(`\n${kept.tiles} photographs are drawn at once; the list and the page hold ${(kept.heap / 1e6).toFixed(0)} MB.`);
await browser.close();
server.close();
