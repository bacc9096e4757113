import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BalsaError } from '../../src/base/errors.js';
import { waitUntil } from '../../src/cluster/wait-until.js';

/** Of what a server wrote before it ended, so much is told. */
const TAIL_CHARS = 2000;
const STOP_TIMEOUT_MS = 10_000;

/** A server that was started for the measurement. It does not outlive this process, however that ends. */
class ServerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #killed = (): void => void this.#child.kill('SIGKILL');
  #tail = '';
  #failure: Error | null = null;

  constructor(program: string, args: readonly string[], cwd: string) {
    this.#name = program;
    this.#child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (chunk: Buffer): void => {
      this.#tail = (this.#tail + chunk.toString()).slice(-TAIL_CHARS);
    };
    this.#child.stdout?.on('data', keep);
    this.#child.stderr?.on('data', keep);
    this.#child.once('error', (error) => {
      this.#failure = error;
    });
    process.once('exit', this.#killed);
  }

  get pid(): number {
    this.check();
    return this.#child.pid ?? Number.NaN;
  }

  /** @throws BalsaError `INTERNAL` when it has ended, with the last that it wrote */
  check(): void {
    const { exitCode, signalCode } = this.#child;
    if (this.#failure === null && exitCode === null && signalCode === null) return;
    const end = this.#failure?.message ?? signalCode ?? `exit code ${exitCode}`;
    throw new BalsaError('INTERNAL', `${this.#name} ended (${end}): ${this.#tail.trim()}`);
  }

  /** As when its machine has lost its power, but for what the kernel has in memory. */
  async kill(): Promise<void> {
    process.off('exit', this.#killed);
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('exit', this.#killed);
    if (this.#failure !== null) return;
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(this.#killed, STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }
}

/** Servers of one peer and the folder that they have, which all go when the measurement is over. */
export class ServerGroup implements AsyncDisposable {
  readonly folder: string;
  #servers: ServerProcess[] = [];
  readonly #started: (readonly [program: string, args: readonly string[]])[] = [];
  readonly #removed = (): void => rmSync(this.folder, { recursive: true, force: true });

  constructor(name: string) {
    this.folder = mkdtempSync(join(tmpdir(), `balsa-bench-${name}-`));
    process.once('exit', this.#removed);
  }

  get pids(): number[] {
    return this.#servers.map(({ pid }) => pid);
  }

  start(program: string, args: readonly string[]): void {
    this.#started.push([program, args]);
    this.#servers.push(new ServerProcess(program, args, this.folder));
  }

  /** All are killed, and started as they were. */
  async restart(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.kill()));
    this.#servers = this.#started.map(
      ([program, args]) => new ServerProcess(program, args, this.folder),
    );
  }

  /** Waits for what `look` gives, as long as all servers run; ends them when it does not come. */
  async until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    try {
      return await waitUntil(what, () => {
        for (const server of this.#servers) server.check();
        return look();
      });
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) await server[Symbol.asyncDispose]();
    process.off('exit', this.#removed);
    this.#removed();
  }
}
