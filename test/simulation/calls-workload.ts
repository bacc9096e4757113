import { LIMITS } from '../../src/base/limits.js';
import type { Random } from '../../src/base/random.js';
import {
  checkCounters,
  checkLists,
  checkSameAnswers,
  checkVersions,
} from './calls/answer-checks.js';
import { CallLedger, fateOf, type LedgerCall } from './calls/call-ledger.js';
import type { CallObserver } from './calls/call-observer.js';
import { type AskWish, Caller, type CallWish } from './calls/caller.js';
import type { CallsOptions } from './calls/calls-options.js';
import { Deployer } from './calls/deployer.js';
import { ACCOUNTS, checkBalances, checkSeats, checkSides } from './calls/invariant-checks.js';
import { LogChecks } from './calls/log-checks.js';
import { bundleOf, COUNTERS, LISTS, type NativeName } from './calls/native-procedures.js';
import { PlainWriter } from './calls/plain-writer.js';
import { replay } from './calls/replay.js';
import { Violation } from './scheduler.js';
import { SideClient, type TextClient } from './side-client.js';
import type { World } from './world.js';

const CALLERS = 3;
const LIST_KEYS = 3;
/** Another list takes the place of one that has become so long. */
const LIST_LENGTH = 25;
const COUNTER_KEYS = 2;
const HURRIED_PAUSE_MS = 300;

/** Procedures that write, and how often each is called. */
const WRITERS: readonly (readonly [NativeName, number])[] = [
  ...([['transfer', 24] as const, ['append', 24] as const, ['count', 12] as const] as const),
  ...([['take', 10] as const, ['give', 6] as const, ['seat', 12] as const] as const),
  ...([['leave', 6] as const, ['chase', 8] as const, ['look', 6] as const] as const),
];
const READERS: readonly NativeName[] = [
  'audit',
  'audit',
  'sides',
  'seats',
  'lists',
  'lists',
  'counted',
];

/** Each call of a name that must be found out what became of it has so long, when there are no faults any more. */
const SETTLE_MS = 20_000;
const SETTLED_AT_ONCE = 8;

/**
 * Clients that call procedures under faults, beside clients that write the same keys themselves: the calls must be strictly
 * serializable, count once, and run the code that their names stand for. What is checked: `calls/log-checks` and
 * `calls/answer-checks`.
 */
export class CallsWorkload {
  readonly #world: World;
  readonly #options: CallsOptions;
  readonly #observer: CallObserver;
  readonly #ledger = new CallLedger();
  readonly #callers: readonly Caller[];
  readonly #writer: PlainWriter;
  readonly #deployer: Deployer;
  readonly #clients: readonly SideClient[];
  /** Appended so far, by list. */
  readonly #lengths = new Map<string, number>();
  #lists = Array.from({ length: LIST_KEYS }, (_, i) => `l${i}`);
  #listsBegun = LIST_KEYS;
  #wake: (() => void)[] = [];

