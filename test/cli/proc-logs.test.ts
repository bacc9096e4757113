import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { isOf, linesSince } from '../../src/cli/proc/log-lines.js';
import type { LogLine, ProcedureStats } from '../../src/client/client.js';
import type { RunOptions } from './fakes.js';
import { MachineStore } from './machine-store.js';

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
});

const PEOPLE: RunOptions = { isTerminal: true, env: { NO_COLOR: '1' } };

function line(timeMs: number, text: string, more: Partial<LogLine> = {}): LogLine {
  return { timeMs, procedure: 'transfer', line: text, isError: false, ...more };
}

/** The command finds all replicas through the first one. */
function run(args: readonly string[], options: RunOptions = {}) {
  return store.run([...args, '--endpoints', '10.0.0.1:7001'], options);
}

describe('proc logs', () => {
  beforeEach(() => {
    store.real.logs.set('n1', [line(1000, 'one'), line(3000, 'three', { isError: true })]);
    store.real.logs.set('n2', [line(2000, 'two', { procedure: 'open@staging' })]);
    store.real.logs.set('n3', [line(2500, 'clear\u001b[2J', { procedure: 'transfer@staging' })]);
  });

  test('has the lines of all replicas in the order of time', async () => {
    expect(await run(['proc', 'logs'])).toMatchObject({
      exit: 0,
      stderr: '',
      stdout: [
        '1970-01-01T00:00:01.000Z\tn1\ttransfer\tlog\tone',
        '1970-01-01T00:00:02.000Z\tn2\topen@staging\tlog\ttwo',
        '1970-01-01T00:00:02.500Z\tn3\ttransfer@staging\tlog\tclear\\e[2J',
        '1970-01-01T00:00:03.000Z\tn1\ttransfer\terror\tthree',
        '',
      ].join('\n'),
    });
  });

  test('is an object for each line with -o json, and columns for people', async () => {
    const { stdout } = await run(['proc', 'logs', 'open', '-o', 'json']);
    expect(JSON.parse(stdout)).toEqual({
      ...{ timeMs: 2000, replica: 'n2', procedure: 'open@staging', line: 'two', isError: false },
    });
    expect((await run(['proc', 'logs', 'open'], PEOPLE)).stdout).toMatch(
      /^\d\d:\d\d:02\.000 {2}n2 {2}open@staging {2}two\n$/,
    );
  });

  test.each([
    [['transfer'], ['one', 'clear\\e[2J', 'three']],
    [['transfer@prod'], ['one', 'three']],
    [['transfer@staging'], ['clear\\e[2J']],
    [
      ['--limit', '2'],
      ['clear\\e[2J', 'three'],
    ],
    [['transfer', '--limit', '1'], ['three']],
  ])('%j shows some of them', async (args, expected) => {
    const { stdout } = await run(['proc', 'logs', ...args]);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((each) => each.split('\t')[4]),
    ).toEqual(expected);
  });

  test('says when there are none', async () => {
    expect(await run(['proc', 'logs', 'close'])).toMatchObject({
      ...{ exit: 0, stdout: '', stderr: 'no lines\n' },
    });
  });

  test('names a replica that does not answer, and has the lines of the others', async () => {
    store.h.cluster.replica('n2').condition = 'refuses';

    const { exit, stdout, stderr } = await run(['proc', 'logs']);

    expect(exit).toBe(0);
    expect(stdout.trimEnd().split('\n')).toHaveLength(3);
    expect(stderr).toBe('n2: UNREACHABLE, ECONNREFUSED\n');
  });

  test('fails when none answers, exit 5', async () => {
    for (const replica of store.h.cluster.replicas) replica.condition = 'refuses';
    expect(await run(['proc', 'logs'])).toMatchObject({
      ...{ exit: 5, stdout: '', stderr: expect.stringContaining('no endpoint answers') },
    });
  });

  test('one replica under two addresses is asked once', async () => {
    const { cluster } = store.h;
    cluster.aliases.set('n1.example:7001', '10.0.0.1:7001');
    const connect: typeof store.connect = (options) =>
      store.connect({
        ...options,
        endpoints: options.endpoints.map((e) => cluster.aliases.get(e) ?? e),
      });

    const { stdout } = await store.run(
      ['proc', 'logs', '--endpoints', 'n1.example:7001,10.0.0.1:7001'],
      { connect },
    );

    expect(stdout.trimEnd().split('\n')).toHaveLength(4);
  });
});

