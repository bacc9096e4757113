import { setMaxListeners } from 'node:events';
import { asBalsaError } from '../../base/errors.js';
import { seededRandom } from '../../base/random.js';
import type { LocalCluster } from '../../cluster/local-cluster.js';
import type { SourceRecord } from './documents.js';
import { Ledger } from './ledger.js';
import { runLoad, type Writer } from './load.js';
import { formatReplicas } from './report.js';
import type { Teller } from './teller.js';

export interface StayOptions {
  readonly cluster: LocalCluster;
  readonly db: Writer;
  readonly records: readonly SourceRecord[];
  readonly teller: Teller;
  readonly signal: AbortSignal;
}

/** The keyboard: `process.stdin` is one. */
export interface Keyboard {
  setRawMode?(on: boolean): unknown;
  on(event: 'data', listener: (bytes: Buffer) => void): unknown;
  off(event: 'data', listener: (bytes: Buffer) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

const BURST_KEYS = 2000;
const BURST_TIMEOUT_MS = 5000;
const BURST_FAILURES_MAX = 64;
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

/** Keeps the cluster up and obeys single keys until `q`, Ctrl-C or the signal. */
export async function stay(options: StayOptions, keyboard: Keyboard): Promise<void> {
  const commands = new Commands(options);
  commands.help();
  // Raw: a key counts without Enter, and Ctrl-C is a key like others.
  keyboard.setRawMode?.(true);
  keyboard.resume();
  try {
    await quitPressed(options.signal, keyboard, (key) => void commands.press(key));
  } finally {
    keyboard.setRawMode?.(false);
    keyboard.pause();
    await commands.end();
  }
}

function quitPressed(
  signal: AbortSignal,
  keyboard: Keyboard,
  press: (key: string) => void,
): Promise<void> {
  return new Promise((resolve) => {
    const quit = (): void => {
      keyboard.off('data', onData);
      signal.removeEventListener('abort', quit);
      resolve();
    };
    const onData = (bytes: Buffer): void => {
      for (const key of bytes.toString('utf8')) {
        if (key === 'q' || key === CTRL_C || key === CTRL_D) quit();
        else press(key);
      }
    };
    keyboard.on('data', onData);
    signal.addEventListener('abort', quit);
    if (signal.aborted) quit();
  });
}

/** What the keys do. Each runs on its own, so that a replica can be killed under load. */
class Commands {
  readonly #options: StayOptions;
  readonly #ended = new AbortController();
  readonly #busy = new Map<string, Promise<void>>();

  constructor(options: StayOptions) {
    this.#options = options;
  }

  help(): void {
    const { cluster, teller } = this.#options;
    const endpoints = cluster.endpoints.join(',');
    const last = cluster.replicas.length;
    teller.say();
    teller.say('The cluster stays up. In another terminal:');
    teller.say(`  npx balsa --endpoints ${endpoints} put greeting hello`);
    teller.say(`  npx balsa --endpoints ${endpoints} get greeting`);
    teller.say(`Keys: 1-${last} kill or restart n1-n${last}, l load, s status, h help, q quit`);
  }

  /** Obeys one key. Failures are told, not thrown: the next key may put things right. */
  press(key: string): Promise<void> {
    const { cluster } = this.#options;
    if (/^[1-9]$/.test(key)) {
      const replica = cluster.replicas[Number(key) - 1];
      return replica === undefined ? Promise.resolve() : this.#toggle(replica.name);
    }
    if (key === 'l') return this.#once('load', () => this.#load());
    if (key === 's') return this.#once('status', () => this.#status());
    if (key === 'h' || key === '?') this.help();
    return Promise.resolve();
  }

  async end(): Promise<void> {
    this.#ended.abort();
    await Promise.all(this.#busy.values());
  }

  #toggle(name: string): Promise<void> {
    const { cluster, teller } = this.#options;
    return this.#once(name, async () => {
      const { running, pid } = cluster.replica(name);
      if (running) {
        await cluster.kill(name);
        teller.say(`killed ${name} (pid ${pid}) with SIGKILL`);
        return;
      }
      await cluster.start(name, { wait: false });
      teller.say(`started ${name} (pid ${cluster.replica(name).pid})`);
    });
  }

  async #status(): Promise<void> {
    const { cluster, teller } = this.#options;
    const lines = (await cluster.statuses()).map((status) => ({
      ...status,
      address: cluster.replica(status.replica).address,
    }));
    teller.say(formatReplicas(lines));
    for (const replica of cluster.replicas) {
      if (!replica.running) teller.say(`  ${replica.name} is down`);
    }
  }

  async #load(): Promise<void> {
    const { db, records, teller } = this.#options;
    const burst = records.slice(0, BURST_KEYS);
    const ledger = new Ledger();
    const failures = new Map<string, number>();
    const giveUp = new AbortController();
    const signal = AbortSignal.any([giveUp.signal, this.#ended.signal]);
    setMaxListeners(0, signal);
    const bar = teller.startBar('writes', burst.length);
    const startedMs = performance.now();
    await runLoad(db, {
      records: burst,
      ledger,
      random: seededRandom(startedMs),
      putTimeoutMs: BURST_TIMEOUT_MS,
      signal,
      more: (round) => round === 1,
      onAcknowledged: () => bar.step(),
      onFailed: ({ code }) => {
        failures.set(code, (failures.get(code) ?? 0) + 1);
        if (ledger.counts.unknown + ledger.counts.notApplied >= BURST_FAILURES_MAX) giveUp.abort();
      },
    }).catch((error: unknown) => {
      if (!giveUp.signal.aborted) throw error;
    });
    bar.end();
    const { acknowledged } = ledger.counts;
    const rate = Math.round((acknowledged / (performance.now() - startedMs)) * 1000);
    const failed = [...failures].map(([code, times]) => `, ${times} ${code}`).join('');
    teller.say(`load: ${acknowledged} puts acknowledged, ${rate}/s${failed}`);
  }

  /** One of a kind at a time: pressing the key again meanwhile does nothing. */
  #once(what: string, run: () => Promise<void>): Promise<void> {
    if (this.#busy.has(what)) return Promise.resolve();
    const done = run()
      .catch((error: unknown) => {
        if (this.#ended.signal.aborted) return;
        const known = asBalsaError(error);
        this.#options.teller.say(`${known.code}: ${known.message}`);
      })
      .finally(() => this.#busy.delete(what));
    this.#busy.set(what, done);
    return done;
  }
}
