// What a new version of a model changed, and two results side by side.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { accessible, BASE, call, photo, visit } from './stage.mjs';

const boxed = (label, x, score = 0.9) => ({ type: 'box', box: [x, 0.2, x + 0.3, 0.7], label, score });

/** Has a version of a model say something of all that waits, by how much the photograph weighs. */
async function answer(key, model, version, say) {
  const send = async (method, path, body) => {
    const answer = await fetch(`${BASE}${path}`, { method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return answer.status === 204 ? null : answer.json();
  };
  const { worker } = await send('POST', '/workers/register', { service: 'predict', model, version, instance: randomUUID(), batch_max: 8 });
  const say_of = ({ id, lease_no, image }) => ({ id, lease_no, outcome: 'succeeded', result: { items: say(image.md5), fields: {}, summary: `by ${version}` } });
  return {
    work: async () => {
      const { jobs } = await send('POST', '/jobs/claim', { worker, claim_id: randomUUID(), max: 8, min: 2, wait_s: 10 });
      await send('POST', '/jobs/complete', { worker, items: jobs.map(say_of) });
      return jobs.map((job) => job.image.md5);
    },
    leave: () => send('DELETE', `/workers/${worker}`),
  };
}

test('what a new version changed is shown with both boxes, by kind, label and filter; two results side by side', async () => {
  const rosa = await visit('rosa', { at: '#/keys' });
  const { key } = await call(rosa.page, 'POST', '/auth/key', { service: 'predict', models: ['cars'] });
  await rosa.close();
  const ivo = await visit('ivo', { at: '#/changes' });
  const { page } = ivo;
  await page.getByText('No model has had two versions yet').waitFor();
  const { id } = await call(page, 'POST', '/cases', { name: 'Crossing' });
  const hostile = '<img src=x onerror=alert(1)>';
  const v1 = await answer(key, 'cars', 'v1', () => [boxed('car', 0.1), boxed('person', 0.6)]);
  const form = new FormData();
  for (const name of ['astronaut.jpg', 'coffee.jpg']) form.append('images', new File([photo(name).buffer], name));
  form.append('models', 'cars');
  form.append('case', id);
  const token = await page.evaluate(() => sessionStorage.getItem('darkroom.token'));
  const sent = await fetch(`${BASE}/predict`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body: form });
  const [astronaut, coffee] = (await sent.json()).images.map((image) => image.md5);
  assert.equal((await v1.work()).length, 2);
  await v1.leave();
  // Of the first the car moved, the person is gone, and something else is there; of the other nothing changed.
  const v2 = await answer(key, 'cars', 'v2', (md5) => (md5 === astronaut ? [boxed('car', 0.2), boxed(hostile, 0.6)] : [boxed('person', 0.6, 0.4), boxed('car', 0.1)]));
  await call(page, 'POST', '/predict', { images: [astronaut, coffee], models: ['cars'], case: id });
  assert.equal((await v2.work()).length, 2);
  await v2.leave();

  await page.getByRole('link', { name: 'Models' }).click();
  await page.getByRole('link', { name: 'What the newest changed' }).click();
  const card = page.locator('.cards > .card');
  await card.first().waitFor();
  assert.equal(await card.count(), 1);
  await page.getByText('2 photographs compared').waitFor();
  for (const words of ['lost person', `gained ${hostile}`, 'moved car']) await card.locator('.labels li', { hasText: words }).waitFor();
  const [before, after] = [card.locator('figure').first(), card.locator('figure').last()];
  await before.locator('img').waitFor();
  assert.deepEqual([await before.locator('.marks .clost').count(), await before.locator('.marks .cmoved').count(), await before.locator('.marks g').count()], [1, 1, 2]);
  assert.deepEqual([await after.locator('.marks .cgained').count(), await after.locator('.marks .cmoved').count(), await after.locator('.marks g').count()], [1, 1, 2]);
  // By sign and by line, for those who do not tell the colours apart.
  const signs = async (figure) => (await figure.locator('.tag').allInnerTexts()).sort();
  assert.deepEqual([await signs(before), await signs(after)], [['↔ car', '− person'], [`+ ${hostile}`, '↔ car']]);
  const line = (kind) => card.locator(`.c${kind} .over`).first().evaluate((path) => getComputedStyle(path).strokeDasharray);
  assert.equal(new Set([await line('gained'), await line('lost'), await line('moved')]).size, 3);
  await accessible(page, 'changes');

  const kinds = page.getByRole('group', { name: 'What changed' });
  await kinds.getByRole('button', { name: /^Unchanged/ }).click();
  await card.getByRole('link', { name: 'coffee.jpg' }).waitFor();
  await kinds.getByRole('button', { name: /Moved/ }).click();
  await card.getByRole('link', { name: 'astronaut.jpg' }).waitFor();
  await page.getByRole('group', { name: 'Labels' }).getByRole('button', { name: /person/ }).click();
  await page.getByText('Nothing of the kind changed').waitFor();
  await kinds.getByRole('button', { name: 'Any change' }).click();
  await card.locator('.labels li', { hasText: 'lost person' }).waitFor();
  assert.equal(await card.locator('.labels li').count(), 1);
  await page.getByLabel('Filter').fill('lable:x');
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.getByRole('alert').getByText('at character 1').waitFor();
  await page.getByLabel('Filter').fill('name:coffee');
  await page.getByRole('button', { name: 'Compare' }).click();
  await page.getByText('Nothing of the kind changed').waitFor();
  await page.getByLabel('Filter').fill('');
  await page.getByRole('button', { name: 'Compare' }).click();
  // Turned round, what was lost is gained; by keyboard alone.
  await page.getByRole('combobox', { name: /^From/ }).focus();
  await page.keyboard.press('ArrowUp');
  await page.getByRole('alert').getByText('the same version').waitFor();
  await page.getByRole('combobox', { name: /^To/ }).focus();
  await page.keyboard.press('ArrowDown');
  await card.locator('.labels li', { hasText: 'gained person' }).waitFor();

  await card.getByRole('link').click();
  const asked = [];
  await page.route('**/images/*/changes?*', (route) => {
    asked.push(new URL(route.request().url()).search);
    const gone = { title: 'Gone', status: 404, code: 'not_found', detail: 'It has run again.', mend: 'Look again.', errors: [], request_id: null };
    return asked.length === 1 ? route.fulfill({ status: 404, json: gone }) : route.continue();
  });
  await page.getByRole('button', { name: 'Compare…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Compare two results' });
  const [left, right] = [dialog.locator('figure').first(), dialog.locator('figure').last()];
  await left.getByText('by v1').waitFor();
  await right.getByText('by v2').waitFor();
  // What is refused is told, and both are drawn as they are.
  await dialog.getByRole('alert').getByText('It has run again').waitFor();
  assert.deepEqual([await signs(left), await signs(right)], [['car 0.90', 'person 0.90'], [`${hostile} 0.90`, 'car 0.90']]);
  await dialog.getByRole('button', { name: 'Try again' }).click();
  await right.locator('.marks g').nth(1).waitFor();
  assert.equal(await left.locator('.marks g').count(), 2);
  assert.deepEqual([await signs(left), await signs(right)], [['↔ car', '− person'], [`+ ${hostile}`, '↔ car']]);
  for (const words of ['lost person', `gained ${hostile}`, 'moved car']) await dialog.getByRole('list', { name: 'What changed' }).getByText(words).waitFor();
  await accessible(page, 'two results');
  await dialog.getByLabel('Left').selectOption({ index: 0 });
  await left.getByText('by v2').waitFor();
  await dialog.getByText('Nothing changed').waitFor();
  await dialog.getByText('2 things the same').waitFor();
  for (const side of [left, right]) assert.deepEqual([await side.locator('.marks .csame').count(), await signs(side)], [2, [hostile, 'car']]);
  assert.equal(new Set(asked).size, 2);
  await dialog.getByLabel('Left').selectOption({ index: 1 });
  await dialog.getByRole('link', { name: 'What changed on all photographs' }).click();
  await card.locator('.labels li', { hasText: 'lost person' }).waitFor();
  assert.match(page.url(), /from=v1&to=v2/);
  await ivo.close();
});

test('what changed has room on a phone, in the dark', async () => {
  const { page, close } = await visit('ivo', { at: '#/changes?model=cars', size: { width: 390, height: 844 }, scheme: 'dark' });
  await page.locator('.cards > .card').first().waitFor();
  await page.locator('.pair img').nth(1).waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing sticks out');
  await accessible(page, 'changes on a phone');
  await close();
});
