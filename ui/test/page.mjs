// The page as people use it who bring photographs and look at them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { accessible, BASE, call, chooseFaces, HOSTILE, PASSWORD, photo, PHOTOS, text, visit } from './stage.mjs';

test('a wrong password is said to be one', async () => {
  const { page, close } = await visit(null);
  await page.getByLabel('Name').fill('ines');
  await page.getByLabel('Password').fill('not this one');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').getByText('Wrong name or password').waitFor();
  await accessible(page, 'sign in');
  await close();
});

test('upload, progress, boxes, photograph; what strangers wrote is text', async () => {
  const { page, close } = await visit('ines', { at: '#/upload' });
  await chooseFaces(page);
  await page.getByLabel('least').fill('0.25');
  await page.setInputFiles('#files', [photo('astronaut.jpg'), photo('coffee.jpg', 'trip/coffee.jpg'), photo('rocket.jpg'), photo('chelsea.png', HOSTILE),
    text('notes.txt', 'no photograph'), text('empty.jpg', ''), text('broken.jpg', '\xff\xd8 and then nothing of the kind')]);
  await page.getByText('5 photographs ready').waitFor();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('Done: 4 photographs taken').waitFor();
  await page.getByText('3 files not taken').waitFor();
  await page.getByText('It is not a photograph').waitFor();
  await accessible(page, 'upload');
  await page.getByRole('link', { name: 'Watch the work' }).click();
  await page.locator('td[data-label=Done]', { hasText: /^3$/ }).waitFor();
  await page.getByText('ValueError').first().waitFor();
  await page.locator('.jobs li', { hasText: 'ValueError' }).getByRole('button').click();
  await page.getByText('Traceback').first().click();
  await page.getByText('File "<model>", line 1').waitFor();
  await accessible(page, 'a submission');

  await page.getByRole('link', { name: 'Gallery' }).click();
  await page.locator('.tile .marks path').first().waitFor();
  const tile = page.locator('.tile', { has: page.getByRole('link', { name: /onerror.*gnp\.exe\.png/ }) });
  await tile.locator('.marks g').nth(2).waitFor({ state: 'attached' });
  assert.equal(await tile.locator('.marks g').count(), 3);
  await accessible(page, 'gallery');
  // A filter that does not parse stays, to be mended.
  await page.goto(`${BASE}/#/gallery?q=lable%3Aface`);
  await page.getByRole('alert').getByText('at character 1').waitFor();
  assert.equal(await page.getByLabel('Filter', { exact: true }).inputValue(), 'lable:face');
  await page.getByLabel('Filter', { exact: true }).fill('');
  await page.getByRole('button', { name: 'Find' }).click();
  await tile.locator('.marks g').nth(2).waitFor({ state: 'attached' });
  await page.getByLabel(/Score/).fill('0.9');
  await tile.locator('.marks g').nth(2).waitFor({ state: 'detached' });
  assert.equal(await tile.locator('.marks g').count(), 2);
  await page.getByLabel(/Score/).fill('0');
  await tile.locator('a').click();
  await page.getByRole('heading', { name: 'What was found' }).waitFor();
  await page.getByRole('heading', { level: 1 }).getByText('exe.png').waitFor();
  await page.getByText('one face').waitFor();
  await page.locator('.labels').getByText('<img src=x onerror=alert(1)>').waitFor();
  await page.getByText('<script>alert(1)</script>').first().waitFor();
  await page.getByText('{"least":0.25}').waitFor();
  await page.locator('.stage .marks path').first().waitFor();
  assert.equal(await page.locator('.stage .marks g').count(), 3);
  await accessible(page, 'photograph');
  await page.getByRole('button', { name: 'faces', exact: true }).click();
  await page.getByText('Running again').waitFor({ state: 'attached' });
  await close();
});

test('what is known is recognised before a byte is sent', async () => {
  const { page, close } = await visit('ines', { at: '#/upload' });
  const posts = [];
  page.on('request', (request) => request.url().endsWith('/predict') && posts.push(request.headers()['content-type']));
  await chooseFaces(page);
  await page.setInputFiles('#files', [photo('astronaut.jpg'), photo('coffee.jpg')]);
  await page.getByText('2 photographs known already').waitFor();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('Done: 2 photographs taken').waitFor();
  assert.deepEqual(posts, ['application/json']);
  await close();
});

