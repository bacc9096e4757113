import type {
  ListOperation,
  ListTransaction,
} from '../../../jepsen-like/checkers/append/list-anomalies.js';
import { BalsaError } from '../../../src/base/errors.js';
import { compare } from '../../../src/client/compare.js';
import { op } from '../../../src/client/op.js';
import type { SideClient, TextClient } from '../side-client.js';
import { ACCOUNTS, BALANCE } from './invariant-checks.js';
import { BANK, HOT, LISTS, PAIR } from './native-procedures.js';

const PAUSE_MS = 6000;
const HOT_PUTS = 8;
const HOT_PAUSE_MS = 12;

/** A client that writes the same keys as the procedures, in transactions of its own. */
export class PlainWriter {
  readonly client: SideClient;
  readonly #listKey: () => string;
  /** What it did to lists, and read of them. */
  readonly listTransactions: ListTransaction[] = [];
  #db: TextClient | null = null;
  #serial = 0;
  isReady = false;

  /** @param listKey which list to append to now */
  constructor(client: SideClient, listKey: () => string) {
    this.client = client;
    this.#listKey = listKey;
  }

  async work(db: TextClient): Promise<void> {
    const { client } = this;
    this.#db = db;
    while (!client.isStopped && !(await this.#open(db))) await client.sleep(1000);
    this.isReady = true;
    client.repeat(PAUSE_MS, () => (client.random.int(2) === 0 ? this.append() : this.move()));
  }

  /** Money is put into accounts once. @returns whether it is there */
  async #open(db: TextClient): Promise<boolean> {
    const accounts = Array.from({ length: ACCOUNTS }, (_, i) =>
      op.put(`${BANK}${i}`, `${BALANCE}`),
    );
    const sides = ['a', 'b'].map((side) => op.put(`${PAIR}${side}`, '1'));
    const done = await this.client.attempt(() =>
      db
        .txn()
        .when(compare.absent(`${BANK}0`))
        .do(...accounts, ...sides)
        .commit(),
    );
    return done !== null;
  }

  /** From one account to another. */
  async move(): Promise<void> {
    const db = this.#db;
    if (db === null) return;
    const { random, world } = this.client;
    const from = random.int(ACCOUNTS);
    const to = (from + 1 + random.int(ACCOUNTS - 1)) % ACCOUNTS;
    const amount = 1 + random.int(20);
    const done = await this.client.attempt(() =>
      db.transaction(async (tx) => {
        const balance = Number((await tx.get(`${BANK}${from}`)).value);
        if (balance < amount) return false;
        const other = Number((await tx.get(`${BANK}${to}`)).value);
        tx.put(`${BANK}${from}`, `${balance - amount}`);
        tx.put(`${BANK}${to}`, `${other + amount}`);
        return true;
      }),
    );
    if (done === true) world.coverage.count('calls: a client moved money itself');
  }

  /** To a list, and it reads another one. */
  async append(): Promise<void> {
    const db = this.#db;
    if (db === null) return;
    this.#serial += 1;
    const value = `p${this.#serial}`;
    const [own, other] = [this.#listKey(), this.#listKey()];
    const beginMs = this.client.nowMs;
    const appended: ListOperation = { type: 'append', key: own, value };
    let reads: ListOperation[] = [];
    const note = (status: ListTransaction['status'], endMs: number): void => {
      const operations = status === 'applied' ? [...reads, appended] : [appended];
      this.listTransactions.push({
        ...{ name: `the transaction ${value}`, status, operations, beginMs, endMs, isStrict: true },
      });
    };
    try {
      await db.transaction(async (tx) => {
        const read = async (key: string): Promise<string[]> => {
          const { value: text } = await tx.get(`${LISTS}${key}`);
          return text === undefined ? [] : (JSON.parse(text) as string[]);
        };
        const lists = [await read(own), await read(other)] as const;
        reads = [own, other].map((key, i) => ({ type: 'read', key, values: lists[i] ?? [] }));
        tx.put(`${LISTS}${own}`, JSON.stringify([...lists[0], value]));
      });
      note('applied', this.client.nowMs);
      this.client.world.coverage.count('calls: a client appended itself');
    } catch (error) {
      const isSure = error instanceof BalsaError && error.outcome !== 'unknown';
      note(isSure ? 'failed' : 'unknown', Number.POSITIVE_INFINITY);
      await this.client.attempt(() => Promise.reject(error));
    }
  }

  /** Writes one key again and again for a while: whoever reads it has to look again. */
  async heat(): Promise<void> {
    const { client } = this;
    for (let left = HOT_PUTS; left > 0 && this.#db !== null && !client.isStopped; left -= 1) {
      const db = this.#db;
      this.#serial += 1;
      const value = `${this.#serial}`;
      client.run(async () => {
        await client.attempt(() => db.put(HOT, value));
      });
      await client.sleep(client.random.next() * HOT_PAUSE_MS);
    }
  }
}
