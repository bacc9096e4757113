import { beforeEach, describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import type { Child } from '../../src/cli/io.js';
import type { StoreClient } from '../../src/cli/store-client.js';
import { input } from './fakes.js';
import { MachineStore } from './machine-store.js';

let store: MachineStore;
beforeEach(async () => {
  store = await MachineStore.open();
});

interface Ran {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly input: string | null;
}

/** Stands for the commands that are run: what they were given. */
function children(exits: readonly number[] = []) {
  const ran: Ran[] = [];
  const runChild = async ({ command, env, input }: Child): Promise<{ exit: number }> => {
    ran.push({
      command,
      env,
      input: input === null ? null : Buffer.from(input).toString('latin1'),
    });
    return { exit: exits[ran.length - 1] ?? 0 };
  };
  return { ran, runChild };
}

/** A child that runs until it is asked to end. */
function patientChild() {
  const started: Child[] = [];
  const runChild = (child: Child): Promise<{ exit: number }> =>
    new Promise((resolve) => {
      started.push(child);
      child.signal.addEventListener('abort', () => resolve({ exit: 143 }));
    });
  return { started, runChild };
}

describe('watch', () => {
  test('tells of each event from a revision of the past, in the forms of the pipe and of JSON', async () => {
    await store.run(['put', 'a', '1']);
    await store.run(['put', 'b', 'x']);
    await store.run(['put', 'a', '2']);
    await store.run(['del', 'a']);
    const args = ['watch', 'a', '--rev', '1', '--limit', '3'];
    expect((await store.run(args)).stdout).toBe('put\ta\t1\nput\ta\t2\ndelete\ta\n');
    const { stdout } = await store.run([...args, '-o', 'json']);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events).toMatchObject([
      { type: 'put', key: 'a', value: '1', revision: 1, version: 1 },
      { type: 'put', key: 'a', value: '2', revision: 3, lease: 0 },
      { type: 'delete', key: 'a', revision: 4 },
    ]);
  });

  test('tells of what comes, under a prefix, and ends with 130 at Ctrl-C', async () => {
    const interruption = new AbortController();
    const watching = store.begin(['watch', '--prefix', 'u/'], {
      interrupted: interruption.signal,
    });
    await store.sleepFor(100);
    for (const key of ['u/1', 'v', 'u/2']) await store.run(['put', key, 'x']);
    await store.run(['del', 'u/1']);
    await store.sleepFor(100);
    interruption.abort();
    expect(await store.h.until(watching)).toMatchObject({
      exit: 130,
      stdout: 'put\tu/1\tx\nput\tu/2\tx\ndelete\tu/1\n',
      stderr: 'watching from revision 1\ninterrupted\n',
    });
  });

  test('runs a command for each event, with the event in its environment and the value on stdin', async () => {
    await store.run(['put', 'a', 'one']);
    await store.run(['put', 'a', '-'], { stdin: bytesInput([0xff, 0]) });
    await store.run(['del', 'a']);
    const { ran, runChild } = children([0, 3]);
    const args = ['watch', '--rev', '1', '--limit', '3', '--', 'handle', '--flag', '--'];
    const result = await store.run(args, { runChild });
    expect(result).toMatchObject({ exit: 0, stdout: '' });
    expect(result.stderr).toContain('handle ended with exit code 3 for a at revision 2\n');
    const command = ['handle', '--flag', '--'];
    expect(ran).toEqual([
      {
        command,
        env: {
          BALSA_EVENT_TYPE: 'put',
          BALSA_REVISION: '1',
          BALSA_KEY: 'a',
          BALSA_VALUE: 'one',
        },
        input: 'one',
      },
      {
        command,
        env: {
          BALSA_EVENT_TYPE: 'put',
          BALSA_REVISION: '2',
          BALSA_KEY: 'a',
          BALSA_VALUE_BASE64: '/wA=',
        },
        input: '\u00ff\0',
      },
      {
        command,
        env: { BALSA_EVENT_TYPE: 'delete', BALSA_REVISION: '3', BALSA_KEY: 'a', BALSA_VALUE: '' },
        input: '',
      },
    ]);
  });

  test('of history that is no longer kept is refused', async () => {
    for (const value of ['1', '2', '3']) await store.run(['put', 'a', value]);
    await store.run(['compact', '3', '--no-wait']);
    const result = await store.run(['watch', '--rev', '1']);
    expect(result.exit).toBe(1);
    expect(result.stderr).toContain('error COMPACTED');
  });
});