  constructor(world: World, options: CallsOptions, observer: CallObserver) {
    this.#world = world;
    this.#options = options;
    this.#observer = observer;
    const client = (name: string, place: number, readFrom?: 'spread'): SideClient =>
      new SideClient(world, { name, place, seed: 0xca11 + place, readFrom });
    this.#callers = Array.from({ length: CALLERS }, (_, i) => {
      const name = `caller-${i}`;
      return new Caller(name, client(name, i, i === 1 ? 'spread' : undefined), this.#ledger);
    });
    const writing = client('writer', CALLERS);
    this.#writer = new PlainWriter(writing, () => this.#list());
    this.#deployer = new Deployer(writing, this.#ledger);
    this.#clients = [...this.#callers.map((caller) => caller.client), writing];
  }

  get isIdle(): boolean {
    return this.#clients.every(({ isIdle }) => isIdle);
  }

  start(): void {
    const { client } = this.#writer;
    client.start((db) => {
      client.run(() => this.#writer.work(db));
      client.run(() => this.#deployer.work(db));
    });
    for (const caller of this.#callers) {
      caller.client.start((db) => {
        caller.use(db);
        caller.client.run(() => this.#work(caller, db));
      });
    }
  }

  /** Something happens to the cluster: some do not wait for their time. */
  hurry(): void {
    if (this.#writer.client.random.int(2) === 0) this.#wakeAll();
  }

  #wakeAll(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const one of wake) one();
  }

  /** From now on only what became of calls of a name is found out. */
  stop(): void {
    for (const client of this.#clients) client.stop();
    this.#wakeAll();
    const [first] = this.#callers;
    first?.client.run(() => this.#settle(first));
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
  }

  /** When all is quiet. @throws Violation */
  check(): void {
    const { history, coverage } = this.#world;
    const { namedCallKeptMs } = this.#options.bounds;
    const ledger = this.#ledger;
    new LogChecks({ ledger, history, observer: this.#observer, namedCallKeptMs }).check();
    let final: ReadonlyMap<string, string> = new Map();
    replay(history, ({ after }) => {
      final = after;
    });
    this.#checkHeld(final);
    checkSameAnswers(ledger);
    checkVersions(ledger, coverage);
    // One that was forgotten may have been applied twice, as was promised.
    if (namedCallKeptMs < LIMITS.namedCallKeptMs) return;
    checkCounters(
      ledger,
      new Map(below(COUNTERS, final).map(([key, value]) => [key, value as number])),
    );
    const lists = below(LISTS, final) as [string, string[]][];
    checkLists(ledger, this.#writer.listTransactions, Object.fromEntries(lists));
  }

  // -------------------------------------------------------------------------------------------

  async #work(caller: Caller, db: TextClient): Promise<void> {
    const { client } = caller;
    const { pauseMs } = this.#options;
    while (!client.isStopped) {
      await this.#pause(client, pauseMs);
      if (client.isStopped) return;
      if (this.#deployer.isReady && this.#writer.isReady) await this.#step(caller, db);
    }
  }

  /** Until its time is over, or something happens. */
  #pause(client: SideClient, pauseMs: number): Promise<void> {
    return new Promise((resolve) => {
      const planned = this.#world.scheduler.plan(client.random.next() * pauseMs, resolve);
      this.#wake.push(() => {
        planned.cancel();
        this.#world.scheduler.plan(client.random.next() * HURRIED_PAUSE_MS, resolve);
      });
    });
  }

  async #step(caller: Caller, db: TextClient): Promise<void> {
    const { random } = caller.client;
    if (random.int(4) === 0) {
      await this.#read(caller, db);
      return;
    }
    const name = drawFrom(random, WRITERS);
    const isAny = random.int(4) === 0;
    if (name === 'chase') caller.client.run(() => this.#writer.heat());
    // In the middle of what the calls are run over.
    if (name === 'transfer' && random.int(3) === 0) caller.client.run(() => this.#writer.move());
    if (name === 'append' && random.int(3) === 0) caller.client.run(() => this.#writer.append());
    const burst = 1 + random.int(this.#options.burst);
    const calls = Array.from({ length: burst }, () => this.#write(caller, name, isAny));
    await Promise.all(calls);
  }

  async #write(caller: Caller, name: NativeName, isAny: boolean): Promise<void> {
    const { random } = caller.client;
    const id = this.#ledger.newId();
    const isNamed = random.int(3) === 0;
    const wish: CallWish = {
      id,
      name,
      isNamed,
      alias: this.#alias(random),
      args: this.#args(random, name, id),
    };
    const how: AskWish = {
      route: isAny ? 'any' : undefined,
      timeoutMs: random.int(4) === 0 ? 150 + random.int(500) : undefined,
    };
    const call = await caller.call(wish, how);
    if (isNamed && fateOf(call) === 'unknown' && random.int(2) === 0) {
      await this.#askAgain(call, random);
    }
  }

  /** Others ask for it, one or two of them at once. */
  async #askAgain(call: LedgerCall, random: Random): Promise<void> {
    const { coverage } = this.#world;
    const first = random.int(CALLERS);
    const several = random.int(2) === 0 ? [first] : [first, (first + 1) % CALLERS];
    coverage.count(`calls: asked again by ${several.length}`);
    await Promise.all(
      several.map((which) => {
        const route = random.int(4) === 0 ? 'any' : undefined;
        return this.#callers[which]?.ask(call, { route });
      }),
    );
  }

  #alias(random: Random): string | undefined {
    const dice = random.int(20);
    if (dice < 16) return undefined;
    if (dice < 19) return 'next';
    return bundleOf(this.#deployer.someVersion).hash.slice(0, 12);
  }

  #args(random: Random, name: NativeName, id: string): unknown {
    switch (name) {
      case 'transfer': {
        const from = random.int(ACCOUNTS);
        const to = (from + 1 + random.int(ACCOUNTS - 1)) % ACCOUNTS;
        return { id, from, to, amount: 1 + random.int(60) };
      }
      case 'take':
      case 'give':
        return { id, mine: random.int(2) === 0 ? 'a' : 'b' };
      case 'count':
        return { id, counter: `n${random.int(COUNTER_KEYS)}`, by: 1 + random.int(9) };
      case 'append': {
        const reads = random.int(2) === 0 ? [this.#anyList(random)] : [];
        const appends = Array.from({ length: 1 + random.int(2) }, (_, i) => [
          this.#listFor(random),
          `${id}.${i}`,
        ]);
        return { id, reads, appends };
      }
      default:
        return { id };
    }
  }

  #anyList(random: Random): string {
    return this.#lists[random.int(this.#lists.length)] as string;
  }

  #list(): string {
    return this.#listFor(this.#writer.client.random);
  }

  /** For one value more. */
  #listFor(random: Random): string {
    const key = this.#anyList(random);
    const length = (this.#lengths.get(key) ?? 0) + 1;
    this.#lengths.set(key, length);
    if (length >= LIST_LENGTH) {
      const next = `l${this.#listsBegun}`;
      this.#listsBegun += 1;
      this.#lists = this.#lists.map((list) => (list === key ? next : list));
    }
    return key;
  }

  async #read(caller: Caller, db: TextClient): Promise<void> {
    const { random } = caller.client;
    const name = READERS[random.int(READERS.length)] as NativeName;
    const args = name === 'lists' ? this.#lists : null;
    const consistency = [
      ...(['any', 'session', 'linearizable', undefined] as const),
      { bounded: 500 + random.int(4000) },
      { session: db.token },
    ][random.int(6)];
    // A level says where it runs.
    const route = random.int(8) === 0 && consistency === undefined ? 'any' : undefined;
    const wish = { id: this.#ledger.newId(), name, args, isNamed: false };
    const call = await caller.call(wish, { consistency, route });
    for (const { answer } of call.asks) {
      if (answer === null) continue;
      const { balances, a, b, taken } = answer.result as Record<string, unknown[]>;
      const when = `a read (${JSON.stringify(consistency)}) of revision ${answer.revision} saw that`;
      // Before they were opened there were none.
      if (balances !== undefined && balances.length > 0) checkBalances(balances, when);
      if (a != null && b != null) checkSides([a, b], when);
      if (taken !== undefined) checkSeats(taken, when);
    }
  }

  // -------------------------------------------------------------------------------------------

  /** Nothing goes wrong any more: whoever asks again under the same key is told what became of it. */
  async #settle(caller: Caller): Promise<void> {
    const { scheduler, coverage } = this.#world;
    const open = [...this.#ledger.calls.values()].filter(
      (call) => call.isNamed && fateOf(call) === 'unknown',
    );
    const untilMs = scheduler.nowMs + SETTLE_MS;
    const settle = async (): Promise<void> => {
      for (let call = open.pop(); call !== undefined; call = open.pop()) {
        while (!isSettled(call)) {
          if (scheduler.nowMs > untilMs) {
            const told = call.asks.at(-1)?.error?.message;
            throw new Violation(`Calls: ${call.id} is not answered at the end: ${told}`);
          }
          await caller.ask(call, { timeoutMs: 5000 });
          coverage.count('calls: asked again at the end');
        }
      }
    };
    await Promise.all(Array.from({ length: SETTLED_AT_ONCE }, settle));
  }

  /** What is held must be what was written. @throws Violation */
  #checkHeld(final: ReadonlyMap<string, string>): void {
    for (const { name, replica } of this.#world.intact) {
      if (replica === null) continue;
      for (const [key, value] of final) {
        const held = replica.machine.get(Buffer.from(key), null);
        const found = held === null ? null : Buffer.from(held.value).toString();
        if (found === value) continue;
        throw new Violation(`Calls: ${name} holds ${found} in ${key}, where ${value} was written`);
      }
    }
  }
}

/** The last who asked was told something that another attempt would not change. */
function isSettled(call: LedgerCall): boolean {
  const last = call.asks.at(-1)?.error;
  return last === null || last?.outcome === 'not-applied' || last?.code === 'CALL_EXPIRED';
}

function below(prefix: string, state: ReadonlyMap<string, string>): [string, unknown][] {
  const keys = [...state.keys()].filter((key) => key.startsWith(prefix));
  return keys.map((key) => [key.slice(prefix.length), JSON.parse(state.get(key) as string)]);
}

function drawFrom<T>(random: Random, from: readonly (readonly [T, number])[]): T {
  let dice = random.int(from.reduce((sum, [, weight]) => sum + weight, 0));
  for (const [one, weight] of from) {
    dice -= weight;
    if (dice < 0) return one;
  }
  throw new Error('nothing to draw from');
}
