import { describe, expect, test } from 'vitest';
import type { LogLine } from '../../../src/server/calls/call-log.js';
import { type Body, type TextClient, WholeWorld } from '../../client/support/whole-world.js';

const none = null as never;

const planned = async (whole: WholeWorld, db: TextClient): Promise<number> => {
  const [schedules, ids] = await Promise.all(
    ['_schedules/', '_schedule-ids/'].map((prefix) => whole.until(db.count({ prefix }))),
  );
  return (schedules?.count ?? 0) + (ids?.count ?? 0);
};

/** The errors that the only replica has noted. */
const errorsOf = (whole: WholeWorld): string[] =>
  (whole.world.machine('n1').replica.calls.log.about('logs') as LogLine[])
    .filter(({ isError }) => isError)
    .map(({ procedure, line }) => `${procedure}: ${line}`);

describe('a scheduled call', () => {
  test('may be scheduled again by its own code, under its id', async () => {
    const whole = await WholeWorld.start();
    const tick: Body = (ctx) => {
      const ticks = (ctx.get<number>('ticks') ?? 0) + 1;
      ctx.put('ticks', ticks);
      if (ticks < 5) ctx.schedule({ inMs: 1000, id: 'tick' }, 'tick', none);
    };
    await whole.deploy({ tick: ['cp', tick] });
    const db = await whole.connect();
    await whole.until(db.call('tick'));
    await whole.run(30_000);
    expect((await whole.until(db.get('ticks'))).value).toBe('5');
    expect(await planned(whole, db)).toBe(0);
  });

  test('may take back the cron expression that it comes from', async () => {
    const whole = await WholeWorld.start();
    const once: Body = (ctx) => {
      ctx.put('ran', (ctx.get<number>('ran') ?? 0) + 1);
      ctx.cancel('c');
    };
    await whole.deploy({
      begin: ['cp', (ctx) => ctx.schedule({ cron: '* * * * *', id: 'c' }, 'once', none)],
      once: ['cp', once],
    });
    const db = await whole.connect();
    await whole.until(db.call('begin'));
    await whole.run(200_000);
    expect((await whole.until(db.get('ran'))).value).toBe('1');
    expect(await planned(whole, db)).toBe(0);
  });

  test('whose cron expression has a last time is made then, and not again', async () => {
    const whole = await WholeWorld.start();
    const begin: Body = (ctx) => {
      for (let i = 0; i < 100; i += 1) {
        const last = new Date(ctx.now + 5000);
        const [year, month, day] = [
          last.getUTCFullYear(),
          last.getUTCMonth() + 1,
          last.getUTCDate(),
        ];
        const time = `${last.getUTCSeconds()} ${last.getUTCMinutes()} ${last.getUTCHours()}`;
        ctx.schedule({ cron: `${time} ${day} ${month} * ${year}` }, 'last', none);
      }
    };
    await whole.deploy({
      begin: ['cp', begin],
      last: ['cp', (ctx) => ctx.put('ran', (ctx.get<number>('ran') ?? 0) + 1)],
      plan: ['cp', (ctx) => ctx.schedule({ inMs: 10 }, 'other', none)],
      other: ['cp', (ctx) => ctx.put('other', 1)],
    });
    const db = await whole.connect();
    await whole.until(db.call('begin'));
    await whole.run(20_000);
    await whole.until(db.call('plan'));
    await whole.run(5000);
    expect((await whole.until(db.get('other'))).value).toBe('1');
    expect((await whole.until(db.get('ran'))).value).toBe('100');
    expect(await planned(whole, db)).toBe(0);
  });

  test('may put another in the place of the cron expression that it comes from', async () => {
    const whole = await WholeWorld.start();
    const later: Body = (ctx) => {
      ctx.put('ran', (ctx.get<number>('ran') ?? 0) + 1);
      ctx.schedule({ inMs: 1000, id: 'c' }, 'last', none);
    };
    await whole.deploy({
      begin: ['cp', (ctx) => ctx.schedule({ cron: '* * * * *', id: 'c' }, 'later', none)],
      later: ['cp', later],
      last: ['cp', (ctx) => ctx.put('last', 1)],
    });
    const db = await whole.connect();
    await whole.until(db.call('begin'));
    await whole.run(200_000);
    expect((await whole.until(db.get('ran'))).value).toBe('1');
    expect((await whole.until(db.get('last'))).value).toBe('1');
    expect(await planned(whole, db)).toBe(0);
  });
});