function bytesInput(bytes: readonly number[]) {
  return input(Buffer.from(bytes));
}

describe('lease', () => {
  test('grant, show, list, keep-alive and revoke', async () => {
    const id = (await store.run(['lease', 'grant', '60', '--id', '7'])).stdout.trim();
    expect(id).toBe('7');
    await store.run(['put', 'k', 'v', '--lease', id]);
    expect(await store.json(['lease', 'show', id])).toMatchObject({
      id: 7,
      ttlMs: 60_000,
      keyCount: 1,
      keys: ['k'],
    });
    await store.sleepFor(20_000);
    const left = (await store.run(['lease', 'list'])).stdout.split('\n');
    expect(left[0]).toBe('LEASE\tTTL\tLEFT\tKEYS');
    expect(left[1]).toMatch(/^7\t60000\t\d+\t1$/);
    expect((await store.run(['lease', 'keep-alive', id, '--once'])).stdout).toBe('7\t1m\n');
    const kept = await store.json(['lease', 'show', id]);
    expect(kept.remainingMs).toBeGreaterThan(59_000);
    expect((await store.run(['lease', 'revoke', id])).exit).toBe(0);
    expect((await store.run(['get', 'k'])).exit).toBe(3);
  });

  test.each(['revoke', 'show', 'keep-alive'])(
    '%s of one that is not there exits 3',
    async (name) => {
      const result = await store.run(['lease', name, '99']);
      expect(result).toMatchObject({ exit: 3, stdout: '' });
    },
  );

  test('an id that is taken is 4, a time to live that is too short 2', async () => {
    await store.run(['lease', 'grant', '60', '--id', '7']);
    expect((await store.run(['lease', 'grant', '60', '--id', '7'])).exit).toBe(4);
    expect((await store.run(['lease', 'grant', '10ms'])).exit).toBe(2);
  });

  test('keep-alive goes on until Ctrl-C', async () => {
    await store.run(['lease', 'grant', '3', '--id', '7']);
    const interruption = new AbortController();
    const keeping = store.begin(['lease', 'keep-alive', '7'], { interrupted: interruption.signal });
    await store.sleepFor(10_000);
    expect((await store.run(['lease', 'show', '7'])).exit).toBe(0);
    interruption.abort();
    const { exit, stdout } = await store.h.until(keeping);
    expect(exit).toBe(130);
    expect(stdout.split('\n').length).toBeGreaterThan(8);
  });

  test('keep-alive goes on when it is not answered for a while, and the lease lives', async () => {
    await store.run(['lease', 'grant', '30', '--id', '7']);
    const interruption = new AbortController();
    const { cluster, clock } = store.h;
    const keeping = store.begin(['lease', 'keep-alive', '7'], {
      ...{ interrupted: interruption.signal, nowMs: () => clock.monotonicMs() },
    });
    await store.sleepFor(5000);
    const answers = cluster.fate;
    // Longer than the limit of one request.
    cluster.fate = () => 'ignore';
    await store.sleepFor(16_000);
    cluster.fate = answers;
    await store.sleepFor(40_000);
    expect((await store.run(['lease', 'show', '7'])).exit).toBe(0);
    interruption.abort();
    expect((await store.h.until(keeping)).exit).toBe(130);
  });

  test('keep-alive ends when it was not answered for as long as the lease lives', async () => {
    await store.run(['lease', 'grant', '3', '--id', '7']);
    const keeping = store.begin(['lease', 'keep-alive', '7'], {
      nowMs: () => store.h.clock.monotonicMs(),
    });
    await store.sleepFor(500);
    store.h.cluster.fate = () => 'ignore';
    const { exit, stdout } = await store.h.until(keeping);
    expect(exit).toBe(6);
    expect(stdout).toBe('7\t3s\n');
  });
});

