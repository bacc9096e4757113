import { describe, expect, test } from 'vitest';
import type { ProcedureCallOptions } from '../../src/client/procedures.js';
import { counter } from '../../src/compute/procedures.js';
import { type Body, type TextClient, WholeWorld } from './support/whole-world.js';

/** Calls of `ap` procedures that are asked again late: the replicas have forgotten their keys by then. */

const BOUNDS = { callKeptMs: 2000, namedCallKeptMs: 8000, clockSkewMsMax: 500 };

const visit: Body = (ctx, name: string) => ctx.cell(counter(name)).add(1);
const lookAt: Body = (ctx) => ctx.get<{ value: string }>('_cells/n')?.value ?? null;

const WAYS: [string, ProcedureCallOptions][] = [
  ['at level ap-local', { consistency: 'ap-local' }],
  ['by route lane', { route: 'lane' }],
  ['by route any', { route: 'any' }],
];

const begin = async () => {
  const whole = await WholeWorld.start(['n1'], BOUNDS);
  await whole.deploy({ visit: ['ap', visit], look: ['read', lookAt] });
  const db = await whole.connect();
  return { whole, db };
};

/** Calls, loses the answer, and can ask again so much later. @returns what comes of it */
async function askedAgain(
  whole: WholeWorld,
  db: TextClient,
  options: ProcedureCallOptions,
  afterMs: number,
): Promise<string> {
  whole.mute = true;
  const calling = db.call('visit', 'n', { timeoutMs: 0, ...options });
  const told = calling.then(
    ({ repeated }) => (repeated ? 'repeated' : 'done'),
    ({ code, outcome }) => `${code} ${outcome}`,
  );
  await whole.run(afterMs);
  whole.breakAll();
  whole.mute = false;
  return await whole.until(told);
}

const visits = async (whole: WholeWorld): Promise<unknown> => {
  await whole.run(20_000);
  const reader = await whole.connect();
  return (await whole.until(reader.call('look'))).result;
};

describe.each(WAYS)('an ap call %s whose answer was lost', (_, way) => {
  test('is answered when it is asked again in time', async () => {
    const { whole, db } = await begin();
    expect(await askedAgain(whole, db, way, 1000)).toBe('repeated');
    expect(await visits(whole)).toBe('1');
  });

  test('is not applied again when its key may be forgotten: nobody knows what became of it', async () => {
    const { whole, db } = await begin();
    expect(await askedAgain(whole, db, way, 30_000)).toBe('CALL_EXPIRED unknown');
    expect(await visits(whole)).toBe('1');
  });

  test('is asked again for longer under a key of its caller', async () => {
    const { whole, db } = await begin();
    const named = { ...way, idempotencyKey: 'k' };
    expect(await askedAgain(whole, db, named, 6000)).toBe('repeated');
    const late = { ...way, idempotencyKey: 'l' };
    expect(await askedAgain(whole, db, late, 40_000)).toBe('CALL_EXPIRED unknown');
    expect(await visits(whole)).toBe('2');
  });
});

test.each(WAYS)('an ap call %s over an old connection is a new one', async (_, way) => {
  const { whole, db } = await begin();
  await whole.run(60_000);
  expect((await whole.until(db.call('visit', 'n', way))).repeated).toBe(false);
  await whole.run(60_000);
  expect((await whole.until(db.call('visit', 'n', way))).repeated).toBe(false);
  expect(await visits(whole)).toBe('2');
});

test('a call that was applied as one of mode cp is not applied again by an ap one when its key may be forgotten', async () => {
  const whole = await WholeWorld.start(['n1'], BOUNDS);
  await whole.deploy({ visit: ['cp', (ctx) => ctx.put('a', 1)] }, '11'.repeat(32));
  const db = await whole.connect();
  const told = askedAgain(whole, db, { route: 'lane' }, 30_000);
  await whole.run(1000);
  await whole.deploy({ visit: ['ap', visit], look: ['read', lookAt] }, '22'.repeat(32));
  await whole.run(20_000);
  await whole.world.write(3);
  expect(await told).toBe('CALL_EXPIRED unknown');
  expect(await visits(whole)).toBe(null);
});
