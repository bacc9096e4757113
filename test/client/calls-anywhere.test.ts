import { describe, expect, test } from 'vitest';
import { counter } from '../../src/compute/procedures.js';
import { type Body, WholeWorld } from './support/whole-world.js';

const visit: Body = (ctx, name: string) => ctx.cell(counter(name)).add(1);
const lookAt: Body = (ctx) => ctx.get<{ value: string }>('_cells/n')?.value ?? null;

describe('an ap procedure that is called by route any', () => {
  const begin = async (options = {}) => {
    const whole = await WholeWorld.start();
    await whole.deploy({ visit: ['ap', visit], look: ['read', lookAt] });
    const db = await whole.connect(options);
    return { whole, db };
  };

  const visits = async (whole: WholeWorld): Promise<unknown> => {
    whole.mute = false;
    await whole.run(10_000);
    const reader = await whole.connect();
    return (await whole.until(reader.call('look'))).result;
  };

  test.each(['home', 'spread'] as const)(
    'may be applied when its answer is late, at a replica that is asked from %s',
    async (from) => {
      const { whole, db } = await begin({ readFrom: from === 'spread' ? 'spread' : undefined });
      // Links of its own to all members.
      await whole.run(1000);
      whole.mute = true;
      const error = await whole.failure(db.call('visit', 'n', { route: 'any', timeoutMs: 500 }));
      expect([error.code, error.outcome, await visits(whole)]).toEqual(['TIMEOUT', 'unknown', '1']);
    },
  );

  test('may be applied when it is aborted, or the client is closed, before it is answered', async () => {
    const { whole, db } = await begin();
    whole.mute = true;
    const abort = new AbortController();
    const aborted = db.call('visit', 'n', { route: 'any', signal: abort.signal });
    const closed = db.call('visit', 'n', { route: 'any' });
    const failures = Promise.all([aborted, closed].map((call) => whole.failure(call)));
    await whole.run(100);
    abort.abort();
    await db.close();
    const found = (await failures).map(({ code, outcome }) => [code, outcome]);
    expect(found).toEqual([
      ['CANCELLED', 'unknown'],
      ['CLIENT_CLOSED', 'unknown'],
    ]);
    expect(await visits(whole)).toBe('2');
  });

  test('may be applied when an attempt was lost, whatever the next one is told', async () => {
    const { whole, db } = await begin();
    whole.mute = true;
    const calling = whole.failure(db.call('visit', 'n', { route: 'any', timeoutMs: 0 }));
    await whole.run(100);
    await whole.world.ask({ type: 'alias-remove', name: 'visit', alias: 'prod' });
    whole.breakAll();
    whole.mute = false;
    const error = await calling;
    expect([error.code, error.outcome]).toEqual(['PROCEDURE_NOT_FOUND', 'unknown']);
    expect(await visits(whole)).toBe('1');
  });

  test('is not applied when it was never sent, or when its code has failed', async () => {
    const whole = await WholeWorld.start();
    const fail: Body = () => {
      throw new Error('no');
    };
    await whole.deploy({ fail: ['ap', fail] });
    const db = await whole.connect();
    const failed = await whole.failure(db.call('fail', null, { route: 'any' }));
    expect([failed.code, failed.outcome]).toEqual(['PROCEDURE_FAILED', 'not-applied']);
    const signal = AbortSignal.abort();
    const early = await whole.failure(db.call('fail', null, { route: 'any', signal }));
    expect([early.code, early.outcome]).toEqual(['CANCELLED', 'not-applied']);
  });
});
