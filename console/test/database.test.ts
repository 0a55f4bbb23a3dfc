import { expect, test } from 'vitest';
import { databases, execute } from '../../test/support/databases.ts';
import { emptyDatabase } from '../../test/support/postgres-sink.ts';
import { created, profileBody } from '../../test/support/resources.ts';
import { useRig } from '../../test/support/rig.ts';
import { until } from '../../test/support/until.ts';
import { useConsole } from './browser.ts';
import { editor, state } from './query-page.ts';

const browser = useConsole();
/** Penstock keeps what it knows in PostgreSQL here, and writes rows to another database. */
const rig = useRig({ service: { console: true, worker: true, open: databases[1].open } });

test('readings of a plant go into a new table of a database, from the first form to the rows', async () => {
  const database = await emptyDatabase();
  const plant = await created(rig.request, '/connection_profiles', profileBody(rig.broker.url));
  await created(rig.request, '/connection_tables', {
    name: 'readings',
    connector: 'mqtt',
    connection_profile_id: plant.id,
    config: { topic: 'plant/+/readings', qos: 'AtLeastOnce', type: {} },
    schema: {
      format: { type: 'json' },
      fields: [
        { name: 'device', type: 'string' },
        { name: 'celsius', type: 'float64' },
      ],
    },
  });
  const { page, go } = await browser.open(rig.service.address, { at: '/connections/new' });
  const field = (name: string) => page.getByRole('textbox', { name, exact: true });
  const button = (name: string) => page.getByRole('button', { name, exact: true });

  await page.getByRole('button', { name: 'PostgreSQL' }).click();
  await field('Name').fill('history');
  const right = new URL(database.url);
  const wrong = new URL(right);
  wrong.pathname = '/nowhere';
  await field('Url').fill(wrong.href);
  await page.getByRole('button', { name: 'TLS' }).click();
  await page.getByRole('combobox', { name: 'Mode' }).click();
  await page.getByRole('option', { name: 'disable' }).click();
  await button('Test').click();
  await page
    .getByRole('list', { name: 'Steps of the test' })
    .getByText('postgres_database_missing')
    .waitFor();
  await field('Url').fill(right.href);
  await button('Test').click();
  await page.getByRole('status').getByText('Test passed').waitFor();
  await button('Save').click();
  await page.getByRole('heading', { name: 'history' }).waitFor();

  await go('/tables/new');
  await page.getByRole('button', { name: 'PostgreSQL' }).click();
  await field('Name').fill('rows');
  await page.getByRole('combobox', { name: 'Connection' }).click();
  await page.getByRole('option', { name: 'history' }).click();
  await field('Table').fill('measured');
  await page.getByRole('combobox', { name: 'Create table' }).click();
  await page.getByRole('option', { name: 'if_missing' }).click();
  for (const [index, [name, type]] of [
    ['device', 'string'],
    ['celsius', 'float64'],
  ].entries()) {
    await button('Add a column').click();
    await field(`Name of column ${index + 1}`).fill(name as string);
    await page.getByRole('combobox', { name: `Type of ${name}` }).selectOption(type as string);
  }
  await button('Save').click();
  await page.getByRole('heading', { name: 'rows' }).waitFor();

  await go('/pipelines/new');
  await page.getByRole('heading', { name: 'New pipeline' }).waitFor();
  await field('Name').fill('store');
  await editor(page).click();
  await page.keyboard.insertText('INSERT INTO rows SELECT device, celsius FROM readings');
  await page.getByText('The query is valid').waitFor();
  await button('Create and start').click();
  await state(page, 'Running');
  await rig.client.publishAsync('plant/oven/readings', '{"device": "oven", "celsius": 218.5}', { qos: 1 });
  const rows = await until('the row is stored', async () => {
    const found = await execute(database.url, 'SELECT device, celsius FROM measured').catch(() => []);
    return found.length > 0 && found;
  });
  expect(rows).toEqual([{ device: 'oven', celsius: 218.5 }]);
  await page.getByText('Messages out').first().waitFor();
  await page
    .getByText(/by code|No errors/)
    .first()
    .waitFor();
});
