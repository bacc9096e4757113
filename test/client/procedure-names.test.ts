import { expect, test } from 'vitest';
import { Harness } from './support/harness.js';
import { RealMachine } from './support/real-machine.js';

const HASH = 'ab'.repeat(32);

test('a name with a second @ is no name of what stands before it', async () => {
  const h = new Harness();
  await RealMachine.behind(h);
  const db = await h.connect();
  const declared = { name: 'transfer', mode: 'read', trigger: null } as const;
  const bundle = { hash: HASH, code: 'code', procedures: [declared] };
  await h.until(db.procedures.deploy(bundle, { alias: 'prod' }));
  for (const ask of [
    () => db.procedures.remove('transfer@prod@old'),
    () => db.procedures.rollback('transfer@prod@old'),
  ]) {
    expect(await h.failure(ask())).toMatchObject({ code: 'INVALID_ARGUMENT' });
  }
  expect(await h.until(db.procedures.list())).toMatchObject([{ name: 'transfer', alias: 'prod' }]);
});
