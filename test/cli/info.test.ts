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
