import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { startReplicas } from '../../bench/peers/balsa-replicas.js';
import { parseEtcdState } from '../../bench/peers/etcd-state.js';
import { fanOut } from '../../bench/peers/fan-out.js';
import { withoutFailures } from '../../bench/peers/h2load.js';
import { endInWords, runProgram, tailInWords } from '../../bench/peers/program.js';
import { checkAnswers, parseRedisStats, redisKey } from '../../bench/peers/redis.js';
import { askRedis, RedisAnswers } from '../../bench/peers/redis-commands.js';
import { ServerGroup } from '../../bench/peers/server-process.js';
import type { Subject } from '../../bench/peers/subject.js';
import { endingWith, whileAlive } from '../../bench/peers/while-alive.js';
import type { Calls, Length } from '../../src/cli/bench/drive.js';
import { CURVE_SHARES } from '../../src/cli/bench/latencies.js';
import type { Scenario } from '../../src/cli/bench/scenario.js';

const CALLS: Calls = {
  ...{ served: 100, perSecond: 50, errors: {} },
  ...{ p50Ms: 1, p99Ms: 2, p999Ms: 3, maxMs: 4 },
};
const SCENARIO: Scenario = {
  ...{ operation: 'put', valueBytes: 3, outstanding: 4 },
  ...{ distribution: 'uniform', keys: 10, ratePerSecond: null },
};
const LENGTH: Length = { warmUpSeconds: 0, seconds: 1 };
/** Waits, for nobody asks it to end. */
const STANDS = 'setInterval(() => {}, 1000);';

function node(...code: string[]): string[] {
  return ['-e', code.join('\n')];
}

describe('servers of a peer', () => {
  test('one that ends by itself is named, with how it ended and the last that it wrote', async () => {
    await using servers = new ServerGroup('toy');
    servers.start(process.execPath, node("console.error('no room'); process.exit(3);"));
    if (!servers.ended.aborted) await once(servers.ended, 'abort');
    expect(servers.ended.reason).toMatchObject({
      code: 'INTERNAL',
      message: expect.stringMatching(
        /^toy: .*node \(process \d+\) ended with exit code 3.*no room$/s,
      ),
    });
    await expect(servers.until('an answer', async () => true)).rejects.toThrow('exit code 3');
  });

  test('one that is killed, or cannot be started, is named as well', async () => {
    await using killed = new ServerGroup('toy');
    killed.start(process.execPath, node(STANDS));
    process.kill(killed.pids[0] ?? Number.NaN, 'SIGKILL');
    if (!killed.ended.aborted) await once(killed.ended, 'abort');
    expect(killed.ended.reason.message).toMatch(/was ended by SIGKILL.*it wrote nothing/);

    await using missing = new ServerGroup('toy');
    missing.start('/no/such/server', []);
    if (!missing.ended.aborted) await once(missing.ended, 'abort');
    expect(missing.ended.reason.message).toMatch(/did not start: .*ENOENT/);
  });

  test('ends that were asked for are no news, and what was started goes with its folder', async () => {
    const servers = new ServerGroup('toy');
    servers.start(process.execPath, node(STANDS));
    const [first] = servers.pids;
    await servers.restart();
    const [second = Number.NaN] = servers.pids;
    expect(second).not.toBe(first);
    await servers[Symbol.asyncDispose]();
    expect(servers.ended.aborted).toBe(false);
    expect(existsSync(servers.folder)).toBe(false);
    expect(() => process.kill(second, 0)).toThrow('ESRCH');
  });

  test('they are in no group of the terminal: Ctrl-C there does not reach them', async () => {
    await using servers = new ServerGroup('toy');
    servers.start(process.execPath, node(STANDS));
    const [pid = Number.NaN] = servers.pids;
    // Signals a group, which is there only if the server leads one.
    expect(process.kill(-pid, 0)).toBe(true);
  });

  test('a replica of balsa that ends is news, though the others go on', async () => {
    const { cluster, ended } = await startReplicas({ logLevel: 'warn' });
    onTestFinished(() => cluster.close());
    expect(ended.aborted).toBe(false);
    process.kill(cluster.replica('n2').pid ?? Number.NaN, 'SIGKILL');
    if (!ended.aborted) await once(ended, 'abort');
    expect(ended.reason).toMatchObject({
      code: 'INTERNAL',
      message: expect.stringMatching(/^balsa: .*replica n2 ended by itself \(SIGKILL\)/),
    });
    expect(cluster.running).toHaveLength(2);
  });
});

