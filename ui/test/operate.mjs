// The page as people use it who serve models, train, and govern.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { accessible, BASE, call, chooseFaces, photo, visit } from './stage.mjs';

/** A microservice, by hand: what it sends, with a key that somebody made. */
async function service(page, kind, name) {
  const { key, id } = await call(page, 'POST', '/auth/key', { service: kind, models: [name] });
  const send = async (method, path, body, raw = false) => {
    const answer = await fetch(`${BASE}${path}`, { method, headers: { authorization: `Bearer ${key}`, 'content-type': raw ? 'application/octet-stream' : 'application/json' }, body: raw ? body : JSON.stringify(body) });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${answer.ok ? '' : await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  };
  const about = kind === 'train' ? { dataset: name } : { model: name };
  const { worker } = await send('POST', '/workers/register', { service: kind, ...about, version: 'v1', instance: randomUUID(), batch_max: 1, host: '<b>host</b>', params_schema: kind === 'train' ? { type: 'object', properties: { epochs: { type: 'integer', default: 3 } } } : null });
  return { worker, send, id, claim: (wait_s = 10) => send('POST', '/jobs/claim', { worker, claim_id: randomUUID(), max: 1, wait_s }) };
}

test('a worker is asked to end, and hears it; a model is paused, limited, retired and brought back', async () => {
  const { page, close } = await visit('rosa', { at: '#/models' });
  const spare = await service(page, 'predict', 'spare');
  const card = page.getByRole('listitem', { name: 'spare' });
  await card.getByRole('button', { name: 'End…' }).click();
  const dialog = page.getByRole('dialog', { name: /^End worker/ });
  await accessible(page, 'ending a worker');
  await dialog.getByRole('button', { name: 'Ask it to end' }).click();
  await card.getByText('ending').waitFor();
  assert.equal(await card.getByRole('button', { name: 'End…' }).count(), 0);
  assert.equal((await spare.send('POST', `/workers/${spare.worker}/heartbeat`, { jobs: [] })).drain, true);
  await spare.send('DELETE', `/workers/${spare.worker}`);
  await card.getByText('no live worker').waitFor();
  await card.getByRole('button', { name: 'Settings…' }).click();
  const settings = page.getByRole('dialog', { name: 'Settings of spare' });
  await settings.getByLabel('Most that run at once').fill('2');
  await settings.getByRole('button', { name: 'Save' }).click();
  await settings.waitFor({ state: 'detached' });
  await card.getByText('0 of 2').waitFor();
  await card.getByRole('button', { name: 'Retire…' }).click();
  await page.getByRole('button', { name: 'Retire it' }).click();
  await card.waitFor({ state: 'detached' });
  await page.getByLabel('Retired ones too').check();
  await card.getByText('retired', { exact: true }).waitFor();
  await card.getByRole('button', { name: 'Bring back' }).click();
  await card.getByText('no live worker').waitFor();
  await close();
});

test('what failed is tried again: one, those selected, all that match, by who sent it and by an administrator', async () => {
  const ines = await visit('ines', { at: '#/upload' });
  const { page } = ines;
  await chooseFaces(page);
  await page.getByLabel('least').fill('0.31');
  await page.setInputFiles('#files', [photo('rocket.jpg'), photo('china.jpg')]);
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('Done: 2 photographs taken').waitFor();
  await page.getByRole('link', { name: 'Watch the work' }).click();
  const failed = page.locator('.jobs li', { hasText: 'ValueError' });
  const tried = (n) => page.waitForFunction((n) => document.querySelectorAll('.jobs > li').length === n, n);
  await failed.first().waitFor();
  await page.getByRole('combobox', { name: 'State' }).selectOption('');
  await tried(2);
  await page.getByRole('combobox', { name: 'State' }).selectOption('failed');
  await page.getByRole('button', { name: 'Select these 1' }).click();
  await page.getByRole('button', { name: 'Try 1 job again' }).click();
  await page.getByRole('button', { name: 'Try 1 job again' }).waitFor({ state: 'detached' });
  await failed.first().waitFor();
  await page.getByRole('button', { name: 'Try all 1 that failed again…' }).click();
  await page.getByRole('button', { name: 'Try again', exact: true }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  const at = await page.evaluate(() => location.hash);
  await ines.close();
  const root = await visit('root', { at });
  await root.page.getByRole('button', { name: 'Try all 1 that failed again…' }).click();
  await root.page.getByRole('button', { name: 'Try again', exact: true }).click();
  await root.page.getByRole('dialog').waitFor({ state: 'detached' });
  const submission = at.split('/').pop();
  const { items } = await call(root.page, 'GET', `/jobs?submission=${submission}&limit=500`);
  assert.ok(items.some((job) => job.model === 'faces'));
  await root.close();
});

test('a key is made, shown once, and disabled', async () => {
  const { page, close } = await visit('rosa', { at: '#/keys' });
  await page.getByRole('button', { name: 'Make a key…' }).click();
  await page.getByRole('textbox', { name: /^Models/ }).fill('night_*');
  await page.getByLabel('What it is for').fill('<b>night</b> shift');
  await page.getByRole('button', { name: 'Make it' }).click();
  const shown = page.getByRole('dialog', { name: 'The new key' });
  const key = await shown.locator('code').innerText();
  assert.match(key, /^dr_[a-z0-9]{12}_/);
  await accessible(page, 'a new key');
  await shown.getByRole('button', { name: 'I have it' }).click();
  const card = page.locator('.card', { hasText: '<b>night</b> shift' });
  await card.waitFor();
  assert.ok(!(await page.content()).includes(key));
  await card.getByRole('button', { name: /^Disable/ }).click();
  await page.getByRole('button', { name: 'Disable it' }).click();
  await card.getByText('disabled').waitFor();
  await close();
});

test('somebody is added, given roles, and disabled; whose page is open is told', async () => {
  const { page, close } = await visit('root', { at: '#/people' });
  await page.getByRole('button', { name: 'Add somebody…' }).click();
  await page.getByLabel('Name', { exact: true }).fill('nora');
  await page.getByLabel('Password').fill('correct horse battery');
  await page.getByRole('button', { name: 'Save' }).click();
  const card = page.locator('.card', { has: page.getByRole('heading', { name: 'nora' }) });
  await card.getByText('investigator', { exact: true }).waitFor();
  const nora = await visit('nora', { at: '#/upload' });
  await nora.page.getByText('Drop photographs').waitFor();
  await nora.page.setInputFiles('#files', [photo('coffee.jpg')]);
  await chooseFaces(nora.page);

  // The role goes while the page is open: what was entered stays, and the page says why nothing is sent.
  await card.getByRole('button', { name: /^Change/ }).click();
  const change = page.getByRole('dialog', { name: 'Change nora' });
  await change.getByRole('checkbox', { name: /^investigator/ }).uncheck();
  await change.getByRole('button', { name: 'Save' }).click();
  await change.waitFor({ state: 'detached' });
  await card.getByText('no role').waitFor();
  // As long as a server may go on with what it knew of her.
  await nora.page.waitForTimeout(2_500);
  await nora.page.getByRole('button', { name: 'Start' }).click();
  await nora.page.getByRole('alert').getByText('investigator').waitFor();
  await nora.page.getByText('coffee.jpg').first().waitFor();
  await accessible(nora.page, 'a role that went');

  await card.getByRole('button', { name: /^Change/ }).click();
  await change.getByRole('checkbox', { name: /^investigator/ }).check();
  await change.getByRole('button', { name: 'Save' }).click();
  await change.waitFor({ state: 'detached' });
  await nora.page.waitForTimeout(2_500);
  await nora.page.getByRole('button', { name: /^(Start|Go on)/ }).click();
  await nora.page.getByText('Done: 1 photograph taken').waitFor();

  await card.getByRole('button', { name: /^Disable/ }).click();
  await page.getByRole('button', { name: 'Disable', exact: true }).click();
  await card.getByText('disabled').waitFor();
  // By its address: the dialog may be there before she goes on, and takes what is pressed.
  await nora.page.evaluate(() => { location.hash = '#/work'; });
  await nora.page.getByRole('dialog', { name: 'Your session has ended' }).waitFor();
  await nora.close();
  await close();
});

test('a membership that is taken away while the case is open', async () => {
  const ines = await visit('ines', { at: '#/gallery' });
  await ines.page.locator('.tile').first().waitFor();
  const { id } = await call(ines.page, 'POST', '/cases', { name: 'Quay' });
  const { items } = await call(ines.page, 'GET', '/images?limit=2');
  await call(ines.page, 'POST', '/predict', { images: items.map((one) => one.md5), models: ['faces'], case: id });
  await call(ines.page, 'PUT', `/cases/${id}/members/ivo`, { role: 'editor' });
  const ivo = await visit('ivo', { at: `#/gallery?case=${id}` });
  await ivo.page.locator('.tile').nth(1).waitFor();
  await ivo.page.locator('.tile a').first().click();
  await ivo.page.getByLabel('A note').fill('I saw him on the pier');
  await call(ines.page, 'DELETE', `/cases/${id}/members/ivo`);
  await ivo.page.waitForTimeout(2_500);
  await ivo.page.getByRole('button', { name: 'Keep the note' }).click();
  await ivo.page.getByRole('alert').first().waitFor();
  assert.equal(await ivo.page.getByLabel('A note').inputValue(), 'I saw him on the pier');
  await ivo.page.getByRole('link', { name: 'Gallery', exact: true }).click();
  await ivo.page.goto(`${BASE}/#/cases/${id}`);
  await ivo.page.getByRole('alert').getByText('no such case', { exact: false }).waitFor();
  await ivo.page.reload();
  await ivo.page.getByRole('link', { name: 'Cases' }).waitFor();
  await ivo.page.goto(`${BASE}/#/gallery?case=${id}`);
  await ivo.page.getByRole('alert').waitFor();
  assert.equal(await ivo.page.locator('.tile').count(), 0);
  await ivo.close();
  await ines.close();
});

test('a training run is followed while it learns, downloaded, and promoted', async () => {
  const { page, close } = await visit('rosa', { at: '#/training' });
  const trainer = await service(page, 'train', 'digits');
  await page.getByRole('button', { name: 'Start a run…' }).click();
  await page.getByLabel('epochs').fill('4');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: /^digits/ }).waitFor();
  const { jobs: [job] } = await trainer.claim();
  assert.equal(job.params.epochs, 4);
  const run = `/training/results/${job.id}`;
  const lease = `worker=${trainer.worker}&lease_no=${job.lease_no}`;
  const points = () => page.locator('.plot .curve').first().evaluate((path) => path.getAttribute('d').split('L').length);
  for (const epoch of [1, 2, 3]) {
    await trainer.send('POST', `${run}/metrics`, { worker: trainer.worker, lease_no: job.lease_no, points: [{ epoch, values: { loss: 1 / epoch, val_loss: 1.2 / epoch, accuracy: epoch / 4 } }] });
    if (epoch > 1) await page.waitForFunction((epoch) => (document.querySelector('.plot .curve')?.getAttribute('d') ?? '').split('L').length === epoch, epoch);
  }
  assert.equal(await points(), 3);
  await page.getByText('accuracy').first().waitFor();
  await accessible(page, 'a training run');
  await trainer.send('PUT', `${run}/model?${lease}&name=digits.onnx`, 'weights of digits', true);
  await trainer.send('POST', '/jobs/complete', { worker: trainer.worker, items: [{ id: job.id, lease_no: job.lease_no, outcome: 'succeeded', result: { accuracy: 0.97 } }] });
  const waiting = page.waitForEvent('download');
  await page.getByRole('button', { name: /^Download digits.onnx/ }).click();
  const download = await waiting;
  assert.equal(download.suggestedFilename(), 'digits.onnx');
  assert.equal(readFileSync(await download.path(), 'utf8'), 'weights of digits');
  await page.getByRole('button', { name: 'Promote…' }).click();
  await page.getByRole('textbox', { name: 'Model' }).fill('digits_reader');
  await page.getByRole('dialog').getByRole('button', { name: 'Promote' }).click();
  await page.locator('dt', { hasText: 'Promoted' }).waitFor();
  await page.getByText('digits_reader').first().waitFor();
  await close();
});

