import { describe, expect, test } from 'vitest';
import { type Body, WholeWorld } from '../../client/support/whole-world.js';

/** The code runs; the log does not take it when no number is there. */
const addTo =
  (key: string): Body =>
  (ctx) =>
    ctx.add(key, 1);

describe('what the log does not take, though the code ran,', () => {
  test('is left out by a trigger after five times, and the next writes are told', async () => {
    const whole = await WholeWorld.start();
    let calls = 0;
    const onOrder: Body = (ctx, events: readonly { key: string }[]) => {
      calls += 1;
      for (const { key } of events) ctx.add(key === 'orders/1' ? 'text' : 'number', 1);
    };
    await whole.deploy({ onOrder: ['cp', onOrder, 'orders/'] });
    const db = await whole.connect();
    await whole.until(db.put('text', 'no number'));
    await whole.until(db.put('orders/1', '1'));
    await whole.until(db.put('orders/2', '2'));
    await whole.run(60_000);
    expect((await whole.until(db.get('number'))).value).toBe('1');
    expect(calls).toBe(6);
    const lines = (await whole.until(db.procedures.logs())).map(({ line }) => line);
    expect(lines.filter((line) => line.includes('left out: PROCEDURE_FAILED'))).toHaveLength(1);
  });

  test('is taken from the schedule', async () => {
    const whole = await WholeWorld.start();
    await whole.deploy({
      plan: ['cp', (ctx) => ctx.schedule({ inMs: 10, id: 'x' }, 'count', null as never)],
      count: ['cp', addTo('total')],
    });
    const db = await whole.connect();
    await whole.until(db.put('total', 'no number'));
    await whole.until(db.call('plan'));
    await whole.run(1000);
    for (const prefix of ['_schedules/', '_schedule-ids/']) {
      expect((await whole.until(db.count({ prefix }))).count).toBe(0);
    }
    const lines = (await whole.until(db.procedures.logs())).map(({ line }) => line);
    expect(lines.filter((line) => line.includes('scheduled call'))).toHaveLength(1);
  });

  test('is not made again before its cron expression says so', async () => {
    const whole = await WholeWorld.start();
    const cron = '* * * * *';
    await whole.deploy({
      plan: ['cp', (ctx) => ctx.schedule({ cron, id: 'x' }, 'count', null as never)],
      count: ['cp', addTo('total')],
    });
    const db = await whole.connect();
    await whole.until(db.put('total', 'no number'));
    await whole.until(db.call('plan'));
    await whole.run(185_000);
    await whole.until(db.put('total', '5'));
    await whole.run(60_000);
    expect((await whole.until(db.get('total'))).value).toBe('6');
    expect((await whole.until(db.count({ prefix: '_schedules/' }))).count).toBe(1);
  });
});