describe('a subject whose server ends', () => {
  const never = new Promise<never>(() => {});
  const subject = (measure: Subject['measure']): Omit<Subject, 'ended'> => ({
    ...{ name: 'toy', durability: 'none', serverPids: [], lacks: () => null },
    ...{ fill: () => never, measure },
  });
  const reason = new Error('toy: ended');

  test('fails at once, though its calls wait for ever, and begins no more of them', async () => {
    const end = new AbortController();
    let signal: AbortSignal | undefined;
    const watched = endingWith(
      end.signal,
      subject((_scenario, length) => {
        signal = length.signal;
        return never;
      }),
    );
    const round = watched.measure(SCENARIO, LENGTH, () => {});
    const filled = watched.fill(1, 1);
    expect(signal?.aborted).toBe(false);
    end.abort(reason);
    await expect(round).rejects.toBe(reason);
    await expect(filled).rejects.toBe(reason);
    expect(signal?.aborted).toBe(true);
    await expect(watched.measure(SCENARIO, LENGTH, () => {})).rejects.toBe(reason);
  });

  test('fails with the end, and not with what showed first: a connection that broke', async () => {
    const end = new AbortController();
    const work = whileAlive(end.signal, async () => {
      setImmediate(() => end.abort(reason));
      throw new Error('ECONNRESET');
    });
    await expect(work).rejects.toBe(reason);
  });

  test('fails with what the begin of the round throws, which comes by a timer', async () => {
    const watched = endingWith(
      new AbortController().signal,
      subject((_scenario, _length, onBegin) => {
        setImmediate(() => onBegin(1));
        return never;
      }),
    );
    const round = watched.measure(SCENARIO, LENGTH, () => {
      throw new Error('no such process');
    });
    await expect(round).rejects.toThrow('no such process');
  });
});

