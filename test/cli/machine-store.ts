import { PassThrough } from 'node:stream';
import { BalsaError } from '../../src/base/errors.js';
import type { CliIo } from '../../src/cli/io.js';
import { bytes } from '../../src/client/codec.js';
import type { Client } from '../../src/client/kv-client.js';
import { openClient } from '../../src/client/kv-client.js';
import { Harness } from '../client/support/harness.js';
import { RealMachine } from '../client/support/real-machine.js';
import { type RunOptions, type RunResult, run } from './fakes.js';

export interface ShellAtTerminal {
  readonly stdin: PassThrough;
  readonly running: Promise<RunResult>;
  /** All that it has written so far. */
  readonly shown: () => string;
}

/**
 * Commands with a real client, whose requests a real state machine answers, in virtual time: what they say is
 * what a cluster would make them say.
 */
export class MachineStore {
  readonly h: Harness;
  readonly db: Client;
  readonly #real: RealMachine | null;

  private constructor(h: Harness, db: Client, real: RealMachine | null) {
    this.h = h;
    this.db = db;
    this.#real = real;
  }

  /** Of {@link open}. */
  get real(): RealMachine {
    if (this.#real === null) throw new Error('only a model is behind it');
    return this.#real;
  }

  static async open(): Promise<MachineStore> {
    const h = new Harness();
    const real = await RealMachine.behind(h);
    return new MachineStore(h, await h.connect(), real);
  }

  /** Over the plain model of the client's tests, which has a status. */
  static async model(): Promise<MachineStore> {
    const h = new Harness();
    return new MachineStore(h, await h.connect(), null);
  }

  /** To the replicas that are named, or to all if these are others. */
  connect: CliIo['connect'] = async (options) => {
    const { endpoints: all } = this.h.cluster;
    const named = options.endpoints.filter((endpoint) => all.includes(endpoint));
    const endpoints = named.length === 0 ? all : named;
    const given = { ...options, endpoints, codec: bytes, keys: 'bytes' } as const;
    return await openClient(given, this.h.environment);
  };

  /** `balsa ARGS`, time passing as needed. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return await this.h.until(this.begin(args, options));
  }

  /** The same, without letting time pass. */
  begin(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(args, { connect: this.connect, sleep: (ms) => this.sleep(ms), ...options });
  }

  /** A shell at a terminal, on which nobody has typed anything yet. */
  beginShell(flags: readonly string[] = ['--history', 'off']): ShellAtTerminal {
    const stdin = Object.assign(new PassThrough(), { isTTY: true });
    let text = '';
    const running = this.begin(['shell', ...flags], {
      ...{ stdin, isTerminal: true, env: { NO_COLOR: '1' } },
      onStdout: (more) => {
        text += more;
      },
    });
    return { stdin, running, shown: () => text };
  }

  /** Lets virtual time pass as real time does, for what waits for both. */
  async alongside<T>(running: Promise<T>): Promise<T> {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    running.then(over, over);
    while (!isOver) {
      await new Promise((next) => setTimeout(next, 1));
      await this.h.clock.advance(1);
    }
    return await running;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.h.clock.setTimer(ms, resolve));
  }

  /** Lets time pass. */
  async sleepFor(ms: number): Promise<void> {
    await this.h.clock.advance(ms);
  }

  /** Lets time pass until `holds`. */
  async waitUntil(what: string, holds: () => boolean): Promise<void> {
    for (let ms = 0; ms < 60_000; ms += 1) {
      await this.h.clock.settle();
      if (holds()) return;
      await this.h.clock.advance(1);
    }
    throw new BalsaError('TIMEOUT', `waited for ${what}`);
  }

  async json(args: readonly string[], options: RunOptions = {}): Promise<Record<string, unknown>> {
    const { stdout } = await this.run([...args, '-o', 'json'], options);
    return JSON.parse(stdout) as Record<string, unknown>;
  }
}
