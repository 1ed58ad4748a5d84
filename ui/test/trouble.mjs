// The page when something goes wrong: the server, the network, the clock, the files; and when there is very much.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { serveMany, thumbnails } from './many.mjs';
import { accessible, BASE, call, chooseFaces, HOSTILE, photo, PHOTOS, text, visit } from './stage.mjs';

/** Photographs of which no two are the same: bytes behind the end of a JPEG change nothing of its picture. */
const others = (file, n, padded = 0) => {
  const bytes = readFileSync(join(PHOTOS, file));
  return Array.from({ length: n }, (_, at) => ({ name: `roll/${at}-${file}`, mimeType: '', buffer: Buffer.concat([bytes, Buffer.alloc(padded, at), Buffer.from(`${file} ${at} ${padded} ${Date.now()}`)]) }));
};

async function restartServer() {
  writeFileSync(process.env.RESTART, '');
  for (const until = Date.now() + 60_000; existsSync(process.env.RESTART); ) {
    assert.ok(Date.now() < until, 'the server did not come back');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('the server is killed and started while pages are open and an upload is under way', async () => {
  const { page, context, close } = await visit('ivo', { at: '#/upload' });
  await chooseFaces(page);
  const photos = others('flower.jpg', 40);
  await page.setInputFiles('#files', photos);
  await page.getByText('40 photographs ready').waitFor();
  const watching = await context.newPage();
  // A tab of its own signs in by itself.
  await watching.goto(`${BASE}/#/models`);
  await watching.getByLabel('Name').fill('ivo');
  await watching.getByLabel('Password').fill(process.env.PASSWORD);
  await watching.getByRole('button', { name: 'Sign in' }).click();
  await watching.getByRole('heading', { name: 'faces' }).waitFor();
  await page.bringToFront();
  await page.getByRole('button', { name: 'Start' }).click();
  await restartServer();
  await page.getByText('Done: 40 photographs taken').waitFor({ timeout: 60_000 });
  const submission = await page.getByRole('link', { name: 'Watch the work' }).getAttribute('href');
  const { counts } = await call(page, 'GET', `/submissions/${submission.split('/').pop()}?limit=1`);
  assert.equal(counts.images, 40);
  await watching.bringToFront();
  await watching.locator('.away').waitFor({ state: 'detached' });
  await watching.getByRole('listitem', { name: 'faces' }).waitFor();
  await close();
});

/** A line to the server that carries so many bytes a second up each connection, and that can be cut, or fall silent. */
async function lineOf(bytesPerSecond) {
  const { hostname, port } = new URL(BASE);
  const line = { carried: 0, up: true, silent: false, pairs: new Set() };
  const server = net.createServer((client) => {
    if (!line.up) return client.destroy();
    const onward = net.connect(Number(port), hostname);
    const end = () => { line.pairs.delete(end); client.destroy(); onward.destroy(); };
    line.pairs.add(end);
    for (const one of [client, onward]) one.on('error', end).on('close', end);
    onward.pipe(client);
    client.on('data', (bytes) => {
      line.carried += bytes.length;
      onward.write(bytes);
      client.pause();
      setTimeout(() => line.silent || client.resume(), (bytes.length / bytesPerSecond) * 1_000);
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const cut = () => { line.up = false; line.pairs.forEach((end) => end()); };
  return { line, cut, hush: () => { line.silent = true; }, mend: () => { line.up = true; line.silent = false; }, base: `http://127.0.0.1:${server.address().port}`, close: () => { cut(); server.close(); } };
}

test('the network goes in the middle of a large upload over a slow line, twice, and comes back', async (t) => {
  const slow = await lineOf(6e6);
  t.after(slow.close);
  const { page, close } = await visit('ivo', { at: '#/upload', base: slow.base });
  await chooseFaces(page);
  const photos = others('china.jpg', 40, 700_000);
  const bytes = photos.reduce((sum, one) => sum + one.buffer.length, 0);
  await page.setInputFiles('#files', photos);
  await page.getByText('40 photographs ready').waitFor();
  await page.getByRole('button', { name: 'Start' }).click();
  const carried = async (share) => {
    for (const until = Date.now() + 60_000; slow.line.carried < bytes * share; ) {
      assert.ok(Date.now() < until, `${slow.line.carried} of ${bytes} bytes`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await carried(0.3);
  slow.hush();
  await page.getByText('Nothing has moved for 10 seconds').waitFor({ timeout: 20_000 });
  assert.equal(await page.getByText(/ left$/).count(), 0);
  slow.cut();
  await page.getByText('nothing is lost').first().waitFor();
  await accessible(page, 'an upload without a network');
  // One may look at something else meanwhile.
  await page.getByRole('link', { name: 'Gallery', exact: true }).click();
  await page.locator('.away').waitFor();
  await page.locator('main .trouble').first().waitFor({ state: 'attached' });
  assert.equal(await page.getByText('cannot be reached').filter({ visible: true }).count(), 1, 'it is said once');
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: /^Upload/ }).click();
  slow.mend();
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await carried(0.9);
  slow.cut();
  slow.mend();
  await page.getByText('Done: 40 photographs taken').waitFor({ timeout: 90_000 });
  const submission = await page.getByRole('link', { name: 'Watch the work' }).getAttribute('href');
  const { counts } = await call(page, 'GET', `/submissions/${submission.split('/').pop()}?limit=1`);
  assert.deepEqual([counts.images, counts.jobs], [40, 40]);
  await close();
});

for (const days of [-1, 1]) {
  test(`a browser whose clock is ${days < 0 ? 'a day behind' : 'a day ahead'}`, async () => {
    const { page, context, close } = await visit(null);
    await context.addInitScript((off) => {
      const RealDate = Date;
      globalThis.Date = class extends RealDate {
        constructor(...given) {
          if (given.length > 0) super(...given);
          else super(RealDate.now() + off);
        }

        static now() {
          return RealDate.now() + off;
        }
      };
    }, days * 86_400_000);
    await page.goto(`${BASE}/#/upload`);
    await page.reload();
    await page.getByLabel('Name').fill('ivo');
    await page.getByLabel('Password').fill(process.env.PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await chooseFaces(page);
    await page.setInputFiles('#files', others('coffee.jpg', 2));
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByText('Done: 2 photographs taken').waitFor();
    await page.getByRole('link', { name: 'Watch the work' }).click();
    await page.locator('td[data-label=Done]', { hasText: /^2$/ }).waitFor();
    await page.goto(`${BASE}/#/models`);
    await page.getByRole('heading', { name: 'faces' }).waitFor();
    await page.waitForTimeout(4_000);
    // Nothing is told by the browser's clock: no time that has not come, and none below nothing.
    assert.ok(!/-\d+(\.\d+)? (ms|s|min|h)|NaN|Invalid/.test(await page.locator('main').innerText()));
    assert.equal(await page.getByRole('dialog').count(), 0);
    await close();
  });
}

test('what photographs and their names carry is text', async () => {
  const { page, close } = await visit('ivo', { at: '#/upload' });
  await chooseFaces(page);
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>';
  const jpeg = readFileSync(join(PHOTOS, 'grace_hopper.jpg'));
  // EXIF by hand: a camera whose name is markup, an orientation that lies, a lens with a right-to-left mark.
  const said = Buffer.from('<script>alert(3)</script>"\'\0', 'latin1');
  const tiff = Buffer.alloc(38);
  tiff.write('II*\0', 0, 'latin1');
  tiff.writeUInt32LE(8, 4);
  tiff.writeUInt16LE(2, 8);
  tiff.writeUInt16LE(0x0110, 10); tiff.writeUInt16LE(2, 12); tiff.writeUInt32LE(said.length, 14); tiff.writeUInt32LE(38, 18);
  tiff.writeUInt16LE(0x0112, 22); tiff.writeUInt16LE(3, 24); tiff.writeUInt32LE(1, 26); tiff.writeUInt16LE(6, 30);
  const exif = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff, said]);
  const segment = Buffer.from([0xff, 0xe1, (exif.length + 2) >> 8, (exif.length + 2) & 255]);
  const lying = Buffer.concat([jpeg.subarray(0, 2), segment, exif, jpeg.subarray(2)]);
  const names = [`"><svg onload=alert(1)>.jpg`, '../../etc/passwd.jpg', 'a\u202egpj.exe', '\u{1f4f7}\u0301 \u05d0\u05d1.jpg', `'); DROP TABLE image; --.jpg`, HOSTILE];
  const files = names.map((name, at) => ({ name, mimeType: '', buffer: Buffer.concat([lying, Buffer.from(`${at} ${Date.now()}`)]) }));
  await page.setInputFiles('#files', [...files, text('drawing.svg', svg), text('page.jpg', `\xff\xd8${svg}`)]);
  await page.getByText('6 photographs ready').waitFor().catch(() => page.getByText('7 photographs ready').waitFor());
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('Done: 6 photographs taken').waitFor();
  await page.getByText('2 files not taken').waitFor();
  await page.getByRole('link', { name: 'Gallery', exact: true }).click();
  await page.locator('.tile').nth(5).waitFor();
  await page.locator('.tile a').first().click();
  await page.getByRole('heading', { name: 'The file' }).waitFor();
  await page.getByRole('heading', { name: 'What was found' }).waitFor();
  await page.getByText('6', { exact: true }).first().waitFor();
  assert.equal(await page.evaluate(() => document.querySelectorAll('main script, main svg[onload], main img[onerror]').length), 0);
  await accessible(page, 'a hostile photograph');
  await close();
});

test('two hundred thousand that fit', async (t) => {
  const studio = await visit(null);
  const pictures = await thumbnails(studio.page, [readFileSync(join(PHOTOS, 'coffee.jpg'))]);
  await studio.close();
  const many = await serveMany(200_000, pictures);
  t.after(many.close);
  const { page, close } = await visit('ines', { base: many.base });
  await page.getByText('5,000 or more').waitFor();
  await page.locator('.tile img').first().waitFor();
  // As one scrolls more of it comes, and no more than what is in sight is drawn.
  const listed = () => page.evaluate(() => Number(document.querySelector('.grid').lastElementChild?.getAttribute('aria-posinset')));
  await page.locator('.tile a').first().focus();
  for (const until = Date.now() + 60_000; (await listed()) < 5_000; ) {
    assert.ok(Date.now() < until, `${await listed()} after a minute`);
    await page.keyboard.press('End');
    await page.waitForTimeout(50);
  }
  assert.ok((await page.locator('.tile').count()) < 400);
  await page.keyboard.press('Home');
  await page.waitForFunction(() => document.activeElement?.dataset.at === '0');
  await page.locator('.tile img').first().waitFor();
  await close();
});
