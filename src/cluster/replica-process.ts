import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, statSync } from 'node:fs';
import { assert } from '../base/assert.js';
import { BalsaError } from '../base/errors.js';
import { guardChild, unguardChild } from './child-guard.js';
import { logTail } from './log-tail.js';

export interface ReplicaExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A replica that ended although nobody asked it to. */
export interface UnexpectedExit extends ReplicaExit {
  readonly name: string;
  /** The last lines that it wrote. */
  readonly logTail: string;
}

export interface ReplicaProcessOptions {
  readonly name: string;
  /** `host:port` of the replica. */
  readonly address: string;
  readonly dataFolder: string;
  /** Standard output and error of all its runs go here. */
  readonly logFile: string;
  readonly entry: string;
  /** What starts a process where the replica is to be. Default: nothing. */
  readonly launcher?: readonly string[];
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly onProcessEnd?: ((pid: number) => void) | undefined;
}

const TAIL_LINES = 20;

/** One `balsa start` process, with its ends and new beginnings. */
export class ReplicaProcess {
  readonly name: string;
  readonly address: string;
  readonly dataFolder: string;
  readonly logFile: string;
  readonly #options: ReplicaProcessOptions;
  #child: ChildProcess | null = null;
  #exited: Promise<ReplicaExit> | null = null;
  #exitExpected = false;
  #paused = false;
  #logStart = 0;
  #unexpectedExit: UnexpectedExit | null = null;

  constructor(options: ReplicaProcessOptions) {
    this.name = options.name;
    this.address = options.address;
    this.dataFolder = options.dataFolder;
    this.logFile = options.logFile;
    this.#options = options;
  }

  /** `null` when it does not run. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  get running(): boolean {
    return this.#child !== null;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Set when it ended by itself; until it is started again. */
  get unexpectedExit(): UnexpectedExit | null {
    return this.#unexpectedExit;
  }

  /** Starts the process; does not wait until it serves. */
  spawn(extra: { readonly args?: readonly string[]; readonly env?: NodeJS.ProcessEnv } = {}): void {
    assert(this.#child === null, `replica ${this.name} is started only when it does not run`);
    const { entry, args, env, launcher = [] } = this.#options;
    const own = [process.execPath, entry, ...args, ...(extra.args ?? [])];
    const [command = process.execPath, ...rest] = [...launcher, ...own];
    this.#logStart = existsSync(this.logFile) ? statSync(this.logFile).size : 0;
    const log = openSync(this.logFile, 'a');
    const child = spawn(command, rest, {
      stdio: ['ignore', log, log],
      env: { ...env, ...extra.env },
      // A session of its own: Ctrl-C at the terminal is for us, who then stop it in order.
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    this.#exitExpected = false;
    this.#paused = false;
    this.#unexpectedExit = null;
    if (child.pid !== undefined) guardChild(child.pid);
    this.#exited = new Promise((resolve) => {
      const ended = (exit: ReplicaExit): void => {
        this.#onExit(child, exit);
        resolve(exit);
      };
      child.once('exit', (code, signal) => ended({ code, signal }));
      child.once('error', () => ended({ code: null, signal: null }));
    });
  }

  /** Sends a signal that is meant to end it, and waits until it has ended. */
  async end(signal: NodeJS.Signals): Promise<ReplicaExit> {
    const exited = this.#exited;
    assert(this.#child !== null && exited !== null, `replica ${this.name} runs`);
    this.#exitExpected = true;
    this.#child.kill(signal);
    // A stopped process takes no notice of any signal but SIGKILL before it goes on.
    if (this.#paused && signal !== 'SIGKILL') this.resume();
    return exited;
  }

  pause(): void {
    assert(this.#child !== null, `replica ${this.name} runs`);
    this.#child.kill('SIGSTOP');
    this.#paused = true;
  }

  resume(): void {
    assert(this.#child !== null, `replica ${this.name} runs`);
    this.#child.kill('SIGCONT');
    this.#paused = false;
  }

  /**
   * Waits for an end that comes by itself, e.g. because it must refuse its data. From this call on such
   * an end is expected.
   */
  async exit(): Promise<ReplicaExit> {
    assert(this.#exited !== null, `replica ${this.name} was started`);
    this.#exitExpected = true;
    const exit = await this.#exited;
    this.#unexpectedExit = null;
    return exit;
  }

  /** The last lines that this run wrote. */
  tail(lines = TAIL_LINES): string {
    return existsSync(this.logFile) ? logTail(this.logFile, lines, this.#logStart) : '';
  }

  /** @throws BalsaError `INTERNAL` when it ended by itself, with the last lines of its log */
  checkAlive(): void {
    const exit = this.#unexpectedExit;
    if (exit === null) return;
    const how = exit.signal ?? `code ${exit.code}`;
    throw new BalsaError(
      'INTERNAL',
      `replica ${exit.name} ended by itself (${how}); the end of ${this.logFile}:\n${exit.logTail}`,
      { details: { unexpectedExit: exit } },
    );
  }

  #onExit(child: ChildProcess, exit: ReplicaExit): void {
    if (child.pid !== undefined) {
      unguardChild(child.pid);
      this.#options.onProcessEnd?.(child.pid);
    }
    this.#child = null;
    this.#paused = false;
    if (this.#exitExpected) return;
    this.#unexpectedExit = { name: this.name, ...exit, logTail: this.tail() };
  }
}
