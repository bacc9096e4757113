import type { KeyContent } from '../../src/base/operation.js';
import { randomBytes, seededRandom } from '../../src/base/random.js';
import { text } from '../../src/client/codec.js';
import { openClient } from '../../src/client/kv-client.js';
import type { ConnectOptions } from '../../src/client/options.js';
import type { StateMachine } from '../../src/statemachine/state-machine.js';
import { LevelReads, type TextClient } from './level-reads.js';
import { type Call, checkRegister, describeOperations, type Operation } from './linearizability.js';
import type { Machine } from './machine.js';
import { MachineTime } from './machine-time.js';
import { isOrdinary } from './ordinary-errors.js';
import { type Planned, Violation } from './scheduler.js';
import type { ReadsFrom } from './swarm.js';
import type { World } from './world.js';

/** What was asked of one key, and what is known of its puts. */
class KeyHistory {
  readonly operations: Operation[] = [];
  /** Revision by value, of puts that were acknowledged. */
  readonly acknowledged = new Map<string, number>();
  readonly notApplied = new Set<string>();
  readonly tried = new Set<string>();

  constructor(readonly key: string) {}
}

/** Keys in use while clients hurry. */
const HURRIED_KEYS = 2;

/** One client gives up a probe after so many. */
const PROBES_MAX = 20;
/** A refusal may take no time at all. */
const PROBE_PAUSE_MS = 500;

/**
 * Clients of the real library that write and read while the cluster is disturbed. What they were told
 * is kept, and checked at the end: linearizable, nothing lost, nothing applied twice.
 */
export class Workload {
  readonly #world: World;
  readonly #histories: KeyHistory[];
  readonly #clients: Client[] = [];
  /** Clients that only read, at all levels. */
  readonly #readers: Reader[] = [];
  readonly #levels: LevelReads;
  #isStopped = false;
  /** Until then clients hardly pause, and all work on few keys: when leaders change, what counts is quick. */
  #hurryUntilMs = 0;
  #hurriedPauseMs = 0;
  #hurriedCallsLeft = 0;
  readonly #sleeping = new Map<Planned, () => void>();
  #underWay = 0;
  #serial = 0;
  #acknowledged = 0;
  /** Of a write that was acknowledged. */
  highestRevision = 0;
  /** For messages. */
  lastError = '';
  /** Who is being probed and was not answered yet; for messages, too. */
  readonly unanswered = new Set<string>();

