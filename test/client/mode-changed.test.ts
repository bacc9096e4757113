import { expect, test } from 'vitest';
import { counter } from '../../src/compute/procedures.js';
import { type Body, WholeWorld } from './support/whole-world.js';

test('a call that was applied counts once, also when its procedure has become an ap one since', async () => {
  const whole = await WholeWorld.start();
  const put: Body = (ctx) => {
    ctx.put('a', 1);
    return 'cp';
  };
  await whole.deploy({ p: ['cp', put] }, '11'.repeat(32));
  const db = await whole.connect();
  await whole.until(db.call('p', 'n', { idempotencyKey: 'k' }));
  const visit: Body = (ctx) => {
    ctx.cell(counter('n')).add(1);
    return 'ap';
  };
  await whole.deploy({ p: ['ap', visit] }, '22'.repeat(32));
  const again = await whole.until(db.call('p', 'n', { idempotencyKey: 'k' }));
  expect([again.result, again.repeated, again.pending]).toEqual(['cp', true, false]);
  const other = await whole.failure(db.call('p', 'm', { idempotencyKey: 'k' }));
  expect(other.code).toBe('CALL_KEY_REUSED');
  const another = await whole.until(db.call('p', 'n', { idempotencyKey: 'l' }));
  expect([another.result, another.repeated]).toEqual(['ap', false]);
});
