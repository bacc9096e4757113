import { BalsaError } from '../../src/base/errors.js';
import { type Random, randomBytes, seededRandom } from '../../src/base/random.js';
import { text } from '../../src/client/codec.js';
import { type Client, openClient } from '../../src/client/kv-client.js';
import type { ReadFrom } from '../../src/client/options.js';
import { MachineTime } from './machine-time.js';
import { UNAVAILABLE } from './ordinary-errors.js';
import type { World } from './world.js';

export type TextClient = Client<string, string, 'text'>;

/** And those of the side clients' own calls. */
const ORDINARY = new Set([
  ...UNAVAILABLE,
  'CLIENT_CLOSED',
  'COMPACTED',
  'COMPACTION_HELD',
  'LOCK_LOST',
  'REVISION_IN_USE',
  // The later reads of a transaction show the revision of its first, at the replica that is asked then.
  'SESSION_BEHIND',
  'TXN_CONFLICT',
  'UPGRADE_PENDING',
]);

/** A client beside the main workload, with keys of its own that the other clients do not touch. */
export class SideClient {
  readonly world: World;
  /** Not the stream of the run: what was drawn before stays what it was. */
  readonly random: Random;
  /** Of its machine: may be paused. */
  readonly time: MachineTime;
  readonly #name: string;
  readonly #place: number;
  readonly #readFrom: ReadFrom | undefined;
  readonly #endpoints: readonly string[] | undefined;
  #db: TextClient | null = null;
  #isStopped = false;
  #underWay = 0;

  /** @param place which of the clients' machines it runs at */
  constructor(
    world: World,
    who: {
      readonly name: string;
      readonly place: number;
      readonly seed: number;
      readonly readFrom?: ReadFrom | undefined;
      /** It begins with these, and stays there whoever leads. Default: all. */
      readonly endpoints?: readonly string[];
    },
  ) {
    this.world = world;
    this.random = seededRandom(world.options.seed * 3 + who.seed);
    this.#name = who.name;
    this.#place = world.clientPlace(who.place);
    this.#readFrom = who.readFrom;
    this.#endpoints = who.endpoints;
    this.time = new MachineTime(world.scheduler, this.#place);
  }

  /** `null`: it is not open yet. */
  get db(): TextClient | null {
    return this.#db;
  }

  get nowMs(): number {
    return this.world.scheduler.nowMs;
  }

  /** Nothing is under way any more. */
  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Does the work with a client of its own. What it throws is a violation. */
  start(work: (db: TextClient) => void): void {
    this.run(async () => {
      this.#db = await this.#open();
      work(this.#db);
    });
  }

  run(work: () => Promise<void>): void {
    this.#underWay += 1;
    work().then(
      () => {
        this.#underWay -= 1;
      },
      (error: unknown) => this.world.scheduler.fail(error as Error),
    );
  }

  /** Again and again, with pauses of at most so long, until it is stopped. */
  repeat(pauseMs: number, work: () => Promise<void>): void {
    this.run(async () => {
      while (!this.#isStopped) {
        await this.sleep(this.random.next() * pauseMs);
        if (!this.#isStopped) await work();
      }
    });
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.world.scheduler.plan(delayMs, resolve);
    });
  }

  /** What `ask` gives; `null` when the cluster could not be asked. */
  async attempt<T>(ask: () => Promise<T>): Promise<T | null> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof BalsaError && ORDINARY.has(error.code)) return null;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#db?.close();
  }

  async #open(): Promise<TextClient> {
    const { network, endpoints, options } = this.world;
    const random = seededRandom(this.random.int(2 ** 31));
    return (await openClient(
      {
        ...(this.#endpoints === undefined
          ? { endpoints }
          : { endpoints: this.#endpoints, followLeader: false }),
        codec: text,
        timeoutMs: options.clientTimeoutMs,
        connectTimeoutMs: 60_000,
        clientName: this.#name,
        readFrom: this.#readFrom,
      },
      {
        clock: this.time.clock(),
        random,
        dial: (dialled) => network.dial(this.#place, dialled),
        newSessionId: () => randomBytes(random, 16),
      },
    )) as TextClient;
  }
}