describe('proc logs --follow', () => {
  /** Begins, and gives what is printed as it comes. */
  function follow(args: readonly string[] = []) {
    const interruption = new AbortController();
    const seen: string[] = [];
    const running = store.begin(
      ['proc', 'logs', '--follow', '--endpoints', '10.0.0.1:7001', ...args],
      {
        interrupted: interruption.signal,
        onStdout: (text) => {
          for (const each of text.trimEnd().split('\n')) seen.push(each.split('\t')[4] ?? '');
        },
      },
    );
    const end = async () => {
      interruption.abort();
      return await store.h.until(running);
    };
    return { seen, end };
  }

  test('begins with what is there, and goes on with what comes, each line once', async () => {
    const { real } = store;
    real.logs.set('n1', [line(1000, 'a')]);
    const { seen, end } = follow();
    await store.waitUntil('the first line', () => seen.length === 1);

    real.logs.set('n1', [line(1000, 'a'), line(2000, 'c')]);
    real.logs.set('n3', [line(1500, 'b')]);
    await store.waitUntil('two more', () => seen.length === 3);
    // One that was started again has forgotten what it had told.
    real.logs.set('n1', []);
    await store.sleepFor(1000);
    real.logs.set('n1', [line(3000, 'd')]);
    await store.waitUntil('one more', () => seen.length === 4);
    await store.sleepFor(2000);

    expect(await end()).toMatchObject({ exit: 130 });
    expect(seen).toEqual(['a', 'b', 'c', 'd']);
  });

  test('tells that a replica is gone, and that it is there again, once each', async () => {
    const { real, h } = store;
    const n2 = h.cluster.replica('n2');
    real.logs.set('n2', [line(1000, 'a')]);
    const { seen, end } = follow();
    await store.waitUntil('the first line', () => seen.length === 1);

    n2.disconnectAll();
    n2.condition = 'refuses';
    await store.sleepFor(10_000);
    n2.condition = 'up';
    real.logs.set('n2', [line(1000, 'a'), line(2000, 'b')]);
    await store.waitUntil('the second line', () => seen.length === 2);

    const { stderr } = await end();
    expect(stderr).toMatch(/^n2: [A-Z]+, .*\nn2 answers again\ninterrupted\n$/);
  });

  test('asks new members, too, and old ones no longer', async () => {
    const { h, real } = store;
    const { seen, end } = follow();
    await store.sleepFor(1000);

    const added = h.cluster.addReplica('n4', '10.0.0.4:7001');
    const { members } = h.cluster.members.status;
    const [n1, , n3] = members;
    if (n1 === undefined || n3 === undefined) throw new Error('members');
    h.cluster.members.set({
      members: [n1, n3, { ...n1, name: 'n4', incarnation: 'n4-disk', address: added.address }],
    });
    h.cluster.replica('n2').condition = 'refuses';
    h.cluster.replica('n2').disconnectAll();
    real.logs.set('n4', [line(1000, 'of n4')]);
    await store.waitUntil('a line of n4', () => seen.includes('of n4'));
    await store.sleepFor(20_000);

    const { stderr } = await end();
    expect(stderr.match(/n2: /g)?.length ?? 0).toBeLessThanOrEqual(1);
  });
});

describe('proc stats', () => {
  const stats = (procedure: string, calls: number, meanMs: number): ProcedureStats => ({
    ...{ procedure, calls, failures: 1, meanMs, maxMs: meanMs * 2 },
  });
  beforeEach(() => {
    store.real.stats.set('n1', [stats('transfer', 3000, 2), stats('open@staging', 1, 5)]);
    store.real.stats.set('n2', [stats('transfer@prod', 1000, 6)]);
  });

  test('puts the figures of all replicas together', async () => {
    expect((await run(['proc', 'stats'])).stdout).toBe(
      'PROCEDURE\tCALLS\tFAILED\tMEAN ms\tMAX ms\n' +
        'open@staging\t1\t1\t5.0\t10.0\ntransfer@prod\t4000\t2\t3.0\t12.0\n',
    );
    expect((await run(['proc', 'stats', 'transfer'], PEOPLE)).stdout).toBe(
      'PROCEDURE      CALLS  FAILED  MEAN ms  MAX ms\n' +
        'transfer@prod  4,000       2      3.0    12.0\n',
    );
  });

  test('--per-replica keeps them apart', async () => {
    const { stdout } = await run(['proc', 'stats', 'transfer', '--per-replica', '-o', 'json']);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((each) => JSON.parse(each)),
    ).toEqual([
      { ...stats('transfer@prod', 3000, 2), replica: 'n1' },
      { ...stats('transfer@prod', 1000, 6), replica: 'n2' },
    ]);
  });

  test('says when there are none, and who does not answer', async () => {
    store.real.stats.clear();
    store.h.cluster.replica('n3').condition = 'refuses';
    expect(await run(['proc', 'stats'])).toMatchObject({
      ...{ exit: 0, stdout: '', stderr: 'n3: UNREACHABLE, ECONNREFUSED\nno calls\n' },
    });
  });
});

describe('what a replica has logged since it was asked last', () => {
  const lines = (text: string): LogLine[] => [...text].map((each) => line(1, each));
  const since = (before: string, now: string): string => {
    const { lines: added, mayLack } = linesSince(lines(before), lines(now));
    return `${added.map((each) => each.line).join('')}${mayLack ? ' and more' : ''}`;
  };

  test.each([
    ['', 'abc', 'abc'],
    ['abc', 'abc', ''],
    ['abc', 'abcde', 'de'],
    ['abc', 'bcd', 'd'],
    ['abc', 'cde', 'de'],
    ['aaa', 'aaa', ''],
    ['aba', 'abaaba', 'aba'],
    ['abc', '', ''],
    ['abc', 'd', 'd'],
    ['abc', 'def', 'def and more'],
  ])('%j and then %j: %j', (before, now, expected) => {
    expect(since(before, now)).toBe(expected);
  });

  test('is all of it, each line once, however many it keeps and are the same', () => {
    const letters = fc.array(fc.constantFrom('a', 'b'), { maxLength: 8 });
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 10 }), (steps) => {
        let count = 0;
        const all: LogLine[] = [];
        let before: readonly LogLine[] = [];
        const told: LogLine[] = [];
        for (const step of steps) {
          for (const text of step) {
            count += 1;
            // Some in the same millisecond.
            all.push(line(Math.floor(count / 3), text));
          }
          const now = all.slice(-20);
          told.push(...linesSince(before, now).lines);
          before = now;
        }
        expect(told).toEqual(all);
      }),
    );
  });

  test.each([
    ['transfer', 'transfer', true],
    ['transfer@prod', 'transfer', true],
    ['transfer@staging', 'transfer', true],
    ['transfer', 'transfer@prod', true],
    ['transfer', 'transfer@staging', false],
    ['transfers', 'transfer', false],
  ])('a call of %s is one of %s: %j', (called, wanted, expected) => {
    expect(isOf(called, wanted)).toBe(expected);
  });
});