describe('a program that is a client', () => {
  test('gives what it wrote, and its process when it has begun', async () => {
    const pids: number[] = [];
    const { output, errors } = await runProgram(
      process.execPath,
      node("console.log('out'); console.error('err');"),
      { timeoutMs: 60_000, onStart: (pid) => pids.push(pid), onOutput: (_, pid) => pids.push(pid) },
    );
    expect({ output, errors }).toEqual({ output: 'out\n', errors: 'err\n' });
    expect(pids.length).toBeGreaterThanOrEqual(2);
    expect(new Set(pids).size).toBe(1);
  });

  test('that fails is told with its code and its complaint', async () => {
    const run = runProgram(process.execPath, node("console.error('no way'); process.exit(4);"), {
      timeoutMs: 60_000,
    });
    await expect(run).rejects.toThrow(/exit code 4; .*\nno way/);
    await expect(runProgram('/no/such/client', [], { timeoutMs: 60_000 })).rejects.toThrow(
      /client: did not start: .*ENOENT/,
    );
  });

  test('that never ends is killed: by time, by a signal, and by a callback that throws', async () => {
    const pids: number[] = [];
    const run = (more: object) =>
      runProgram(process.execPath, node("console.log('waits');", STANDS), {
        timeoutMs: 60_000,
        onStart: (pid) => pids.push(pid),
        ...more,
      });
    await expect(run({ timeoutMs: 1 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('did not end within 0.001 s'),
    });
    const abort = new AbortController();
    const aborted = run({ signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    const thrown = run({
      onOutput: (output: string) => {
        throw new Error(`saw ${output.trim()}`);
      },
    });
    await expect(thrown).rejects.toThrow('saw waits');
    expect(pids).toHaveLength(3);
    for (const pid of pids) {
      await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), 10_000);
    }
  });

  test('does not outlive this process, not even when that is killed', async () => {
    const program = new URL('../../bench/peers/program.ts', import.meta.url).href;
    const code = `
      const { spawnGuarded } = await import(${JSON.stringify(program)});
      const child = spawnGuarded(process.execPath, ['-e', ${JSON.stringify(STANDS)}], { stdio: 'ignore' });
      console.log(child.pid);
    `;
    const args = ['--import', 'tsx', '--input-type=module', '-e', code];
    const parent = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [pid] = (await once(parent.stdout, 'data')).map(Number);
    expect(process.kill(pid ?? Number.NaN, 0)).toBe(true);
    parent.kill('SIGKILL');
    await vi.waitFor(() => expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH'), 10_000);
  });

  test('ends are put in words, and of what was written the last whole lines are told', () => {
    expect(endInWords({ code: 2, signal: null })).toBe('ended with exit code 2');
    expect(endInWords({ code: null, signal: 'SIGSEGV' })).toBe('was ended by SIGSEGV');
    expect(tailInWords(' \n')).toBe('it wrote nothing');
    const lines = Array.from({ length: 1000 }, (_, i) => `line ${i}`);
    const told = tailInWords(lines.join('\n')).split('\n').slice(1);
    expect(told.length).toBeGreaterThan(100);
    expect(told).toEqual(lines.slice(-told.length));
  });
});

describe('etcd', () => {
  const page = (leader: number, ...lines: string[]): string =>
    [
      '# TYPE etcd_server_is_leader gauge',
      `etcd_server_is_leader ${leader}`,
      'etcd_server_leader_changes_seen_total 2',
      'etcd_disk_wal_fsync_duration_seconds_count 30',
      'etcd_disk_backend_commit_duration_seconds_count 4',
      ...lines.map((line) => {
        const [method, code, count, service = 'KV'] = line.split(' ');
        return `grpc_server_handled_total{grpc_code="${code}",grpc_method="${method}",grpc_service="etcdserverpb.${service}",grpc_type="unary"} ${count}`;
      }),
    ].join('\n');
  const answers = (...lines: string[]) => ({
    ...{ method: 'Put', cutMax: 16 },
    before: parseEtcdState(page(1, 'Put OK 1000', 'Put Unknown 5', 'Put Unavailable 7')),
    after: parseEtcdState(page(1, ...lines)),
  });

  test('a page of metrics is read, and one that lacks something is refused', () => {
    expect(parseEtcdState(page(0, 'Put OK 1.5e+06', 'Range OK 3', 'Put OK 9 Lease'))).toEqual({
      ...{ isLeader: false, leaderChanges: 2, syncs: 34 },
      answered: { 'Put OK': 1_500_000, 'Range OK': 3 },
    });
    expect(() => parseEtcdState('404 page not found')).toThrow(/no etcd_server_is_leader.*404/);
  });

  test('calls of h2load are as they are when etcd gave good answers alone, but for those that were cut', () => {
    const same = ['Put Unavailable 7', 'Range Unavailable 50'];
    expect(withoutFailures(CALLS, answers('Put OK 1130', 'Put Unknown 21', ...same))).toBe(CALLS);
  });

  test('failures that h2load took for successes are not served, and leave no latencies', () => {
    const lines = ['Put OK 1090', 'Put Unknown 25', 'Put Unavailable 13'];
    expect(withoutFailures(CALLS, answers(...lines))).toEqual({
      ...{ served: 90, perSecond: 45, errors: { Unknown: 4, Unavailable: 6 } },
      ...{ p50Ms: Number.NaN, p99Ms: Number.NaN, p999Ms: Number.NaN, maxMs: Number.NaN },
      curveMs: CURVE_SHARES.map(() => Number.NaN),
    });
  });

  test('answers that etcd knows nothing of are none', () => {
    const known = ['Put Unknown 5', 'Put Unavailable 7'];
    expect(() => withoutFailures(CALLS, answers('Put OK 1099', ...known))).toThrow(
      'h2load counted 100 answers to Put, but etcd gave 99 good ones and 0 failures',
    );
    const none = { ...CALLS, served: 0 };
    expect(() => withoutFailures(none, answers('Put OK 1099', ...known))).toThrow('counted 0');
  });
});

describe('redis', () => {
  test('answers are read however they are cut, and an error among them is thrown', () => {
    const bytes = Buffer.from('+OK\r\n:12\r\n$6\r\na\r\nb\r\n\r\n$0\r\n\r\n');
    for (let cut = 1; cut < bytes.length; cut += 1) {
      const answers = new RedisAnswers(4);
      expect(answers.take(bytes.subarray(0, cut))).toBeNull();
      expect(answers.take(bytes.subarray(cut))).toEqual(['OK', '12', 'a\r\nb\r\n', '']);
    }
    expect(() => new RedisAnswers(1).take(Buffer.from('-OOM no room\r\n'))).toThrow(
      'Redis answered: -OOM no room',
    );
  });

  test('is asked in its own words; one that says nothing, or is not there, is an error', async () => {
    const heard: Buffer[] = [];
    let answer = '+OK\r\n';
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        heard.push(chunk);
        if (answer === '') socket.end();
        else socket.write(answer);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    expect(await askRedis(port, [['SET', 'ä', Buffer.from('v')]])).toEqual(['OK']);
    expect(Buffer.concat(heard).toString()).toBe('*3\r\n$3\r\nSET\r\n$2\r\nä\r\n$1\r\nv\r\n');
    answer = '+OK';
    await expect(askRedis(port, [['PING']], 1)).rejects.toMatchObject({ code: 'TIMEOUT' });
    answer = '';
    await expect(askRedis(port, [['PING']])).rejects.toThrow('has closed the connection');
    await new Promise((resolve) => server.close(resolve));
    await expect(askRedis(port, [['PING']])).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  test('keys are those that redis-benchmark asks for', () => {
    expect(redisKey(42)).toBe('key:000000000042');
  });

  test('a round with gets that missed, or with errors, is none', () => {
    const before = parseRedisStats('keyspace_misses:7\r\ntotal_error_replies:1\r\n');
    expect(before).toEqual({ misses: 7, refused: 1 });
    expect(checkAnswers(CALLS, before, before)).toBe(CALLS);
    expect(() => checkAnswers(CALLS, before, { misses: 9, refused: 1 })).toThrow(
      'of 100 answers of Redis, 2 had no value and 0 were errors',
    );
    expect(() => checkAnswers(CALLS, before, { misses: 7, refused: 4 })).toThrow('3 were errors');
    expect(() => parseRedisStats('keyspace_misses:7')).toThrow('no total_error_replies');
  });
});

describe('fan-out', () => {
  test('a put of which not all watchers are told fails in time, and says how many were', async () => {
    const watchers: ((revision: number) => void)[] = [];
    const calls = fanOut(
      {
        put: async () => {
          for (const told of watchers.slice(0, 63)) told(7);
          return 7;
        },
        watch: async (onEvent) => {
          watchers.push(onEvent);
          return () => new Promise<void>(() => {});
        },
      },
      1,
    );
    await calls.begin?.();
    await expect(calls.call('k', Buffer.alloc(0))).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('63 of 100 watchers were told of revision 7 within 1 ms'),
    });
    await expect(calls.end?.()).rejects.toThrow('not all of 100 watches ended');
  });

  test('watches that do not begin are an error', async () => {
    const calls = fanOut({ put: async () => 1, watch: () => new Promise(() => {}) }, 1);
    await expect(calls.begin?.()).rejects.toThrow('0 of 100 watches began');
  });
});
