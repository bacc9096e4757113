import { BalsaError } from '../../src/base/errors.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { text } from '../../src/client/codec.js';
import { type Client, openClient } from '../../src/client/kv-client.js';
import type { Lease } from '../../src/client/lease.js';
import { MachineTime } from './machine-time.js';
import { UNAVAILABLE } from './ordinary-errors.js';
import { Violation } from './scheduler.js';
import type { World } from './world.js';

type TextClient = Client<string, string, 'text'>;

/** Keys of its own, that the other clients do not touch. */
const PREFIX = 'leased/';
const KEYS_PER_LEASE = 3;
/** Beside its time to live: the last mark of time in the log at each change of leaders, ticks, the way through the log. */
const GONE_MARGIN_MS = 15_000;
const TTL_MS_MAX = 8000;

/** And those of this workload's own calls. */
const ORDINARY = new Set([...UNAVAILABLE, 'CLIENT_CLOSED', 'COMPACTED', 'UPGRADE_PENDING']);

/**
 * A client that hangs keys on leases, keeps them alive for a while, and compacts, while the cluster is
 * disturbed. Checked against the true clock: no lease ends before its time, and its keys go together.
 */
export class StoreWorkload {
  readonly #world: World;
  /** Not the stream of the run: what was drawn before stays what it was. */
  readonly #random: Random;
  readonly #ttlMs: number;
  readonly #compactsEveryMs: number;
  #db: TextClient | null = null;
  #isStopped = false;
  #underWay = 0;

  constructor(world: World) {
    this.#world = world;
    this.#random = seededRandom(world.options.seed * 3 + 0x1ea5e);
    this.#ttlMs = 1000 + this.#random.int(TTL_MS_MAX - 1000);
    this.#compactsEveryMs = 2000 + this.#random.int(15_000);
  }

  /** Nothing is under way any more. */
  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  /** So long after it was stopped, and the cluster serves, no lease is left. */
  get goneMs(): number {
    return 1.3 * this.#ttlMs + GONE_MARGIN_MS;
  }

  stop(): void {
    this.#isStopped = true;
  }

