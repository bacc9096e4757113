import { describe, expect, test } from 'vitest';
import { recordOf } from '../../src/compute/call-record.js';
import { dueOf, nextDueMs } from '../../src/compute/cron.js';
import { effectsOf, failureOf, Sandbox } from './calls.js';
import { MemorySource } from './memory-source.js';

const NOW = 1_700_000_000_000; // 2023-11-14T22:13:20Z
const CODE = `
  const ring = { mode: 'cp', handler: () => {} };
  return {
    ring,
    ask: { mode: 'cp', handler: (ctx, [when, target]) => ctx.schedule(when, target === 'itself' ? ring : target, { n: 1 }) },
    stop: { mode: 'cp', handler: (ctx, id) => ctx.cancel(id) },
    looks: { mode: 'read', handler: (ctx) => ctx.schedule({ inMs: 1 }, 'ring') },
  };`;

async function ask(when: object, target = 'itself', source = new MemorySource()) {
  const args = [when, target];
  return (await Sandbox.with(CODE)).call({ name: 'ask', args, nowMs: NOW, source });
}

describe('ctx.schedule', () => {
  test('is a key in the order of time, and one to find it by its id', async () => {
    const key = '_schedules/001700000000500/alarm';
    expect(effectsOf(await ask({ inMs: 500, id: 'alarm' }))).toMatchObject({
      writes: [
        { key, value: JSON.stringify({ procedure: 'ring', args: { n: 1 }, cron: null }) },
        { key: '_schedule-ids/alarm', value: JSON.stringify(key) },
      ],
    });
  });

  test('takes the place of what had the same id', async () => {
    const old = '_schedules/001700000000001/alarm';
    const source = new MemorySource({ '_schedule-ids/alarm': old, [old]: {} });
    const execution = await ask({ atMs: NOW + 7, id: 'alarm' }, 'ring', source);

    expect(effectsOf(execution)).toMatchObject({
      writes: [
        { key: old, value: null },
        { key: '_schedule-ids/alarm' },
        { key: '_schedules/001700000000007/alarm' },
      ],
    });
  });

  test('is taken back by its id', async () => {
    const key = '_schedules/001700000000001/alarm';
    const source = new MemorySource({ '_schedule-ids/alarm': key, [key]: {} });
    const execution = (await Sandbox.with(CODE)).call({ name: 'stop', args: 'alarm', source });

    expect(effectsOf(execution)).toMatchObject({
      writes: [
        { key, value: null },
        { key: '_schedule-ids/alarm', value: null },
      ],
    });
    expect(failureOf((await Sandbox.with(CODE)).call({ name: 'stop', args: 'x' }))).toBe(
      'it gave false',
    );
  });

  test.each([
    '{ inMs: NaN }',
    '{ inMs: Infinity }',
    '{ inMs: null }',
    '{ atMs: NaN }',
    '{ atMs: null }',
  ])('is refused with %s, which is no time', async (when) => {
    const code = `return { p: { mode: 'cp', handler: (ctx) => ctx.schedule(${when}, 'p') } };`;
    expect(failureOf((await Sandbox.with(code)).call())).toMatch(
      /INVALID_ARGUMENT: .*milliseconds/,
    );
  });

  test.each([
    [{}, 'itself', /one of atMs, inMs and cron/],
    [{ inMs: 1, cron: '* * * * *' }, 'itself', /one of atMs, inMs and cron/],
    [{ inMs: 'soon' }, 'itself', /milliseconds/],
    [{ atMs: -1 }, 'itself', /milliseconds/],
    [{ atMs: 1e15 }, 'itself', /milliseconds/],
    [{ cron: 'now and then' }, 'itself', /no cron expression/],
    [{ cron: '0 0 31 2 *' }, 'itself', /never due/],
    [{ inMs: 1, id: 'a/b' }, 'itself', /an id has/],
    [{ inMs: 1 }, '', /name the procedure/],
  ])('%j of %s is refused', async (when, target, told) => {
    const failure = failureOf(await ask(when, target));
    expect(failure).toMatch(/^(INVALID_ARGUMENT|PROCEDURE_FAILED)/);
    expect(failure).toMatch(told);
  });

  test.each(['by its name', 'as it is'])(
    'of one that does not write is refused, given %s',
    async (how) => {
      const target = how === 'by its name' ? `'looks'` : 'looks';
      const code = `
      const looks = { mode: 'read', handler: () => 1 };
      return { looks, p: { mode: 'cp', handler: (ctx) => ctx.schedule({ inMs: 1 }, ${target}) } };`;

      expect(failureOf((await Sandbox.with(code)).call())).toMatch(
        /INVALID_ARGUMENT: .*looks is declared as read/,
      );
    },
  );

  test('is a write', async () => {
    expect(failureOf((await Sandbox.with(CODE)).call({ name: 'looks', mode: 'read' }))).toMatch(
      /^PROCEDURE_READ_ONLY/,
    );
  });
});

test('a cron expression is due in UTC, behind the time that is given', () => {
  expect(new Date(nextDueMs('*/15 * * * *', NOW)).toISOString()).toBe('2023-11-14T22:15:00.000Z');
  expect(new Date(nextDueMs('0 9 * * 1', NOW)).toISOString()).toBe('2023-11-20T09:00:00.000Z');
  expect(nextDueMs('* * * * * *', NOW)).toBe(NOW + 1000);
  expect(dueOf({ cron: '0 0 1 1 *', name: 'p', now: NOW })).toBe(Date.UTC(2024, 0, 1));
});

describe('what comes into being with a call of the leader', () => {
  const key = Buffer.from('mark');
  const identity = {
    ...{ key: Buffer.from('k'), isNamed: false, bornIndex: 0, procedure: 'p' },
    fingerprint: Buffer.alloc(8),
  };
  const supplement = {
    reads: [{ key, modRevision: 3 }],
    writes: [{ key, value: null }],
    evenIfFailed: false,
  };

  test('is read and written with the rest', async () => {
    const execution = await ask({ inMs: 1, id: 'a' });
    const record = recordOf(identity, 'hash', execution, [], supplement);

    expect(record.reads.at(-1)).toEqual({ key, modRevision: 3 });
    expect(record.writes).toHaveLength(3);
    expect(record.writes.at(-1)).toEqual({ key, value: null });
  });

  test('is not when the code fails, unless it shall be all the same', async () => {
    const failed = await ask({});
    expect(recordOf(identity, 'hash', failed, [], supplement)).toMatchObject({
      ...{ reads: [], writes: [], end: { ok: false } },
    });
    const always = { ...supplement, evenIfFailed: true };
    expect(recordOf(identity, 'hash', failed, [], always)).toMatchObject({
      ...{ reads: [{ key }], writes: [{ key }], end: { ok: true, result: 'null' } },
    });
  });
});

test('what is asked for at a time of day is due in log time by as much later as that is behind', () => {
  const hourMs = 3_600_000;
  const logMs = NOW - hourMs;
  const request = { name: 'p', now: NOW };
  expect(dueOf({ ...request, atMs: NOW + 1000 }, logMs)).toBe(logMs + 1000);
  expect(dueOf({ ...request, inMs: 1000 }, logMs)).toBe(logMs + 1000);
  expect(dueOf({ ...request, cron: '* * * * * *' }, logMs)).toBe(logMs + 1000);
  // Log time that is ahead, and what was due long ago.
  expect(dueOf({ ...request, atMs: NOW + 1000 }, NOW + hourMs)).toBe(NOW + hourMs + 1000);
  expect(dueOf({ ...request, atMs: 0 }, logMs)).toBe(0);
});
