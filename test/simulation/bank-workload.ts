import { BalsaError } from '../../src/base/errors.js';
import { compare } from '../../src/client/compare.js';
import { op } from '../../src/client/op.js';
import { Violation } from './scheduler.js';
import { SideClient, type TextClient } from './side-client.js';
import type { World } from './world.js';

const CLIENTS = 2;
const ACCOUNTS = 4;
const BALANCE = 100;
const PREFIX = 'bank/';
/** Each transfer writes itself down under a name of its own. */
const TRANSFERS = 'transfers/';
/** Of these two never both are taken: each transaction reads both and writes one. */
const PAIR = ['pair/a', 'pair/b'] as const;
const PAUSE_MS = 4000;

interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly amount: number;
  outcome: 'unknown' | 'done' | 'not done';
}

/**
 * Transactions under faults: money is moved between accounts, and read at any level: the sum stays. In the end each transfer
 * that was acknowledged has been made, once, and none that was said not to be. And two keys of which one may be taken when
 * neither is: both never are (write skew).
 */
export class BankWorkload {
  readonly #world: World;
  readonly #clients: readonly SideClient[];
  /** By key. */
  readonly #transfers = new Map<string, Transfer>();

  constructor(world: World) {
    this.#world = world;
    this.#clients = Array.from(
      { length: CLIENTS },
      (_, i) => new SideClient(world, { name: `bank-${i}`, place: i + 1, seed: 0xba2c + i }),
    );
  }

  get isIdle(): boolean {
    return this.#clients.every(({ isIdle }) => isIdle);
  }

  start(): void {
    for (const [i, client] of this.#clients.entries()) {
      client.start((db) => {
        client.run(async () => {
          while (!client.isStopped && !(await this.#open(client, db))) await client.sleep(1000);
          client.repeat(PAUSE_MS, () => this.#step(client, db, PAIR[i % 2] ?? PAIR[0]));
        });
      });
    }
  }

  stop(): void {
    for (const client of this.#clients) client.stop();
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
  }

  #step(client: SideClient, db: TextClient, mine: string): Promise<void> {
    const dice = client.random.int(10);
    if (dice < 4) return this.#transfer(client, db);
    if (dice < 6) return this.#take(client, db, mine);
    if (dice < 7) return this.#giveBack(client, db);
    return this.#look(client, db);
  }

  /** @returns whether all accounts are there */
  async #open(client: SideClient, db: TextClient): Promise<boolean> {
    const puts = Array.from({ length: ACCOUNTS }, (_, i) => op.put(`${PREFIX}${i}`, `${BALANCE}`));
    const done = await client.attempt(() =>
      db
        .txn()
        .when(compare.absent(`${PREFIX}0`))
        .do(...puts, op.put(PAIR[0], 'free'), op.put(PAIR[1], 'free'))
        .commit(),
    );
    return done !== null;
  }

  async #transfer(client: SideClient, db: TextClient): Promise<void> {
    const from = client.random.int(ACCOUNTS);
    const to = (from + 1 + client.random.int(ACCOUNTS - 1)) % ACCOUNTS;
    const amount = 1 + client.random.int(30);
    const name = `${TRANSFERS}${this.#transfers.size}`;
    const transfer: Transfer = { from, to, amount, outcome: 'unknown' };
    this.#transfers.set(name, transfer);
    const done = await client.attempt(() =>
      outcomeOf(transfer, () =>
        db.transaction(async (tx) => {
          const balance = Number((await tx.get(`${PREFIX}${from}`)).value);
          if (balance < amount) return false;
          const other = Number((await tx.get(`${PREFIX}${to}`)).value);
          tx.put(`${PREFIX}${from}`, `${balance - amount}`);
          tx.put(`${PREFIX}${to}`, `${other + amount}`);
          tx.put(name, `${amount} from ${from} to ${to}`);
          return true;
        }),
      ),
    );
    if (done === true) client.world.coverage.count('bank: transfer done');
    if (done === false) client.world.coverage.count('bank: transfer refused');
  }

  /** When nothing is under way any more, and all replicas hold the same. @throws Violation */
  check(): void {
    const machine = this.#world.intact[0]?.replica?.machine;
    if (machine === undefined) return;
    const held = (key: string) => machine.get(Buffer.from(key), null);
    const due = Array.from({ length: ACCOUNTS }, () => BALANCE);
    for (const [name, { from, to, amount, outcome }] of this.#transfers) {
      const record = held(name);
      if (record === null ? outcome === 'done' : outcome === 'not done' || record.version !== 1) {
        const times = record?.version ?? 0;
        throw new Violation(
          `Bank: ${name} was made ${times} times, and its outcome was: ${outcome}`,
        );
      }
      if (record === null) continue;
      due[from] = (due[from] ?? 0) - amount;
      due[to] = (due[to] ?? 0) + amount;
    }
    const balances = due.map((_, i) => held(`${PREFIX}${i}`)?.value);
    // Nobody came so far as to open the accounts.
    if (balances.every((balance) => balance === undefined)) return;
    const found = balances.map((balance) => Number(Buffer.from(balance ?? []).toString()));
    if (found.join() !== due.join()) {
      throw new Violation(
        `Bank: the balances are ${found.join()}, and by all transfers ${due.join()}`,
      );
    }
    this.#world.coverage.count('bank: each transfer once');
  }

  async #take(client: SideClient, db: TextClient, mine: string): Promise<void> {
    const done = await client.attempt(() =>
      db.transaction(async (tx) => {
        const states = await Promise.all(PAIR.map(async (key) => (await tx.get(key)).value));
        if (states.some((state) => state === 'taken')) return false;
        tx.put(mine, 'taken');
        return true;
      }),
    );
    if (done === true) client.world.coverage.count('bank: one of the pair taken');
  }

  async #giveBack(client: SideClient, db: TextClient): Promise<void> {
    const puts = PAIR.map((key) => op.put(key, 'free'));
    await client.attempt(() =>
      db
        .txn()
        .do(...puts)
        .commit(),
    );
  }

  /** @throws Violation money was made or lost, or both of the pair are taken */
  async #look(client: SideClient, db: TextClient): Promise<void> {
    const consistency = client.random.int(2) === 0 ? 'linearizable' : 'any';
    const balances = await this.#values(client, db, { prefix: PREFIX, consistency });
    const sum = balances?.reduce((total, value) => total + Number(value), 0) ?? 0;
    if (balances !== null && balances.length > 0 && sum !== ACCOUNTS * BALANCE) {
      throw new Violation(`Bank: a read (${consistency}) saw the balances ${balances.join(', ')}`);
    }
    const pair = await this.#values(client, db, { prefix: 'pair/', consistency });
    if (pair !== null && pair.length > 0 && pair.every((state) => state === 'taken')) {
      throw new Violation(`Bank: a read (${consistency}) saw both of the pair taken`);
    }
    if (balances !== null) client.world.coverage.count('bank: looked at');
  }

  #values(
    client: SideClient,
    db: TextClient,
    options: { readonly prefix: string; readonly consistency: 'linearizable' | 'any' },
  ): Promise<string[] | null> {
    return client.attempt(async () => {
      const values: string[] = [];
      for await (const { value } of db.range(options)) values.push(value);
      return values;
    });
  }
}

/** Makes the transfer, and notes what is known of it. */
async function outcomeOf(transfer: Transfer, make: () => Promise<boolean>): Promise<boolean> {
  try {
    const done = await make();
    transfer.outcome = done ? 'done' : 'not done';
    return done;
  } catch (error) {
    // Of a read there is no outcome: nothing was written yet.
    if (error instanceof BalsaError && error.outcome !== 'unknown') transfer.outcome = 'not done';
    throw error;
  }
}
