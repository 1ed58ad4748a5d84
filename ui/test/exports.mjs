// A case is taken away in the browser: asked for, followed, fetched, removed.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { accessible, call, chooseFaces, photo, visit } from './stage.mjs';

test('what fits a filter is exported, followed and fetched', async () => {
  const { page, close } = await visit('ilse', { at: '#/upload' });
  await chooseFaces(page);
  await page.setInputFiles('#files', [photo('astronaut.jpg'), photo('coffee.jpg')]);
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByText('Done: 2 photographs taken').waitFor();
  const own = (await call(page, 'GET', '/cases')).items.find((one) => one.own);
  // A browser without a screen has no window to choose a place in.
  await page.evaluate((id) => { globalThis.showSaveFilePicker = undefined; location.hash = `#/gallery?q=name%3Aastronaut&case=${id}`; }, own.id);
  await page.getByRole('button', { name: 'Export…' }).press('Enter');
  const dialog = page.getByRole('dialog');
  assert.equal(await dialog.getByRole('combobox').inputValue(), own.id);
  assert.equal(await dialog.getByLabel('What of it').inputValue(), 'name:astronaut');
  await dialog.getByRole('radio', { name: /NDJSON/ }).check();
  await dialog.getByRole('button', { name: 'Export', exact: true }).click();
  await dialog.getByText('done', { exact: true }).waitFor();
  await dialog.getByText('1 photograph,').waitFor();
  await dialog.getByText('by ilse').waitFor();
  await accessible(page, 'exports');
  const fetching = page.waitForEvent('download');
  await dialog.getByRole('button', { name: /^Download/ }).click();
  const file = await fetching;
  assert.match(file.suggestedFilename(), /^darkroom-[\d-]{10}-[0-9a-f]{12}\.ndjson$/);
  const lines = readFileSync(await file.path(), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => line.names[0].name), ['astronaut.jpg']);
  await dialog.getByLabel('What of it').fill('lable:x');
  await dialog.getByRole('button', { name: 'Export', exact: true }).click();
  await dialog.getByRole('alert').getByText('at character 1').waitFor();
  await dialog.getByRole('button', { name: /^Remove/ }).click();
  await dialog.getByText('None yet').waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await close();
});