describe('lock', () => {
  test('runs the command with the fencing token, gives its exit code, and the lock back', async () => {
    const { ran, runChild } = children([7, 0]);
    const first = await store.run(['lock', 'jobs', '--', 'work', '-x'], { runChild });
    expect(first).toMatchObject({ exit: 7, stdout: '' });
    expect(first.stderr).toMatch(/^holding the lock jobs, fencing token \d+\n$/);
    expect((await store.run(['lock', 'jobs', '--try', '--', 'work'], { runChild })).exit).toBe(0);
    const tokens = ran.map(({ env }) => Number(env.BALSA_FENCING_TOKEN));
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? Number.NaN);
    expect(ran[0]).toMatchObject({ command: ['work', '-x'], input: null });
  });

  test('without a command prints the token, and holds until Ctrl-C', async () => {
    const interruption = new AbortController();
    const holding = store.begin(['lock', 'jobs', '-o', 'json'], {
      interrupted: interruption.signal,
    });
    await store.sleepFor(60_000);
    expect(await store.run(['lock', 'jobs', '--try'])).toMatchObject({ exit: 4, stdout: '' });
    const waiting = await store.run(['lock', 'jobs', '--wait', '2s']);
    expect(waiting).toMatchObject({ exit: 5, stdout: '' });
    interruption.abort();
    const held = await store.h.until(holding);
    expect(held.exit).toBe(130);
    expect(JSON.parse(held.stdout)).toMatchObject({
      name: 'jobs',
      fencingToken: expect.any(Number),
    });
    const { runChild } = children();
    expect((await store.run(['lock', 'jobs', '--try', '--', 'x'], { runChild })).exit).toBe(0);
  });

  test('ends the command when the lock is lost, and says so', async () => {
    const { started, runChild } = patientChild();
    const holding = store.begin(['lock', 'jobs', '--', 'work'], { runChild });
    await store.waitUntil('the command to run', () => started.length === 1);
    const [lease] = await store.h.until(store.db.leases.list());
    await store.h.until(store.db.leases.revoke(lease?.id ?? 0));
    const result = await store.h.until(holding);
    expect(result.exit).toBe(1);
    expect(result.stderr).toContain('error LOCK_LOST');
    expect(started[0]?.signal.aborted).toBe(true);
  });

  test('says what keeps it out of the queue, and what to try', async () => {
    await store.run(['namespace', 'set', 'shop', '--quota', '1KiB']);
    await store.run(['--namespace', 'shop', 'put', 'k', 'x'.repeat(1000)]);
    const result = await store.run(['--namespace', 'shop', 'lock', 'jobs', '--', 'work']);
    expect(result).toMatchObject({ exit: 1, stdout: '' });
    expect(result.stderr).toMatch(/^error QUOTA_EXCEEDED: /);
    expect(result.stderr).toContain('try: delete keys of the namespace, or raise its quota\n');
    expect(await store.h.until(store.db.leases.list())).toEqual([]);
  });

  test.each(['NO_QUORUM', 'UNREACHABLE'] as const)(
    'fails at once with %s: there is no place to give up',
    async (code) => {
      const fail = (): Promise<never> =>
        Promise.reject(new BalsaError(code, 'nobody is there', { outcome: 'not-applied' }));
      let behind = 0;
      const txn = () => {
        behind += 1;
        throw new Error('nobody takes note of it');
      };
      const client = { lock: fail, tryLock: fail, close: async () => {}, txn };
      const connect = async () => client as unknown as StoreClient;
      for (const flags of [[], ['--try'], ['--wait', '2s']]) {
        const result = await store.run(['lock', 'jobs', ...flags, '--', 'work'], { connect });
        expect(result).toMatchObject({ exit: 5, stdout: '' });
        expect(result.stderr).toContain(`error ${code}: nobody is there\n`);
      }
      expect(behind).toBe(0);
    },
  );

  test('that was not free in time names the flag that allows more', async () => {
    const interruption = new AbortController();
    const holding = store.begin(['lock', 'jobs'], { interrupted: interruption.signal });
    await store.sleepFor(1000);
    const { exit, stderr } = await store.run(['lock', 'jobs', '--wait', '2s', '--', 'work']);
    expect(exit).toBe(5);
    expect(stderr).toContain('try: --wait allows more time');
    expect(stderr).not.toContain('--timeout');
    interruption.abort();
    await store.h.until(holding);
  });

  test('does not wait without end to give the lock back when nobody answers any more', async () => {
    const runChild = async () => {
      store.h.cluster.fate = () => 'ignore';
      return { exit: 7 };
    };
    const args = ['--timeout', '0', 'lock', 'jobs', '--', 'work'];
    const { exit, stderr } = await store.run(args, { runChild });
    expect(exit).toBe(7);
    expect(stderr).toContain(
      'the lock jobs could not be given back, and expires: no answer within',
    );
  });
});

