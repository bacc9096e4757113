import { BalsaError } from '../../src/base/errors.js';
import type { Lease } from '../../src/client/lease.js';
import { Violation } from './scheduler.js';
import { SideClient, type TextClient } from './side-client.js';
import type { World } from './world.js';

/** Keys of its own, that the other clients do not touch. */
const PREFIX = 'leased/';
const KEYS_PER_LEASE = 3;
/** Beside its time to live: the last mark of time in the log at each change of leaders, ticks, the way through the log. */
const GONE_MARGIN_MS = 15_000;
const TTL_MS_MAX = 8000;

/**
 * A client that hangs keys on leases, keeps them alive for a while, and compacts, while the cluster is
 * disturbed. Checked against the true clock: no lease ends before its time, and its keys go together.
 */
export class StoreWorkload {
  readonly #world: World;
  readonly #client: SideClient;
  readonly #ttlMs: number;
  readonly #compactsEveryMs: number;

  constructor(world: World) {
    this.#world = world;
    this.#client = new SideClient(world, { name: 'leases', place: 0, seed: 0x1ea5e });
    const { random } = this.#client;
    this.#ttlMs = 1000 + random.int(TTL_MS_MAX - 1000);
    this.#compactsEveryMs = 2000 + random.int(15_000);
  }

  get isIdle(): boolean {
    return this.#client.isIdle;
  }

  /** So long after it was stopped, and the cluster serves, no lease is left. */
  get goneMs(): number {
    return 1.3 * this.#ttlMs + GONE_MARGIN_MS;
  }

  stop(): void {
    this.#client.stop();
  }

  start(): void {
    this.#client.start((db) => {
      this.#client.repeat(2000, () => this.#oneLease(db));
      this.#client.repeat(this.#compactsEveryMs, () => this.#compact(db));
    });
  }

  close(): Promise<void> {
    return this.#client.close();
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

  async #compact(db: TextClient): Promise<void> {
    const { random } = this.#client;
    const isOnce = random.int(4) > 0;
    const historyRevisions = 20 + random.int(200);
    const done = await this.#client.attempt(async () => {
      if (isOnce) await db.compact();
      else await db.settings.set({ historyRevisions });
      return true;
    });
    this.#world.coverage.count(`compaction: ${done === null ? 'not answered' : 'done'}`);
  }

  async #oneLease(db: TextClient): Promise<void> {
    const { scheduler, coverage } = this.#world;
    const ttlMs = this.#ttlMs;
    let keptAliveMs = scheduler.nowMs;
    const lease = await this.#client.attempt(() => db.lease({ ttlMs, keepAlive: false }));
    if (lease === null) return;
    const prefix = `${PREFIX}${lease.id}/`;
    const puts = Array.from({ length: KEYS_PER_LEASE }, (_, i) =>
      this.#client.attempt(() => putOrLost(db, `${prefix}${i}`, lease)),
    );
    const areThere = (await Promise.all(puts)).every((put) => put === true);
    for (
      let rounds = this.#client.random.int(6);
      rounds > 0 && !this.#client.isStopped;
      rounds -= 1
    ) {
      await this.#client.sleep(this.#client.random.next() * 0.8 * ttlMs);
      // The client gives it up before the cluster does.
      if (lease.signal.aborted) break;
      const sentMs = scheduler.nowMs;
      const kept = await this.#client.attempt(() => keepAliveOrLost(lease));
      if (kept === true) keptAliveMs = sentMs;
      if (kept === false) this.#checkNotEarly(keptAliveMs, `lease ${lease.id} is not found`);
    }
    if (areThere) await this.#watchKeys(db, { prefix, keptAliveMs });
    coverage.count(`lease: ${areThere ? 'watched' : 'without its keys'}`);
    if (this.#client.random.int(4) === 0) await this.#client.attempt(() => lease.revoke());
  }

  /** Looks at the keys until they are gone: all of them or none are there. */
  async #watchKeys(
    db: TextClient,
    { prefix, keptAliveMs }: { readonly prefix: string; readonly keptAliveMs: number },
  ): Promise<void> {
    while (!this.#client.isStopped) {
      const keys = await this.#client.attempt(async () => {
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
      await this.#client.sleep(this.#client.random.next() * 0.2 * this.#ttlMs);
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
