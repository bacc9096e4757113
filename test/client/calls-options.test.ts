import { expect, test } from 'vitest';
import type { ProcedureCallOptions } from '../../src/client/procedures.js';
import { WholeWorld } from './support/whole-world.js';

test.each<[ProcedureCallOptions, RegExp]>([
  [{ route: 'any', consistency: 'any' }, /a route or a consistency/],
  [{ route: 'lane', consistency: 'ap-local' }, /a route or a consistency/],
  [{ route: 'here' as 'any' }, /route is 'lane' or 'any', found "here"/],
  [{ durability: { peers: 1 } }, /durability .* consistency 'ap-local'/],
  [{ durability: { peers: 1 }, route: 'any' }, /durability .* consistency 'ap-local'/],
  [{ durability: { peers: 1 }, consistency: 'session' }, /durability .* consistency 'ap-local'/],
])('a call with %o is refused, as a part of it would be left out', async (options, told) => {
  const whole = await WholeWorld.start();
  await whole.deploy({ look: ['read', () => 1] });
  const db = await whole.connect();
  const error = await whole.failure(db.call('look', null, options));
  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', outcome: 'not-applied' });
  expect(error.message).toMatch(told);
});