describe('elect', () => {
  test('one leads, others see it with --listen, and it hands over', async () => {
    const first = new AbortController();
    const listening = new AbortController();
    const leading = store.begin(['elect', 'e', 'one'], { interrupted: first.signal });
    await store.sleepFor(100);
    const { runChild } = children();
    const second = store.begin(['elect', 'e', 'two', '--', 'work'], { runChild });
    const seen = store.begin(['elect', 'e', '--listen'], { interrupted: listening.signal });
    await store.sleepFor(100);
    first.abort();
    expect(await store.h.until(leading)).toMatchObject({ exit: 130 });
    expect(await store.h.until(second)).toMatchObject({ exit: 0 });
    await store.sleepFor(100);
    listening.abort();
    const { exit, stdout } = await store.h.until(seen);
    expect(exit).toBe(130);
    expect(stdout).toMatch(/^one\n/);
  });
});

test('where a replica listens, as the environment says, is no matter of an election', async () => {
  const { runChild } = children();
  const env = { BALSA_LISTEN: '0.0.0.0:7001' };
  const leading = store.begin(['elect', 'e', 'me', '--', 'work'], { runChild, env });
  expect(await store.h.until(leading)).toMatchObject({ exit: 0 });
});

describe('compact, info, settings and namespace', () => {
  test('compact shows before and after, and refuses what is done already', async () => {
    for (let n = 0; n < 5; n += 1) await store.run(['put', 'a', String(n)]);
    const json = await store.json(['compact', '4', '--no-wait']);
    expect(json).toMatchObject({
      compactedRevision: 4,
      before: { compactedRevision: 0, revisionsKept: 5 },
      after: { compactedRevision: 4, revisionsKept: 2 },
    });
    expect((await store.run(['compact', '2', '--no-wait'])).exit).toBe(1);
    expect((await store.run(['compact', '99', '--no-wait'])).exit).toBe(5);
  });

  test('compact of all history is done, too, when nothing was written since the last time', async () => {
    await store.run(['put', 'a', '1']);
    const first = await store.json(['compact', '--no-wait']);
    const again = await store.run(['compact', '--no-wait', '-o', 'json']);
    expect(again).toMatchObject({ exit: 0, stderr: '' });
    expect(JSON.parse(again.stdout)).toMatchObject({
      ...{ compactedRevision: 1, before: first.after, after: first.after },
    });
  });

  test('compact waits until the history is removed, and can be interrupted', async () => {
    for (let n = 0; n < 5; n += 1) await store.run(['put', 'a', String(n)]);
    const interruption = new AbortController();
    const compacting = store.begin(['compact'], { interrupted: interruption.signal });
    // Nobody proposes sweeps behind this client.
    await store.sleepFor(2000);
    interruption.abort();
    expect(await store.h.until(compacting)).toMatchObject({ exit: 130, stdout: '' });
  });

  test('settings are set with units and shown', async () => {
    const change = ['historyMs=1h', 'spaceQuotaBytes=2GiB'];
    expect((await store.run(['settings', 'set', ...change])).exit).toBe(0);
    expect(await store.json(['settings', 'get'])).toEqual({
      historyMs: 3_600_000,
      historyRevisions: 0,
      spaceQuotaBytes: 2 ** 31,
      meta: expect.objectContaining({ level: 'linearizable' }),
    });
    const { stdout } = await store.run(['info']);
    expect(stdout).toContain('\nhistoryMs\t3600000\n');
    const env = { NO_COLOR: '1' };
    const table = await store.run(['settings', 'get'], { isTerminal: true, env });
    expect(table.stdout).toBe(
      'historyMs         1h\nhistoryRevisions  no bound\nspaceQuotaBytes   2.0 GiB\n',
    );
  });

  test('namespaces have quotas, which are kept', async () => {
    await store.run(['namespace', 'set', 'shop', '--quota', '1KiB']);
    await store.run(['--namespace', 'shop', 'put', 'k', 'v']);
    const full = await store.run(['--namespace', 'shop', 'put', 'l', 'x'.repeat(1024)]);
    expect(full).toMatchObject({ exit: 1, stdout: '' });
    expect(full.stderr).toContain('error QUOTA_EXCEEDED');
    expect((await store.run(['namespace', 'list'])).stdout).toBe(
      'NAMESPACE\tPREFIX\tKEYS\tUSED\tQUOTA\nshop\tshop/\t1\t7\t1024\n',
    );
    expect((await store.run(['namespace', 'set', 'x', '--prefix', 'sho'])).exit).toBe(4);
    expect((await store.run(['namespace', 'remove', 'shop'])).exit).toBe(0);
    expect((await store.run(['namespace', 'remove', 'shop'])).exit).toBe(3);
  });
});
