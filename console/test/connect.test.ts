import { describe, expect, test } from 'vitest';
import { freePort } from '../../test/support/mosquitto.ts';
import { created, createPipeline, createTables } from '../../test/support/resources.ts';
import { useRig } from '../../test/support/rig.ts';
import { ScriptedBroker } from '../../test/support/scripted-broker.ts';
import { expectAccessible, picture, useConsole } from './browser.ts';

const browser = useConsole();
const rig = useRig({ service: { console: true, worker: true } });

describe('connections', () => {
  test('are made by a form, tested, mended and saved', async () => {
    const { page } = await browser.open(rig.service.address, { at: '/connections' });
    await page.getByText('No connections yet').waitFor();
    await picture(page, 'connections-empty');
    await page.getByRole('link', { name: 'New connection' }).click();
    await page.getByRole('button', { name: 'PostgreSQL' }).waitFor();
    await expectAccessible(page);
    await picture(page, 'connectors');
    await page.getByRole('button', { name: 'MQTT' }).click();
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('plant');
    await picture(page, 'new-connection');
    const wrong = await freePort();
    await page.getByRole('textbox', { name: 'Url' }).fill(`mqtt://127.0.0.1:${wrong}`);
    await page.getByRole('button', { name: 'Test', exact: true }).click();
    await page.getByRole('status').getByText('Test failed').waitFor();
    await picture(page, 'test-failed');
    await expectAccessible(page);
  });
});