test('an administrator finds who did what, by the form and by the address', async () => {
  const { page, close } = await visit('root', { at: '#/audit' });
  const rows = page.locator('.acts tbody tr');
  await rows.first().waitFor();
  await accessible(page, 'audit');
  await page.getByLabel('Who', { exact: true }).fill('ines');
  await page.getByRole('combobox', { name: 'What' }).selectOption({ label: 'Cases and their members' });
  await page.getByRole('button', { name: 'Search' }).click();
  await rows.filter({ hasText: 'member removed' }).first().getByText('Quay').waitFor();
  assert.equal(await rows.filter({ hasText: 'logged in' }).count(), 0);
  await rows.filter({ hasText: 'ivo editor' }).first().waitFor();
  await page.reload();
  await rows.filter({ hasText: 'ivo editor' }).first().waitFor();
  assert.equal(await page.getByLabel('Who', { exact: true }).inputValue(), 'ines');
  await page.getByRole('link', { name: 'Clear' }).click();
  await page.getByLabel('To whom or what').fill('nobody <i>of</i> that name');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByText('Nothing of the kind was done').waitFor();
  await page.goto(`${BASE}/#/audit?code=worker_changed`);
  await rows.filter({ hasText: 'worker changed draining' }).first().getByText('rosa').waitFor();
  await page.goto(`${BASE}/#/audit?code=image_viewed&after=nonsense`);
  await page.getByRole('alert').waitFor();
  await close();
  const ines = await visit('ines', { at: '#/audit' });
  await ines.page.getByRole('alert').waitFor();
  await ines.close();
});
