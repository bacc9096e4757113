import type { Lock } from '../../src/client/lock.js';
import { op } from '../../src/client/op.js';
import { Violation } from './scheduler.js';
import { SideClient, type TextClient } from './side-client.js';
import type { World } from './world.js';

const CLIENTS = 3;
const NAME = 'the-lock';
/** What is written under the lock. */
const KEY = 'locked/ledger';
const WRITES_MAX = 4;
const TTL_MS_MIN = 1000;
const TTL_MS_MAX = 5000;
/** Of the time to live: so long one waits for its turn. */
const PATIENCE = 2;

/** A write under the lock that was done. */
interface Fenced {
  readonly token: number;
  readonly revision: number;
  readonly who: string;
}

/**
 * Clients that take a lock in turn and write under its condition, and that are now and then stopped
 * (SIGSTOP) while they hold it, and write when they go on. No two hold it at one time by their own clocks,
 * later holders have higher tokens, and no write of an earlier holder comes behind one of a later one.
 */
export class LockWorkload {
  readonly #holders: readonly Holder[];
  readonly #fenced: Fenced[] = [];
  #highestToken = 0;

  constructor(world: World) {
    this.#holders = Array.from(
      { length: CLIENTS },
      (_, i) => new Holder(world, i, (who, lock) => this.#taken(who, lock), this.#fenced),
    );
  }

  get isIdle(): boolean {
    return this.#holders.every(({ client }) => client.isIdle);
  }

  /** So long after it was stopped nobody waits or holds any more. */
  get goneMs(): number {
    return (PATIENCE + 2) * TTL_MS_MAX;
  }

  start(): void {
    for (const holder of this.#holders) holder.start();
  }

  stop(): void {
    for (const { client } of this.#holders) client.stop();
  }

  async close(): Promise<void> {
    for (const { client } of this.#holders) await client.close();
  }

  /** @throws Violation a write of a holder that had lost the lock was done */
  check(): void {
    const inOrder = [...this.#fenced].sort((a, b) => a.revision - b.revision);
    for (const [i, later] of inOrder.entries()) {
      const earlier = inOrder[i - 1];
      if (earlier === undefined || earlier.token <= later.token) continue;
      throw new Violation(
        `Locks: ${later.who} wrote with token ${later.token} at revision ${later.revision}, behind ` +
          `${earlier.who} with token ${earlier.token} at revision ${earlier.revision}`,
      );
    }
  }

  #taken(who: Holder, { fencingToken }: Lock): void {
    if (fencingToken <= this.#highestToken) {
      throw new Violation(
        `Locks: ${who.name} has token ${fencingToken}, and ${this.#highestToken} was given before`,
      );
    }
    this.#highestToken = fencingToken;
    const other = this.#holders.find((holder) => holder !== who && holder.lock?.held === true);
    if (other === undefined) return;
    throw new Violation(
      `Locks: ${who.name} has token ${fencingToken}, while ${other.name} holds ${other.lock?.fencingToken}`,
    );
  }
}

class Holder {
  readonly name: string;
  readonly client: SideClient;
  readonly #ttlMs: number;
  readonly #taken: (who: Holder, lock: Lock) => void;
  readonly #fenced: Fenced[];
  #lock: Lock | null = null;

  constructor(
    world: World,
    place: number,
    taken: (who: Holder, lock: Lock) => void,
    fenced: Fenced[],
  ) {
    this.name = `holder-${place}`;
    this.client = new SideClient(world, { name: this.name, place, seed: 0x10c4 + place });
    this.#ttlMs = TTL_MS_MIN + this.client.random.int(TTL_MS_MAX - TTL_MS_MIN);
    this.#taken = taken;
    this.#fenced = fenced;
  }

  get lock(): Lock | null {
    return this.#lock;
  }

  start(): void {
    this.client.start((db) => this.client.repeat(6000, () => this.#once(db)));
  }

  async #once(db: TextClient): Promise<void> {
    const { client } = this;
    const { coverage } = client.world;
    const timeoutMs = PATIENCE * this.#ttlMs;
    const lock = await client.attempt(() => db.lock(NAME, { ttlMs: this.#ttlMs, timeoutMs }));
    if (lock === null) return;
    this.#taken(this, lock);
    this.#lock = lock;
    coverage.count('lock: taken');
    if (client.random.int(4) === 0) await this.#suspended();
    for (let left = 1 + client.random.int(WRITES_MAX); left > 0; left -= 1) {
      const done = await client.attempt(() =>
        db
          .txn()
          .when(lock.condition)
          .do(op.put(KEY, `${lock.fencingToken}`))
          .commit(),
      );
      if (done?.succeeded === false) {
        coverage.count('lock: a write of a former holder refused');
        break;
      }
      if (done !== null) this.#write(lock, done.revision);
      await client.sleep(client.random.next() * 0.3 * this.#ttlMs);
    }
    if (!lock.held) coverage.count('lock: lost by the clock of its holder');
    await client.attempt(() => lock.release());
    this.#lock = null;
  }

  #write(lock: Lock, revision: number): void {
    this.#fenced.push({ token: lock.fencingToken, revision, who: this.name });
  }

  /** Its process stands still, mostly for longer than the lock is kept for it. */
  async #suspended(): Promise<void> {
    const { time, world, random } = this.client;
    world.coverage.count('lock: holder suspended');
    time.pause();
    await this.client.sleep(2 * random.next() * this.#ttlMs);
    time.resume();
  }
}
