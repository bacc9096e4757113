import { expect, test } from 'vitest';
import { WholeWorld } from './support/whole-world.js';

test('a session never reads less than a call of it that was run again over a later state', async () => {
  const whole = await WholeWorld.start(['n1', 'n2', 'n3']);
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  await whole.deploy({
    look: [
      'read',
      async (ctx) => {
        await gate;
        return ctx.get('n');
      },
    ],
  });
  const db = await whole.connect();
  await whole.until(db.put('n', '1'));
  await whole.world.converge();
  const reader = await whole.connect();
  const looking = reader.call('look');
  await whole.run(50);
  const ids = [...whole.world.machines.keys()];
  const behind = ids.find((id) => id !== whole.world.leader?.id) ?? '';
  whole.world.isolate(behind);
  for (const value of ['2', '3', '4']) await whole.until(db.put('n', value));
  await whole.until(db.compact());
  open();
  const { result, revision, meta } = await whole.until(looking);
  expect([result, revision, meta.revision]).toEqual([4, 4, 4]);
  const elsewhere = await whole.connect({
    ...{ endpoints: [`${behind}:1`], followLeader: false },
    ...{ token: reader.token, consistency: 'session' },
  });
  const error = await whole.failure(elsewhere.get('n'));
  expect(error.code).toBe('SESSION_BEHIND');
});