test('a lost connection is said, and the upload goes on by itself', async () => {
  const { page, context, close } = await visit('ivo', { at: '#/upload' });
  await chooseFaces(page);
  await page.setInputFiles('#files', [photo('china.jpg'), photo('flower.jpg')]);
  await page.getByText('2 photographs ready').waitFor();
  await context.setOffline(true);
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('nothing is lost').first().waitFor();
  await context.setOffline(false);
  await page.getByText('Done: 2 photographs taken').waitFor();
  await close();
});

test('an upload whose tab was closed goes on under its own submission', async () => {
  const { page, context, close } = await visit('ivo', { at: '#/upload' });
  let tries = 0;
  await context.route('**/predict', (route) => (++tries === 1 ? route.abort() : route.continue()));
  await chooseFaces(page);
  await page.setInputFiles('#files', [photo('grace_hopper.jpg')]);
  await page.getByText('1 photograph ready').waitFor();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('nothing is lost').first().waitFor();
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByText('paused').waitFor();
  const watch = () => page.getByRole('link', { name: 'Watch the work' }).getAttribute('href');
  const before = await watch();
  await page.reload();
  await page.getByText('An upload was cut off').waitFor();
  await page.getByRole('button', { name: 'Go on with it' }).click();
  await page.setInputFiles('#files', [photo('grace_hopper.jpg')]);
  await page.getByText('1 photograph ready').waitFor();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('Done: 1 photograph taken').waitFor();
  assert.equal(await watch(), before);
  await close();
});

