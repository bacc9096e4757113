import { expect, test } from 'vitest';
import { MachineStore } from './machine-store.js';

test('balsa info -o json shows the prefixes of namespaces as it shows keys', async () => {
  const store = await MachineStore.open();
  await store.run(['namespace', 'set', 'shop']);
  await store.run(['namespace', 'set', 'käse', '--prefix', 'ä-']);

  const { exit, stdout } = await store.run(['info', '-o', 'json']);
  expect(exit).toBe(0);
  const { namespaces } = JSON.parse(stdout) as { readonly namespaces: readonly object[] };
  expect(namespaces).toMatchObject([
    { name: 'käse', prefix: 'ä-' },
    { name: 'shop', prefix: 'shop/' },
  ]);
});

test('info and compact show what state and log take apart: only the state is compacted', async () => {
  const store = await MachineStore.open();
  for (const value of ['1', '2']) await store.run(['put', 'a', value]);
  store.real.diskUse = { stateBytes: 3000, logBytes: 50 };
  expect((await store.run(['info'])).stdout).toContain('\nstateBytes\t3000\nlogBytes\t50\n');
  const { before } = await store.json(['compact', '1', '--no-wait']);
  expect(before).toMatchObject({ stateBytes: 3000, logBytes: 50 });
  expect(before).not.toHaveProperty('diskBytes');
  const { stdout } = await store.run(['compact', '2', '--no-wait']);
  expect(stdout).toMatch(/\nstate\t3000\t3000\nlog\t50\t50\n$/);
});
