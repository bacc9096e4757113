import { describe, expect, test } from 'vitest';
import { WholeWorld } from './support/whole-world.js';

describe('where calls were forgotten, one that nobody has heard of before is applied', () => {
  /** @returns a cluster that has forgotten a call, and a client that knows of nothing later */
  const begin = async () => {
    const whole = await WholeWorld.start(['n1'], { callKeptMs: 1000 });
    await whole.deploy({ p: ['cp', (ctx) => ctx.put('a', 1)] });
    const idle = await whole.connect();
    const busy = await whole.connect();
    await whole.until(busy.call('p'));
    await whole.run(5000);
    await whole.until(busy.call('p'));
    return { whole, idle };
  };

  test.each(['lane', 'any'] as const)('by route %s, of a new client', async (route) => {
    const { whole } = await begin();
    const db = await whole.connect();
    expect((await whole.until(db.call('p', null, { route }))).repeated).toBe(false);
  });

  test.each(['lane', 'any'] as const)('by route %s, of one that was idle', async (route) => {
    const { whole, idle } = await begin();
    expect((await whole.until(idle.call('p', null, { route }))).repeated).toBe(false);
  });

  test.each(['lane', 'any'] as const)(
    'by route %s, of a new client whose connection breaks',
    async (route) => {
      const { whole } = await begin();
      const db = await whole.connect();
      whole.deaf = true;
      const calling = db.call('p', null, { route });
      await whole.run(50);
      whole.deaf = false;
      whole.breakAll();
      expect((await whole.until(calling)).repeated).toBe(false);
    },
  );

  test.each(['lane', 'any'] as const)(
    'but by route %s not one that may have been applied: nobody knows',
    async (route) => {
      const { whole, idle } = await begin();
      whole.mute = true;
      const calling = whole.failure(idle.call('p', null, { route, timeoutMs: 0 }));
      await whole.run(50);
      whole.mute = false;
      whole.breakAll();
      const { code, outcome } = await calling;
      expect([code, outcome]).toEqual(['CALL_EXPIRED', 'unknown']);
    },
  );
});