test('a session that ends asks for the password and loses nothing', async () => {
  const { page, close } = await visit('ines', { at: '#/upload' });
  await page.setInputFiles('#files', [photo('coffee.jpg')]);
  await chooseFaces(page);
  const token = await page.evaluate(() => sessionStorage.getItem('darkroom.token'));
  await fetch(`${BASE}/auth/logout`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
  // As when one comes back to the tab.
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  const dialog = page.getByRole('dialog', { name: 'Your session has ended' });
  await dialog.waitFor();
  await accessible(page, 'a session that ended');
  await dialog.getByLabel('Password').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Sign in' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.ok(await page.getByRole('checkbox', { name: /^faces/ }).isChecked());
  await page.getByText('coffee.jpg').first().waitFor();
  await close();
});

test('everybody sees what they may press, and nothing else', async () => {
  const links = async (page) => {
    await page.getByRole('link', { name: 'Cases' }).waitFor();
    return page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allInnerTexts();
  };
  const vera = await visit('vera', { at: '#/models' });
  assert.deepEqual(await links(vera.page), ['Gallery', 'Cases', 'Work', 'Models']);
  await vera.page.getByRole('heading', { name: 'faces' }).waitFor();
  assert.equal(await vera.page.getByRole('button', { name: /Pause|Settings|Retire/ }).count(), 0);
  await vera.page.goto(`${BASE}/#/upload`);
  await vera.page.getByText('may not upload').waitFor();
  await vera.close();
  const ines = await visit('ines', { at: '#/models' });
  assert.deepEqual(await links(ines.page), ['Gallery', 'Upload', 'Cases', 'Work', 'Models']);
  await ines.page.getByRole('heading', { name: 'faces' }).waitFor();
  assert.equal(await ines.page.getByRole('button', { name: 'Pause' }).count(), 0);
  await ines.close();
  const rosa = await visit('rosa', { at: '#/models' });
  assert.deepEqual(await links(rosa.page), ['Gallery', 'Upload', 'Cases', 'Work', 'Models', 'Training', 'Keys']);
  const card = rosa.page.getByRole('listitem', { name: 'faces' });
  await card.getByRole('button', { name: 'Pause' }).click();
  await card.getByText('paused', { exact: true }).waitFor();
  await card.getByRole('button', { name: 'Go on' }).click();
  await card.getByText('live', { exact: true }).waitFor();
  await rosa.close();
});

test('a case: made, filled, shared with somebody who only looks, tagged and noted', async () => {
  const ines = await visit('ines', { at: '#/cases' });
  const { page } = ines;
  await page.getByRole('button', { name: 'Make a case' }).click();
  await page.getByLabel('Name').fill('Harbour <b>4</b>');
  await page.getByRole('button', { name: 'Make it' }).click();
  await page.getByRole('heading', { level: 1, name: 'Harbour <b>4</b>' }).waitFor();
  await page.getByLabel('Account to add').fill('vera');
  await page.getByRole('combobox', { name: 'Role', exact: true }).selectOption('viewer');
  await page.getByRole('button', { name: 'Add' }).click();
  await page.getByLabel('Role of vera').waitFor();
  await accessible(page, 'a case');
  const id = await page.evaluate(() => location.hash.split('/').pop());
  await page.getByRole('link', { name: 'Upload' }).click();
  await chooseFaces(page);
  await page.getByLabel('Case').selectOption(id);
  await page.setInputFiles('#files', [photo('astronaut.jpg')]);
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('Done: 1 photograph taken').waitFor();
  await page.goto(`${BASE}/#/gallery?case=${id}`);
  await page.locator('.tile').first().waitFor();
  assert.equal(await page.locator('.tile').count(), 1);
  await page.locator('.pick').first().click();
  await page.getByRole('button', { name: 'Tag…' }).click();
  await page.getByLabel('Tag', { exact: true }).fill('pier');
  await page.getByRole('button', { name: 'Add the tag' }).click();
  await page.locator('.caption').getByText('#pier').waitFor();
  await page.locator('.tile a').click();
  await page.getByLabel('A note').fill('The same <i>jacket</i>');
  await page.getByRole('button', { name: 'Keep the note' }).click();
  await page.locator('.note').getByText('The same <i>jacket</i>').waitFor();
  const seen = await page.evaluate(() => location.hash);
  await ines.close();
  const vera = await visit('vera', { at: `#/gallery?case=${id}` });
  await vera.page.locator('.tile').first().waitFor();
  await vera.page.locator('.pick').first().click();
  await vera.page.getByText('1 photograph selected').waitFor();
  assert.equal(await vera.page.getByRole('button', { name: /Tag|Run a model/ }).count(), 0);
  await vera.page.locator('.tile a').click();
  await vera.page.getByText('The same <i>jacket</i>').waitFor();
  assert.equal(await vera.page.getByLabel('A note').count(), 0);
  await vera.close();
  // One that the gallery has not listed, as whoever comes by a link.
  for (const user of ['ines', 'vera']) {
    const linked = await visit(user);
    linked.page.on('request', (request) => request.url().endsWith('/tags') && linked.wrong.push('tags are told without being asked for'));
    await linked.context.route('**/search?*', (route) => route.fulfill({ json: { items: [], next_cursor: null } }));
    await linked.page.goto(`${BASE}/${seen}`);
    // What the gallery had listed is forgotten.
    await linked.page.reload();
    await linked.page.getByText('The same <i>jacket</i>').waitFor();
    const chip = linked.page.locator('.chip', { hasText: '#pier' });
    await chip.waitFor();
    assert.equal(await chip.getByRole('button').count(), user === 'ines' ? 1 : 0);
    await linked.close();
  }
});

test('models run where the photographs are; into one’s own case they are copied only by choice', async () => {
  const ines = await visit('ines', { at: '#/gallery?q=-case:Quay' });
  const { page } = ines;
  const asked = [];
  const watch = (page) => page.on('request', (request) => request.method() === 'POST' && request.url().endsWith('/predict') && asked.push(request.postDataJSON()));
  watch(page);
  const token = await page.evaluate(() => sessionStorage.getItem('darkroom.token'));
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const { items } = await (await fetch(`${BASE}/cases`, { headers })).json();
  const [harbour, own] = [items.find((one) => one.name.startsWith('Harbour')).id, items.find((one) => one.own).id];
  assert.ok((await fetch(`${BASE}/cases/${harbour}/members/ivo`, { method: 'PUT', headers, body: '{"role":"viewer"}' })).ok);
  await page.locator('.tile').nth(2).waitFor();
  await page.locator('.pick').first().click();
  await page.getByRole('button', { name: /^Select all/ }).click();
  await page.getByRole('button', { name: 'Run a model…' }).click();
  await chooseFaces(page);
  await page.getByRole('combobox', { name: /^Where/ }).waitFor();
  await accessible(page, 'running models');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.getByRole('dialog', { name: 'Under way' }).getByText('went to faces').waitFor();
  assert.deepEqual(asked.map((one) => one.case).sort(), [harbour, own].sort());
  assert.equal(new Set(asked.map((one) => one.submission)).size, 2);
  assert.equal(asked.find((one) => one.case === harbour).images.length, 1);
  await ines.close();

  asked.length = 0;
  const ivo = await visit('ivo', { at: `#/gallery?case=${harbour}` });
  watch(ivo.page);
  await ivo.page.locator('.tile').first().waitFor();
  assert.equal(await ivo.page.locator('.tile').count(), 1);
  await ivo.page.locator('.pick').first().click();
  await ivo.page.getByRole('button', { name: 'Run a model…' }).click();
  await chooseFaces(ivo.page);
  await ivo.page.getByText('not run models there').waitFor();
  const run = ivo.page.getByRole('button', { name: 'Run', exact: true });
  assert.ok(await run.isDisabled());
  await ivo.page.getByRole('combobox', { name: /^Where/ }).selectOption('own');
  // A part that is refused is told, with its reason, in a window that stays.
  const refused = { index: 0, name: '', problem: { title: 'Gone', status: 404, code: 'unknown_image', detail: 'No case of yours holds it.', mend: 'Look again.', errors: [] } };
  await ivo.page.route('**/predict', (route) => route.fulfill({ status: 202, json: { submission: harbour, case: own, images: [], rejected: [refused], models: ['faces'] } }), { times: 1 });
  await run.click();
  await ivo.page.getByRole('alert').getByText('1 of 1 photographs were not taken. No case of yours').waitFor();
  await run.click();
  await ivo.page.getByRole('dialog', { name: 'Under way' }).waitFor();
  assert.deepEqual(asked.map((one) => one.case), [null, null]);
  assert.equal(asked[0].submission, asked[1].submission);
  await ivo.close();
});

test('who signs in after another finds nothing of the other’s upload, and sends nothing of it', async () => {
  const { page, context, close } = await visit('ivo', { at: '#/upload' });
  const enter = async (user) => {
    await page.getByLabel('Name').fill(user);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('link', { name: user }).waitFor();
    await page.goto(`${BASE}/#/upload`);
    await page.getByText('Drop photographs').waitFor();
  };
  const leave = async () => {
    await page.locator('.who').click();
    await page.getByRole('button', { name: 'Sign out', exact: true }).click();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
  };
  let sent = 0;
  await context.route('**/predict', (route) => { sent += 1; return route.abort(); });
  await chooseFaces(page);
  await page.setInputFiles('#files', [text('secret.png', readFileSync(join(PHOTOS, 'chelsea.png'), 'latin1') + 'more')]);
  await page.getByText('1 photograph ready').waitFor();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('nothing is lost').first().waitFor();
  await leave();
  const before = sent;
  await enter('ines');
  await page.evaluate(() => dispatchEvent(new Event('online')));
  await page.getByRole('checkbox', { name: /^faces/ }).waitFor();
  assert.ok(!(await page.getByRole('checkbox', { name: /^faces/ }).isChecked()));
  assert.equal(await page.getByText('secret.png').count() + await page.getByText('An upload was cut off').count(), 0);
  // As long as the first, given up, would have rested at the most.
  await page.waitForTimeout(2_500);
  assert.equal(sent, before);
  await leave();
  await enter('ivo');
  await page.getByText('An upload was cut off').waitFor();
  await page.getByRole('button', { name: 'Forget it' }).click();
  await close();
});

/** Streams of events that a page has opened, and those still open. */
function streams(page) {
  const all = [];
  const open = new Set();
  const is = (request) => request.url().includes('/events?');
  page.on('request', (request) => { if (is(request)) { all.push(request); open.add(request); } });
  for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => open.delete(request));
  return { all, open, watched: () => new URL(all.at(-1).url()).searchParams.get('watch') };
}

