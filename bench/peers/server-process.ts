import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BalsaError } from '../../src/base/errors.js';
import { logTail } from '../../src/cluster/log-tail.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { endInWords, type ProcessEnd, spawnGuarded, tailInWords } from './program.js';

const TAIL_LINES = 20;
const STOP_TIMEOUT_MS = 10_000;

interface ServerOptions {
  /** Of the peer. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly logFile: string;
  /** It has ended, and nobody asked it to. */
  onEnd(error: BalsaError): void;
}

/** etcd takes each of its settings from the environment, too: it is measured with those that are printed. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('ETCD_')));
}

/** A server that was started for the measurement. It does not outlive this process, however that ends. */
class ServerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #options: ServerOptions;
  #isOver = false;
  #isEndExpected = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    const { program, args, folder, logFile } = options;
    const log = openSync(logFile, 'w');
    this.#child = spawnGuarded(program, args, {
      cwd: folder,
      env: withoutSettings(process.env),
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child.once('exit', (code, signal) => this.#ended({ code, signal }));
    this.#child.once('error', (error) => this.#ended({ code: null, signal: null, error }));
  }

  get pid(): number {
    return this.#child.pid ?? Number.NaN;
  }

  /** As when its machine has lost its power, but for what the kernel has in memory. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const late = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#end('SIGTERM');
    clearTimeout(late);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#isEndExpected = true;
    if (this.#isOver || this.#child.pid === undefined) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }

  #ended(end: ProcessEnd): void {
    this.#isOver = true;
    if (this.#isEndExpected) return;
    const { name, program, logFile, onEnd } = this.#options;
    const tail = tailInWords(logTail(logFile, TAIL_LINES));
    const who = `${name}: ${program} (process ${this.#child.pid ?? 'none'})`;
    onEnd(
      new BalsaError(
        'INTERNAL',
        `${who} ${endInWords(end)}, and nobody asked it to: measure again; ${tail}`,
      ),
    );
  }
}

/** Servers of one peer and the folder that they have, which all go when the measurement is over. */
export class ServerGroup implements AsyncDisposable {
  readonly folder: string;
  readonly #name: string;
  readonly #servers: ServerProcess[] = [];
  readonly #started: (readonly [program: string, args: readonly string[]])[] = [];
  readonly #ended = new AbortController();
  readonly #removed = (): void => rmSync(this.folder, { recursive: true, force: true });

  constructor(name: string) {
    this.#name = name;
    this.folder = mkdtempSync(join(tmpdir(), `balsa-bench-${name}-`));
    process.once('exit', this.#removed);
  }

  get pids(): number[] {
    return this.#servers.map(({ pid }) => pid);
  }

  /** Aborts when one of them ends by itself, with the error that says which and why. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  start(program: string, args: readonly string[]): void {
    this.#started.push([program, args]);
    this.#spawn(program, args);
  }

  /** All are killed, and started as they were. */
  async restart(): Promise<void> {
    await Promise.all(this.#servers.splice(0).map((server) => server.kill()));
    for (const [program, args] of this.#started) this.#spawn(program, args);
  }

  /** Waits for what `look` gives, as long as all servers run; ends them when it does not come. */
  async until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    try {
      return await waitUntil(what, () => {
        this.ended.throwIfAborted();
        return look();
      });
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server[Symbol.asyncDispose]()));
    process.off('exit', this.#removed);
    this.#removed();
  }

  #spawn(program: string, args: readonly string[]): void {
    const server = new ServerProcess({
      ...{ name: this.#name, program, args, folder: this.folder },
      logFile: join(this.folder, `server-${this.#servers.length + 1}.log`),
      onEnd: (error) => this.#ended.abort(error),
    });
    this.#servers.push(server);
  }
}
