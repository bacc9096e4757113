import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import { Ledger } from '../../src/cli/demo/ledger.js';
import { runLoad, type Writer } from '../../src/cli/demo/load.js';
import { judgeOrder } from '../../src/cli/demo/verdict.js';
import { verifyReplica } from '../../src/cli/demo/verify.js';
import { bytes, connect } from '../../src/client/client.js';
import { findEntry } from '../../src/cluster/entry.js';
import type { LocalCluster } from '../../src/cluster/local-cluster.js';
import { type WaitOptions, waitUntil } from '../../src/cluster/wait-until.js';
import { input, run } from '../cli/fakes.js';

/** What a run of the `balsa` command did. */
export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `balsa` as a user would. One that does not end in a minute is killed: its code is null. */
export function balsa(args: readonly string[], input = ''): Promise<Run> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [findEntry(), ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    // A command that ends before it has read all of its input closes the pipe.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/**
 * The same without a process of its own, which costs half a second of computing: for commands that neither start anything nor wait for
 * signals. That the process around them hands on what they read, say and end with is seen elsewhere (`test/cli/main.test.ts`).
 */
export async function balsaHere(
  args: readonly string[],
  stdin = '',
  env: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const talk = await run(args, {
    ...{ stdin: input(stdin), env: { ...process.env, NO_COLOR: '1', ...env }, sleep: delay },
    nowMs: () => performance.now(),
    connect: (options) => connect({ ...options, codec: bytes, keys: 'bytes' }),
  });
  return { code: talk.exit, stdout: talk.stdout, stderr: talk.stderr };
}

/** A process under way, with what it has said so far. One that is still there in the end is asked to go. */
export class Talker implements AsyncDisposable {
  readonly child: ChildProcessWithoutNullStreams;
  /** On both streams. */
  said = '';
  stdout = '';
  #code: number | null | undefined;

  constructor(command: string, args: readonly string[], cwd?: string) {
    const env = { ...process.env, NO_COLOR: '1', TERM: 'xterm' };
    this.child = spawn(command, args, { env, ...(cwd === undefined ? {} : { cwd }) });
    const hear = (chunk: Buffer): void => {
      this.said += chunk.toString();
    };
    this.child.stdout.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
      hear(chunk);
    });
    this.child.stderr.on('data', hear);
    this.child.once('close', (code) => {
      this.#code = code;
    });
  }

  async says(pattern: RegExp, options: WaitOptions = {}): Promise<void> {
    const heard = async (): Promise<true | undefined> => {
      if (pattern.test(this.said)) return true;
      if (this.#code !== undefined) throw new Error(`ended with ${this.#code}: ${this.said}`);
      return undefined;
    };
    await waitUntil(`${pattern} in what is said`, heard, options);
  }

  async ends(): Promise<number | null> {
    return (
      await waitUntil('the end', async () =>
        this.#code === undefined ? undefined : { code: this.#code },
      )
    ).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#code !== undefined) return;
    this.child.kill('SIGTERM');
    await this.ends().catch(() => this.child.kill('SIGKILL'));
  }

  get pids(): number[] {
    return [...this.said.matchAll(/pid (\d+)/g)].map((match) => Number(match[1]));
  }
}

export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** There is the command `script`, which makes terminals. */
export const hasTerminal = ((): boolean => {
  try {
    execFileSync('script', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** It ended well. @param asked what was, for whoever reads that it did not */
export function expectDone(asked: unknown, run: Run): Run {
  const said = run.code === 0 ? '' : run.stderr;
  expect({ asked, code: run.code, said }).toEqual({ asked, code: 0, said: '' });
  return run;
}

/** An error as the command tells it: the code, words, what to try, and no stack. */
export function expectRefusal(
  run: Run,
  expected: { readonly exit: number; readonly code: string },
): void {
  expect({ exit: run.code, said: run.stderr }).toEqual({
    exit: expected.exit,
    said: expect.stringContaining(expected.code),
  });
  expect(run.stderr).not.toMatch(/^\s+at .*:\d+/m);
}

/** Stops a replica that has all that there is. */
export async function stopWithAll(cluster: LocalCluster, name: string): Promise<void> {
  const { commitIndex } = await cluster.waitForLeader();
  await cluster.waitForApplied(commitIndex);
  await cluster.stop(name);
}

export function temporaryFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'balsa-whole-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Short values, and a long one now and then: the log writes long ones in another way. */
const RECORDS = Array.from({ length: 300 }, (_, i) => ({
  key: `key-${String(i).padStart(4, '0')}`,
  content: 'x'.repeat(i === 0 ? 400_000 : 100 + i),
}));

/** So many puts of each lane go on at full speed behind those that were asked for: something is in flight then. */
const LANE_AHEAD = 3;
/** Then each lane rests as long between two puts, so that there are never none. */
const LANE_REST_MS = 500;

/**
 * Puts from a client that never stops, with what it was told. Far ahead of what a test waits for it is slow:
 * more writes, each of which is read back from each replica, would show nothing more.
 */
export class Load {
  readonly ledger = new Ledger();
  readonly #done: Promise<number>;
  #goal = 0;
  #stopping = false;

  /** `rests: false`: always as fast as it can be. */
  constructor(
    db: Writer,
    options: { putTimeoutMs?: number; outstanding?: number; rests?: boolean } = {},
  ) {
    const { putTimeoutMs = 30_000, outstanding = 32, rests = true } = options;
    const ahead = rests ? LANE_AHEAD * outstanding : Number.POSITIVE_INFINITY;
    this.#done = runLoad(db, {
      records: RECORDS,
      ledger: this.ledger,
      random: seededRandom(1),
      outstanding,
      putTimeoutMs,
      more: () => !this.#stopping,
      pace: () =>
        this.ledger.counts.acknowledged < this.#goal + ahead || this.#stopping
          ? null
          : delay(LANE_REST_MS),
    });
    // Reported by `stop`; until then a failure must not count as unhandled.
    this.#done.catch(() => {});
  }

  /** Waits until so many more writes were acknowledged. */
  async acknowledgedMore(count: number): Promise<void> {
    const goal = this.ledger.counts.acknowledged + count;
    this.#goal = goal;
    await waitUntil(`${count} more acknowledged writes`, async () =>
      this.ledger.counts.acknowledged >= goal ? true : undefined,
    );
  }

  async stop(): Promise<Ledger> {
    this.#stopping = true;
    await this.#done;
    return this.ledger;
  }
}

/**
 * Every acknowledged write is on every running replica, once, in order; nothing else is; and all
 * replicas hold the same.
 */
export async function expectAllThereOnce(
  cluster: LocalCluster,
  ledger: Ledger,
  options: { readonly othersWrite?: boolean } = {},
): Promise<void> {
  await cluster.waitForLeader();
  expect(judgeOrder(ledger)).toEqual([]);
  for (const { name } of cluster.running) {
    await using reader = await cluster.connectTo(name, { timeoutMs: 20_000 });
    const { findings, versions } = await verifyReplica(reader, ledger, { revisionBefore: 0 });
    // Writes of others count in the revisions of the store, and in nothing else.
    const own = findings.filter(({ key }) => key !== '(whole store)' || !options.othersWrite);
    expect({ name, findings: own }).toEqual({ name, findings: [] });
    expect(versions).toBeGreaterThanOrEqual(ledger.counts.acknowledged);
  }
  const statuses = await cluster.waitForEqual();
  expect(new Set(statuses.map((status) => status.stateHash)).size).toBe(1);
}