async function until(holds, what) {
  for (let tries = 0; tries < 100 && !holds(); tries += 1) await new Promise((done) => setTimeout(done, 50));
  assert.ok(holds(), what);
}

const signal = (page, hidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}, hidden);

test('what changes is told by one stream: asked is nothing, nor told while nobody looks; without a stream it is asked as ever', async () => {
  const rosa = await visit('rosa');
  const headers = { authorization: `Bearer ${await rosa.page.evaluate(() => sessionStorage.getItem('darkroom.token'))}`, 'content-type': 'application/json' };
  await rosa.close();
  const pause = async (paused) => assert.ok((await fetch(`${BASE}/models/faces`, { method: 'PATCH', headers, body: JSON.stringify({ paused }) })).ok);
  const { page, context, close } = await visit('vera');
  const seen = streams(page);
  const asked = [];
  page.on('request', (request) => /\/(models|workers|search|submissions)(\?|$)/.test(request.url()) && asked.push(request.url()));
  const settled = async (watched) => {
    for (let tries = 0; tries < 100 && !(seen.open.size === 1 && seen.watched() === watched); tries += 1) await page.waitForTimeout(50);
    assert.deepEqual([seen.open.size, seen.watched()], [1, watched]);
  };
  const card = page.getByRole('listitem', { name: 'faces' });
  const shows = (state) => card.locator('header').getByText(state, { exact: true }).waitFor();

  await page.goto(`${BASE}/#/models`);
  await shows('live');
  await settled('models,workers');
  // As the first question and the first event cross.
  await page.waitForTimeout(1_500);
  await page.getByLabel('Curves of').selectOption('as it happens');
  const moments = () => card.locator('.curve').first().evaluate((path) => path.getAttribute('d').split('L').length);
  await card.locator('.curve').first().waitFor({ state: 'attached' });
  asked.length = 0;
  await pause(true);
  await shows('paused');
  const drawn = await moments();
  // As long as it waits between two questions: nothing is asked, nothing changes, and time goes on in the curves.
  await page.waitForTimeout(3_500);
  assert.deepEqual(asked, []);
  assert.ok((await moments()) > drawn);
  // Away from the topics and back before a connection is made: they are carried as before.
  await page.getByLabel('Retired ones too').evaluate(async (box) => {
    box.click();
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 5)));
    box.click();
  });
  await page.waitForTimeout(1_500);
  asked.length = 0;
  await page.waitForTimeout(3_500);
  assert.deepEqual([asked, seen.open.size], [[], 1]);
  const go = async (at, watched) => { await page.goto(`${BASE}/#/${at}`); await settled(watched); };
  await go('work', 'submissions');
  await go('gallery', 'images');
  // Results come without a photograph that does: what a filter finds is asked for.
  await page.goto(`${BASE}/#/gallery?q=is%3Afailed`);
  await until(() => seen.open.size === 0, 'no stream for a filter');
  await go('models', 'models,workers');
  await shows('paused');

  await page.waitForTimeout(1_500);
  await signal(page, true);
  await pause(false);
  const [before, streamsBefore] = [asked.length, seen.all.length];
  await page.waitForTimeout(4_000);
  assert.deepEqual([seen.open.size, asked.length, seen.all.length], [0, before, streamsBefore]);
  await signal(page, false);
  await shows('live');
  await settled('models,workers');
  assert.ok(seen.all.at(-1).headers()['last-event-id']);
  assert.equal(asked.length, before);

  // Refused, cut off, and something that is no stream: each time it is asked.
  let refusals = 0;
  const ways = [
    (route) => route.fulfill({ status: 429, headers: { 'retry-after': '1' }, json: { code: 'too_many_requests', detail: 'No room.' } }),
    (route) => route.abort(),
    (route) => route.fulfill({ status: 200, contentType: 'text/event-stream', body: ':\n\nevent: state\nid: x\nda' }),
    (route) => route.fulfill({ status: 200, contentType: 'text/html', body: '<p>Sign in to the proxy</p>' }),
  ];
  await context.route('**/events?*', (route) => ways[refusals++ % ways.length](route));
  await page.reload();
  await shows('live');
  await pause(true);
  await shows('paused');
  await pause(false);
  await shows('live');
  assert.ok(refusals >= 2);
  assert.equal(await page.getByRole('alert').count(), 0);
  await context.unroute('**/events?*');
  await page.evaluate(() => dispatchEvent(new Event('online')));
  for (let tries = 0; tries < 400 && seen.open.size === 0; tries += 1) await page.waitForTimeout(50);
  assert.equal(seen.open.size, 1);
  await close();
});

