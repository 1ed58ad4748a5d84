// What every test of the page in a browser uses. Needs BASE, PASSWORD, CHROMIUM and PHOTOS; tests/page.rs sets the stage.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

export const { BASE, PASSWORD, CHROMIUM, PHOTOS } = process.env;
export const HOSTILE = `'><img src=x onerror=alert(1)>\u202egnp.exe.png`;
export const photo = (file, name = file) => ({ name, mimeType: '', buffer: readFileSync(join(PHOTOS, file)) });
export const text = (name, buffer) => ({ name, mimeType: '', buffer: Buffer.from(buffer, 'latin1') });

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
});
after(() => browser?.close());

/** A page of somebody's own, which must ask nobody but the server, name no token in an address, and break nothing. */
export async function visit(user, { at = '', base = BASE, size = { width: 1280, height: 860 }, scheme = 'light' } = {}) {
  const context = await browser.newContext({ viewport: size, colorScheme: scheme });
  // So long may a busy machine take: nothing is judged by it.
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('dialog', (dialog) => { wrong.push(`a dialog: ${dialog.message()}`); void dialog.dismiss(); });
  page.on('console', (line) => line.type() === 'error' && !/Failed to load resource|net::ERR/.test(line.text()) && wrong.push(line.text()));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !url.startsWith(`blob:${new URL(base).origin}`)) wrong.push(`asked ${url}`);
    if (/eyJ[\w-]*\.eyJ/.test(url)) wrong.push(`a token in ${url}`);
  });
  await page.goto(`${base}/${at}`);
  if (user) {
    await page.getByLabel('Name').fill(user);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  }
  const close = async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  };
  return { page, context, close, wrong };
}

export async function accessible(page, where) {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => globalThis.axe.run({ resultTypes: ['violations'] }));
  assert.deepEqual(found.violations.map((one) => `${where}: ${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`), []);
}

export const chooseFaces = (page) => page.getByRole('checkbox', { name: /^faces/ }).check();

/** Calls the server as whoever is signed in on a page. */
export async function call(page, method, path, body) {
  const token = await page.evaluate(() => sessionStorage.getItem('darkroom.token'));
  const answer = await fetch(`${BASE}${path}`, { method, headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) }, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}