  start(): void {
    this.#run(async () => {
      this.#db = await this.#open();
      const db = this.#db;
      this.#run(() => this.#leases(db));
      this.#run(() => this.#compactions(db));
    });
  }

  async close(): Promise<void> {
    await this.#db?.close();
  }

  /** @throws Violation when a replica still has leases or keys on them */
  checkGone(): void {
    for (const { name, replica } of this.#world.intact) {
      const left = replica?.machine.leases() ?? [];
      if (left.length === 0) continue;
      throw new Violation(
        `Leases: ${name} still has lease ${left[0]?.lease}, which nobody keeps alive`,
      );
    }
  }

  get isGone(): boolean {
    return this.#world.intact.every(({ replica }) => (replica?.machine.leases().length ?? 0) === 0);
  }

  #run(work: () => Promise<void>): void {
    this.#underWay += 1;
    work().then(
      () => {
        this.#underWay -= 1;
      },
      (error: unknown) => this.#world.scheduler.fail(error as Error),
    );
  }

  async #open(): Promise<TextClient> {
    const { scheduler, network, endpoints, options } = this.#world;
    const random = seededRandom(this.#random.int(2 ** 31));
    const place = this.#world.clientPlace(0);
    return (await openClient(
      {
        endpoints,
        codec: text,
        timeoutMs: options.clientTimeoutMs,
        connectTimeoutMs: 60_000,
        clientName: 'leases',
      },
      {
        clock: new MachineTime(scheduler, place).clock(),
        random,
        dial: (dialled) => network.dial(place, dialled),
        newSessionId: () => Buffer.from(Array.from({ length: 16 }, () => random.int(256))),
      },
    )) as TextClient;
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.scheduler.plan(delayMs, resolve);
    });
  }

  /** What `ask` gives; `null` when the cluster could not be asked. */
  async #attempt<T>(ask: () => Promise<T>): Promise<T | null> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof BalsaError && ORDINARY.has(error.code)) return null;
      throw error;
    }
  }

  async #compactions(db: TextClient): Promise<void> {
    while (!this.#isStopped) {
      await this.#sleep(this.#random.next() * this.#compactsEveryMs);
      if (this.#isStopped) return;
      const isOnce = this.#random.int(4) > 0;
      const historyRevisions = 20 + this.#random.int(200);
      const done = await this.#attempt(async () => {
        if (isOnce) await db.compact();
        else await db.settings.set({ historyRevisions });
        return true;
      });
      this.#world.coverage.count(`compaction: ${done === null ? 'not answered' : 'done'}`);
    }
  }

  async #leases(db: TextClient): Promise<void> {
    while (!this.#isStopped) {
      await this.#sleep(this.#random.next() * 2000);
      if (!this.#isStopped) await this.#oneLease(db);
    }
  }

  async #oneLease(db: TextClient): Promise<void> {
    const { scheduler, coverage } = this.#world;
    const ttlMs = this.#ttlMs;
    let keptAliveMs = scheduler.nowMs;
    const lease = await this.#attempt(() => db.lease({ ttlMs, keepAlive: false }));
    if (lease === null) return;
    const prefix = `${PREFIX}${lease.id}/`;
    const puts = Array.from({ length: KEYS_PER_LEASE }, (_, i) =>
      this.#attempt(() => putOrLost(db, `${prefix}${i}`, lease)),
    );
    const areThere = (await Promise.all(puts)).every((put) => put === true);
    for (let rounds = this.#random.int(6); rounds > 0 && !this.#isStopped; rounds -= 1) {
      await this.#sleep(this.#random.next() * 0.8 * ttlMs);
      // The client gives it up before the cluster does.
      if (lease.signal.aborted) break;
      const sentMs = scheduler.nowMs;
      const kept = await this.#attempt(() => keepAliveOrLost(lease));
      if (kept === true) keptAliveMs = sentMs;
      if (kept === false) this.#checkNotEarly(keptAliveMs, `lease ${lease.id} is not found`);
    }
    if (areThere) await this.#watchKeys(db, { prefix, keptAliveMs });
    coverage.count(`lease: ${areThere ? 'watched' : 'without its keys'}`);
    if (this.#random.int(4) === 0) await this.#attempt(() => lease.revoke());
  }

  /** Looks at the keys until they are gone: all of them or none are there. */
  async #watchKeys(
    db: TextClient,
    { prefix, keptAliveMs }: { readonly prefix: string; readonly keptAliveMs: number },
  ): Promise<void> {
    while (!this.#isStopped) {
      const keys = await this.#attempt(async () => {
        const found: string[] = [];
        for await (const { key } of db.range({ prefix })) found.push(key);
        return found;
      });
      if (keys !== null && keys.length % KEYS_PER_LEASE !== 0) {
        throw new Violation(`Leases: of the keys ${prefix} only ${keys.join(', ')} are there`);
      }
      if (keys?.length === 0) {
        this.#checkNotEarly(keptAliveMs, `the keys ${prefix} are gone`);
        this.#world.coverage.count('lease: seen to have expired');
        return;
      }
      await this.#sleep(this.#random.next() * 0.2 * this.#ttlMs);
    }
  }

  /** By the true clock; the leader's may be too fast by the drift that there is. */
  #checkNotEarly(keptAliveMs: number, what: string): void {
    const { scheduler, options } = this.#world;
    const lived = scheduler.nowMs - keptAliveMs;
    if (lived * (1 + options.driftPercentMax / 100) >= this.#ttlMs - 1) return;
    throw new Violation(
      `Leases: ${what} ${lived.toFixed(0)} ms after the lease of ${this.#ttlMs} ms was kept alive`,
    );
  }
}

/** `false`: the lease has ended. */
function keepAliveOrLost(lease: Lease): Promise<boolean> {
  return orLost(lease.keepAlive());
}

function putOrLost(db: TextClient, key: string, lease: Lease): Promise<boolean> {
  return orLost(db.put(key, 'x', { lease }));
}

async function orLost(done: Promise<unknown>): Promise<boolean> {
  try {
    await done;
    return true;
  } catch (error) {
    if (error instanceof BalsaError && error.code === 'LEASE_NOT_FOUND') return false;
    throw error;
  }
}