test('who looks at other jobs of a submission follows it by the same stream', async () => {
  const [rosa, ines] = [await visit('rosa'), await visit('ines')];
  const { page } = ines;
  const pause = (paused) => call(rosa.page, 'PATCH', '/models/faces', { paused });
  await pause(true);
  const { items: [{ md5 }] } = await call(page, 'GET', '/images?limit=1');
  const { submission } = await call(page, 'POST', '/predict', { images: [md5], models: ['faces'], rerun: true });
  const seen = streams(page);
  let asked = 0;
  page.on('request', (request) => { if (/\/jobs\?/.test(request.url())) asked += 1; });
  await page.goto(`${BASE}/#/work/${submission}`);
  await page.locator('.jobs li').getByText('the model is paused').waitFor();
  await until(() => seen.open.size === 1, 'one stream');
  await page.waitForTimeout(1_500);
  asked = 0;
  await page.getByRole('combobox', { name: 'State' }).selectOption('queued');
  // As long as it waits between two questions where there is no stream.
  await page.waitForTimeout(3_500);
  assert.deepEqual([asked, seen.open.size, seen.watched()], [1, 1, `submission:${submission}`]);
  await pause(false);
  await page.locator('td[data-label=Done]', { hasText: /^1$/ }).waitFor();
  await ines.close();
  await rosa.close();
});