describe('the time of a call', () => {
  test('is the time of day, and what is scheduled at one comes then, also when nobody led for an hour', async () => {
    const whole = await WholeWorld.start();
    const plan: Body = (ctx) => {
      ctx.put('now', ctx.now);
      ctx.schedule({ atMs: ctx.now + 1000 }, 'happen', none);
      ctx.schedule({ inMs: 1000 }, 'happen', none);
      ctx.schedule({ cron: '* * * * * *', id: 'each-second' }, 'tick', none);
    };
    const add =
      (key: string): Body =>
      (ctx) =>
        ctx.add(key, 1);
    await whole.deploy({
      plan: ['cp', plan],
      happen: ['cp', add('happened')],
      tick: ['cp', add('ticks')],
    });
    const db = await whole.connect();
    const { scheduler } = whole.world;
    // Log time goes on from where it was, and is behind from then on.
    scheduler.wallAheadMs += 3_600_000;
    const { wallMs } = scheduler.clock(() => true);
    const before = wallMs();
    await whole.until(db.call('plan'));
    const now = Number((await whole.until(db.get('now'))).value);
    expect(now).toBeGreaterThanOrEqual(before);
    expect(now).toBeLessThanOrEqual(wallMs());
    await whole.run(5000);
    expect((await whole.until(db.get('happened'))).value).toBe('2');
    expect(Number((await whole.until(db.get('ticks'))).value)).toBeGreaterThanOrEqual(3);
  });
});

describe('a scheduled call whose code fails', () => {
  test('is not made again, is told as an error with its key, and counts as failed', async () => {
    const whole = await WholeWorld.start();
    await whole.deploy({
      plan: ['cp', (ctx) => ctx.schedule({ atMs: 7, id: 'x' }, 'bad', none)],
      bad: ['cp', (ctx) => ctx.abort('no')],
    });
    const db = await whole.connect();
    await whole.until(db.call('plan'));
    await whole.run(20_000);

    expect(errorsOf(whole)).toEqual([
      expect.stringMatching(/^bad: scheduled call _schedules\/\d{15}\/x: PROCEDURE_ABORTED: no$/),
    ]);
    const stats = whole.world.machine('n1').replica.calls.log.about('stats');
    expect(stats).toContainEqual(expect.objectContaining({ procedure: 'bad', failures: 1 }));
    expect(await planned(whole, db)).toBe(0);
  });
});

describe('a scheduled call of what does not write', () => {
  test('is given up as one whose code fails', async () => {
    const whole = await WholeWorld.start();
    await whole.deploy({
      plan: ['cp', (ctx) => ctx.schedule({ atMs: 7, id: 'x' }, 'looks', none)],
      looks: ['read', () => 1],
    });
    const db = await whole.connect();
    await whole.until(db.call('plan'));
    await whole.run(20_000);

    expect(errorsOf(whole)).toEqual([
      expect.stringMatching(/^looks: scheduled call .*\/x: INVALID_ARGUMENT: .*declared as read/),
    ]);
    expect(await planned(whole, db)).toBe(0);
  });
});

describe('scheduled calls that cannot be made', () => {
  test('are told once a minute for all of a name, and count as no calls', async () => {
    const whole = await WholeWorld.start();
    const plan: Body = (ctx) => {
      for (let i = 0; i < 100; i += 1) ctx.schedule({ inMs: 10, id: `${i}` }, 'removed', none);
    };
    await whole.deploy({ plan: ['cp', plan] });
    const db = await whole.connect();
    await whole.until(db.call('plan'));
    await whole.run(90_000);

    const told = 'removed: there is no procedure removed: its scheduled calls wait for it';
    expect(errorsOf(whole)).toEqual([told, told]);
    const stats = whole.world.machine('n1').replica.calls.log.about('stats');
    expect(stats.map(({ procedure }) => procedure)).toEqual(['plan']);
    expect(await planned(whole, db)).toBe(200);
  });

  test.each([120, 128, 300])('are in the way of no others, when there are %d', async (many) => {
    const whole = await WholeWorld.start();
    const plan: Body = (ctx, { name, count }: { name: string; count: number }) => {
      for (let i = 0; i < count; i += 1) ctx.schedule({ inMs: 10, id: `${name}${i}` }, name, none);
    };
    await whole.deploy({ plan: ['cp', plan], good: ['cp', (ctx) => ctx.put('good', 1)] });
    const db = await whole.connect();
    await whole.until(db.call('plan', { name: 'removed', count: many }));
    await whole.run(1000);
    await whole.until(db.call('plan', { name: 'good', count: 1 }));
    await whole.run(5000);
    expect((await whole.until(db.get('good'))).value).toBe('1');
    expect(await planned(whole, db)).toBe(2 * many);
  });

  test('are made as soon as they can be', async () => {
    const whole = await WholeWorld.start();
    const plan: Body = (ctx) => {
      for (let i = 0; i < 300; i += 1) ctx.schedule({ inMs: 10, id: `${i}` }, 'late', none);
    };
    await whole.deploy({ plan: ['cp', plan] });
    const db = await whole.connect();
    await whole.until(db.call('plan'));
    await whole.run(1000);
    const late: Body = (ctx) => ctx.put('ran', (ctx.get<number>('ran') ?? 0) + 1);
    await whole.deploy({ late: ['cp', late] }, '22'.repeat(32));
    await whole.run(20_000);
    expect((await whole.until(db.get('ran'))).value).toBe('300');
    expect(await planned(whole, db)).toBe(0);
  });
});