  constructor(world: World) {
    this.#world = world;
    this.#levels = new LevelReads(world);
    const { keys } = world.options;
    this.#histories = Array.from({ length: keys }, (_, i) => new KeyHistory(`key${i}`));
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Nothing is under way any more. */
  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  /**
   * Answers true when every client has written and read once more, and each of those that only read has read, if the
   * one replica that it asks is there.
   */
  async probe(): Promise<boolean> {
    const history = this.#histories[0] as KeyHistory;
    const writers = this.#clients.map(async (client) => {
      const caller = { ...client, history };
      if (!(await this.#probe(client, () => this.#put(caller)))) return false;
      return this.#probe(client, () => this.#get(caller));
    });
    const readers = this.#readers.map((reader) =>
      this.#probe(
        reader,
        async () => this.#asksNobody(reader) || this.#get({ ...reader, history }),
      ),
    );
    const answered = await Promise.all([...writers, ...readers]);
    return answered.every((one) => one);
  }

  async #probe({ name }: Client, call: () => Promise<boolean>): Promise<boolean> {
    this.unanswered.add(name);
    for (let tries = 0; !(await call()); tries += 1) {
      if (tries === PROBES_MAX) return false;
      await new Promise<void>((resolve) => this.#world.scheduler.plan(PROBE_PAUSE_MS, resolve));
    }
    this.unanswered.delete(name);
    return true;
  }

  /** It stays at one machine, which is no member or has lost its disk. */
  #asksNobody({ from }: Reader): boolean {
    const { machines, intact } = this.#world;
    return typeof from === 'number' && !intact.includes(machines[from] as Machine);
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Opens the clients and sets them to work. */
  async start(): Promise<void> {
    const { scheduler, options } = this.#world;
    const readers = options.levels?.readers ?? [];
    for (let i = 0; i < options.clients; i += 1) {
      this.#open(i, options.levels?.readFrom ?? 'leader').then(
        (db) => this.#clients.push({ name: `c${i}`, db }),
        (error: unknown) => scheduler.fail(error as Error),
      );
    }
    readers.forEach((from, i) => {
      this.#open(options.clients + i, from).then(
        (db) => this.#readers.push({ name: `r${i}`, db, from }),
        (error: unknown) => scheduler.fail(error as Error),
      );
    });
    const allOpen = (): boolean =>
      this.#clients.length === options.clients && this.#readers.length === readers.length;
    await scheduler.run(scheduler.nowMs + 20_000, allOpen);
    if (!allOpen()) throw new Error('a client finds no replica');
    for (const { name, db } of this.#clients) {
      // Each has two calls under way at once.
      this.#repeat(() => this.#call(name, db));
      this.#repeat(() => this.#call(name, db));
    }
    for (const { db } of this.#readers) this.#repeat(() => this.#readAtSomeLevel(db));
  }

  #open(number: number, from: ReadsFrom): Promise<TextClient> {
    const { scheduler, network, options } = this.#world;
    const random = seededRandom(scheduler.random.int(2 ** 31));
    const place = this.#world.clientPlace(number);
    const time = new MachineTime(scheduler, place);
    return openClient(
      {
        ...this.#whereFrom(from),
        codec: text,
        timeoutMs: options.clientTimeoutMs,
        connectTimeoutMs: 15_000,
        clientName: `c${number}`,
      },
      {
        clock: time.clock(),
        random,
        dial: (dialled) => network.dial(place, dialled),
        newSessionId: () => randomBytes(random, 16),
      },
    ) as Promise<TextClient>;
  }

  #whereFrom(
    from: ReadsFrom,
  ): Pick<ConnectOptions, 'endpoints' | 'followLeader' | 'readFrom' | 'spreadLinearizable'> {
    const { endpoints } = this.#world;
    if (typeof from === 'number') {
      return { endpoints: endpoints.slice(from, from + 1), followLeader: false };
    }
    if (from === 'leader') return { endpoints };
    return { endpoints, readFrom: 'spread', spreadLinearizable: from === 'spread-all' };
  }

  /** Something happens to the cluster: whoever pauses goes on, on few keys and with short pauses. */
  hurry(forMs: number, pauseMs: number, callsMax = Number.POSITIVE_INFINITY): void {
    if (forMs === 0) return;
    this.#hurryUntilMs = this.#world.scheduler.nowMs + forMs;
    this.#hurriedPauseMs = pauseMs;
    this.#hurriedCallsLeft = callsMax;
    const sleeping = [...this.#sleeping];
    this.#sleeping.clear();
    for (const [planned, wake] of sleeping) {
      planned.cancel();
      this.#sleep(wake);
    }
  }

  get #hurries(): boolean {
    return this.#hurriedCallsLeft > 0 && this.#world.scheduler.nowMs < this.#hurryUntilMs;
  }

  #repeat(call: () => Promise<unknown>): void {
    const { scheduler } = this.#world;
    this.#underWay += 1;
    call().then(
      () => {
        this.#underWay -= 1;
        if (!this.#isStopped) this.#sleep(() => this.#repeat(call));
      },
      (error: unknown) => scheduler.fail(error as Error),
    );
  }

  #sleep(wake: () => void): void {
    const { scheduler, options } = this.#world;
    const hurries = this.#hurries;
    if (hurries) this.#hurriedCallsLeft -= 1;
    const pauseMs = scheduler.random.next() * (hurries ? this.#hurriedPauseMs : options.thinkMs);
    const planned = scheduler.plan(pauseMs, () => {
      this.#sleeping.delete(planned);
      if (!this.#isStopped) wake();
    });
    this.#sleeping.set(planned, wake);
  }

  #call(name: string, db: TextClient): Promise<unknown> {
    const { random } = this.#world.scheduler;
    const { share } = this.#world.options;
    const keys = this.#hurries
      ? Math.min(HURRIED_KEYS, this.#histories.length)
      : this.#histories.length;
    const history = this.#histories[random.int(keys)] as KeyHistory;
    const dice = random.int(100);
    if (dice < share.put) return this.#put({ name, db, history });
    if (dice < share.put + share.delete) return this.#delete({ name, db, history });
    if (dice < share.put + share.delete + share.any) return this.#readAny({ db, history });
    if (this.#levels.wanted()) return this.#readAtSomeLevel(db);
    return this.#get({ name, db, history });
  }

  async #readAtSomeLevel(db: TextClient): Promise<void> {
    const keys = this.#histories.map(({ key }) => key);
    const { random } = this.#world.scheduler;
    const history = this.#histories[random.int(keys.length)] as KeyHistory;
    const found = await this.#levels.read(db, history.key, keys);
    if (found?.value != null) this.#checkWritten(history, labelOf(found.value));
  }

  /** @returns whether it was acknowledged */
  async #put({ name, db, history }: Caller): Promise<boolean> {
    const { scheduler, options } = this.#world;
    this.#serial += 1;
    const label = `v${this.#serial}`;
    const value = label.padEnd(scheduler.random.int(options.valueBytesMax + 1), '.');
    history.tried.add(label);
    const outcome = await this.#attempt(async () => {
      const { revision, meta } = await db.put(history.key, value);
      this.#levels.saw(db, meta);
      history.acknowledged.set(label, revision);
      this.highestRevision = Math.max(this.highestRevision, revision);
      return { type: 'put', value: label } as const;
    });
    if (outcome.failed === 'not-applied') history.notApplied.add(label);
    else this.#note(history, name, outcome, { type: 'put', value: label });
    if (outcome.failed === null) this.#acknowledged += 1;
    return outcome.failed === null;
  }

  async #delete({ name, db, history }: Caller): Promise<void> {
    const outcome = await this.#attempt(async () => {
      const { deleted, meta } = await db.delete(history.key);
      this.#levels.saw(db, meta);
      return { type: 'delete', found: deleted } as const;
    });
    if (outcome.failed === 'not-applied') return;
    this.#note(history, name, outcome, { type: 'delete', found: null });
  }

  /** @returns whether it was answered */
  async #get({ name, db, history }: Caller): Promise<boolean> {
    const outcome = await this.#attempt(async () => {
      const { nowMs } = this.#world.scheduler;
      const result = await db.get(history.key);
      const { value } = result;
      this.#levels.got(db, history.key, result, nowMs);
      return { type: 'get', value: value === undefined ? null : labelOf(value) } as const;
    });
    if (outcome.call === null) return false;
    this.#note(history, name, outcome, outcome.call);
    return true;
  }

  /** Any state that was: what is read must have been written by somebody. */
  async #readAny({ db, history }: Omit<Caller, 'name'>): Promise<void> {
    const { call } = await this.#attempt(async () => {
      const { value } = await db.get(history.key, { consistency: 'any' });
      return { type: 'get', value: value === undefined ? null : labelOf(value) } as const;
    });
    if (call?.type !== 'get' || call.value === null) return;
    this.#checkWritten(history, call.value);
  }

  #checkWritten({ key, tried, notApplied }: KeyHistory, label: string): void {
    if (tried.has(label) && !notApplied.has(label)) return;
    throw new Violation(`${key} holds ${label}, which nobody wrote there`);
  }

  async #attempt(ask: () => Promise<Call>): Promise<Attempt> {
    const { scheduler, coverage } = this.#world;
    const beginMs = scheduler.nowMs;
    try {
      const call = await ask();
      coverage.count(`call: ${call.type} answered`);
      return { beginMs, endMs: scheduler.nowMs, call, failed: null };
    } catch (error) {
      if (!isOrdinary(error)) throw error;
      coverage.count(`call: ${error.code} (${error.outcome ?? 'read'})`);
      this.lastError = `at ${scheduler.nowMs.toFixed(0)} ms: ${error.message}`;
      const failed = error.outcome ?? 'unknown';
      return { beginMs, endMs: Number.POSITIVE_INFINITY, call: null, failed };
    }
  }

  #note(history: KeyHistory, client: string, attempt: Attempt, otherwise: Call): void {
    const { beginMs, endMs, call } = attempt;
    history.operations.push({ client, call: call ?? otherwise, beginMs, endMs });
  }

  // ---------------------------------------------------------------- checks

  /** @throws Violation with the smallest part of a history that is impossible */
  checkLinearizable(): void {
    for (const { key, operations } of this.#histories) {
      const verdict = checkRegister(operations);
      this.#world.coverage.count(`history of a key: ${verdict.type}`);
      if (verdict.type === 'undecided') {
        throw new Violation(`Linearizability: too many calls on ${key} to decide it`);
      }
      if (verdict.type === 'linearizable') continue;
      throw new Violation(
        `Linearizability: these calls on ${key} cannot have happened in any order:\n` +
          describeOperations(verdict.core),
      );
    }
  }

  /** What one replica holds must be what the clients were told, each write once. */
  checkState(machine: StateMachine): void {
    for (const history of this.#histories) this.#checkKey(machine, history);
    this.#levels.checkState(machine);
  }

  #checkKey(machine: StateMachine, history: KeyHistory): void {
    const { key, acknowledged, notApplied } = history;
    const applied = new Map<string, number>();
    for (const [revision, label] of revisionsOf(machine, key)) {
      if (applied.has(label)) throw new Violation(`Exactly Once: ${key} was set to ${label} twice`);
      applied.set(label, revision);
      if (notApplied.has(label)) {
        throw new Violation(`${key}: ${label} is there, and was said not to be applied`);
      }
    }
    // A delete ends the chain of revisions that can be walked back: what is behind it is asked for by its revision.
    for (const [label, revision] of acknowledged) {
      if (revision < machine.compactedRevision || applied.get(label) === revision) continue;
      if (revision <= machine.revision && labelAt(machine, key, revision) === label) continue;
      throw new Violation(`${key}: lost ${label} of revision ${revision}`);
    }
  }

  async close(): Promise<void> {
    for (const { db } of [...this.#clients, ...this.#readers]) await db.close();
  }
}

interface Client {
  readonly name: string;
  readonly db: TextClient;
}

interface Reader extends Client {
  readonly from: ReadsFrom;
}

interface Caller extends Client {
  readonly history: KeyHistory;
}

interface Attempt {
  readonly beginMs: number;
  readonly endMs: number;
  /** `null` unless it was answered. */
  readonly call: Call | null;
  readonly failed: 'not-applied' | 'unknown' | null;
}

function labelOf(value: string): string {
  return value.replace(/\.+$/, '');
}

/** What was written at the very revision; `null`: nothing there. */
function labelAt(machine: StateMachine, key: string, revision: number): string | null {
  const item = machine.get(Buffer.from(key), revision);
  return item?.modRevision === revision ? labelOf(Buffer.from(item.value).toString()) : null;
}

/** The puts of a key since it was last absent, newest first. */
function* revisionsOf(machine: StateMachine, key: string): Generator<[number, string]> {
  const bytes = Buffer.from(key);
  let at: number | null = null;
  // What was before the oldest revision that is kept cannot be seen.
  while (at === null || at >= machine.compactedRevision) {
    const item: KeyContent | null = machine.get(bytes, at);
    if (item === null) return;
    yield [item.modRevision, labelOf(Buffer.from(item.value).toString())];
    at = item.modRevision - 1;
  }
}