test('by keyboard alone', async () => {
  const { page, close } = await visit(null);
  await page.keyboard.press('Tab');
  await page.getByLabel('Name').focus();
  await page.keyboard.type('ines');
  await page.keyboard.press('Tab');
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press('Enter');
  await page.locator('.tile').nth(2).waitFor();
  await page.reload();
  await page.locator('.tile').nth(2).waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the content');
  await page.keyboard.press('Enter');
  for (let tab = 0; tab < 40 && !(await page.evaluate(() => 'at' in (document.activeElement?.dataset ?? {}))); tab += 1) await page.keyboard.press('Tab');
  const at = () => page.evaluate(() => document.activeElement?.dataset.at);
  assert.equal(await at(), '0');
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => document.activeElement?.dataset.at === '1');
  await page.keyboard.press('x');
  await page.getByText('1 photograph selected').waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'What was found' }).waitFor();
  const first = await page.evaluate(() => location.hash);
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction((first) => location.hash !== first, first);
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction((first) => location.hash === first, first);
  await close();
});

test('every page passes the checker, in the dark and on a phone too', async () => {
  const { page, close } = await visit('root', { scheme: 'dark', size: { width: 390, height: 844 } });
  // However long a name that somebody gave.
  await call(page, 'POST', '/cases', { name: 'n'.repeat(200) });
  await page.reload();
  await page.locator('.caption .words').first().waitFor();
  for (const what of ['.name', '.words']) assert.ok((await page.locator(`.caption:has(.words) ${what}`).first().boundingBox()).width > 40, `${what} is read on a tile`);
  for (const [at, heading] of [['gallery', 'Gallery'], ['upload', 'Upload'], ['cases', 'Cases'], ['work', 'Work'], ['models', 'Models and workers'], ['training', 'Training'], ['keys', 'API keys'], ['people', 'People'], ['audit', 'Audit'], ['account', 'root']]) {
    await page.goto(`${BASE}/#/${at}`);
    await page.getByRole('heading', { level: 1, name: heading }).waitFor();
    await page.waitForTimeout(150);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${at} is ${wide} px too wide`);
    await accessible(page, `${at} in the dark`);
  }
  await close();
});

test('under a path of a proxy', async (t) => {
  const target = new URL(BASE);
  const proxy = http.createServer((request, response) => {
    if (!request.url.startsWith('/dark/room/')) return response.writeHead(404).end();
    const onward = http.request({ host: target.hostname, port: target.port, method: request.method, path: request.url.slice('/dark/room'.length), headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
    // A stream goes on until whoever reads it is gone.
    response.on('close', () => onward.destroy());
    onward.on('error', () => response.destroy());
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => proxy.once('listening', resolve));
  t.after(() => { proxy.close(); proxy.closeAllConnections(); });
  const { page, close } = await visit('ines', { base: `http://127.0.0.1:${proxy.address().port}/dark/room` });
  await page.locator('.tile .marks path').first().waitFor();
  await close();
});
