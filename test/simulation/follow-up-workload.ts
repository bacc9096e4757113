import { BalsaError } from '../../src/base/errors.js';
import type { FollowUpOptions } from './follow-ups/follow-up-options.js';
import {
  CRON_MS,
  FOLLOW_UP_BUNDLE,
  HAPPENED,
  type Happened,
  IN,
  TICKED,
  type Ticked,
  TOLD,
  type Told,
} from './follow-ups/follow-up-procedures.js';
import { UNAVAILABLE } from './ordinary-errors.js';
import { Violation } from './scheduler.js';
import { SideClient, type TextClient } from './side-client.js';
import type { World } from './world.js';

const ORDINARY = new Set([
  ...UNAVAILABLE,
  ...['CLIENT_CLOSED', 'TXN_CONFLICT', 'PROCEDURE_NOT_FOUND', 'CALL_EXPIRED', 'UPGRADE_PENDING'],
]);

const CLIENTS = 2;
const LATER_MS_MAX = 8000;

type Fate = 'done' | 'refused' | 'unknown';

/**
 * Each put below the prefix of a trigger is told to it once, in order; each scheduled call happens once, not before its time, and
 * those of a cron expression at each of its times that comes behind the last one, until it is stopped.
 */
export class FollowUpWorkload {
  readonly #world: World;
  readonly #options: FollowUpOptions;
  readonly #clients: readonly SideClient[];
  readonly #puts = new Map<string, Fate>();
  readonly #scheduled = new Map<string, Fate>();
  /** Those of a cron expression. */
  readonly #crons = new Map<string, { begun: Fate; stopped: Fate | null }>();
  #isDeployed = false;
  #nextId = 1;

  constructor(world: World, options: FollowUpOptions) {
    this.#world = world;
    this.#options = options;
    this.#clients = Array.from(
      { length: CLIENTS },
      (_, place) => new SideClient(world, { name: `follow-${place}`, place, seed: 0xf01 + place }),
    );
  }

  get isIdle(): boolean {
    return this.#clients.every(({ isIdle }) => isIdle) && this.#lacking() === null;
  }

  start(): void {
    for (const client of this.#clients) {
      client.start((db) => client.repeat(this.#options.pauseMs, () => this.#step(client, db)));
    }
  }

  stop(): void {
    for (const client of this.#clients) client.stop();
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
  }

  // -------------------------------------------------------------------------------------------

  async #step(client: SideClient, db: TextClient): Promise<void> {
    if (!this.#isDeployed) {
      const done = await client.attempt(async () => {
        await db.procedures.deploy(FOLLOW_UP_BUNDLE);
        return true;
      });
      this.#isDeployed ||= done === true;
      return;
    }
    const { random } = client;
    const id = `f${this.#nextId++}`;
    const dice = random.int(9);
    if (dice < 4) {
      const fate = await this.#ask('put', () =>
        db.put(`${IN}${random.int(3)}`, JSON.stringify(id)),
      );
      this.#puts.set(id, fate);
    } else if (dice < 6) {
      const fate = await this.#ask('both', () => db.call('follow-both', id));
      for (const side of ['a', 'b']) this.#puts.set(`${id}-${side}`, fate);
    } else if (dice === 8) {
      await this.#stepOfCron(db, id);
    } else {
      const inMs = random.int(LATER_MS_MAX);
      const fate = await this.#ask('later', () => db.call('follow-later', { id, inMs }));
      this.#scheduled.set(id, fate);
    }
  }

  /** Stops the one that there is, or begins one. */
  async #stepOfCron(db: TextClient, id: string): Promise<void> {
    const last = [...this.#crons].at(-1);
    if (last !== undefined && last[1].stopped === null) {
      const [name, cron] = last;
      cron.stopped = 'unknown';
      cron.stopped = await this.#ask('stop', () => db.call('follow-stop', name));
      // Refused: it goes on, and may be stopped another time.
      if (cron.stopped === 'refused') cron.stopped = null;
      return;
    }
    const cron: { begun: Fate; stopped: Fate | null } = { begun: 'unknown', stopped: null };
    this.#crons.set(id, cron);
    cron.begun = await this.#ask('cron', () => db.call('follow-cron', id));
    if (cron.begun === 'refused') cron.stopped = 'done';
  }

  async #ask(what: string, ask: () => Promise<unknown>): Promise<Fate> {
    const { coverage } = this.#world;
    try {
      await ask();
      coverage.count(`follow-ups: ${what} answered`);
      return 'done';
    } catch (error) {
      if (!(error instanceof BalsaError) || !ORDINARY.has(error.code)) throw error;
      coverage.count(`follow-ups: ${what} ${error.code} (${error.outcome ?? 'none'})`);
      return error.outcome === 'not-applied' ? 'refused' : 'unknown';
    }
  }

  // -------------------------------------------------------------------------------------------

  /** What one of the replicas has; what is agreed on elsewhere is not looked at here. */
  #list<T>(key: string): readonly T[] {
    const machine = this.#world.intact.find(({ replica }) => replica !== null)?.replica?.machine;
    const found = machine?.get(Buffer.from(key), null) ?? null;
    return found === null ? [] : (JSON.parse(Buffer.from(found.value).toString()) as T[]);
  }

  /** Something that is still to come; `null`: nothing. */
  #lacking(): string | null {
    const told = new Set(this.#list<Told>(TOLD).map(([, value]) => value));
    const happened = new Set(this.#list<Happened>(HAPPENED).map(([id]) => id));
    for (const [id, fate] of this.#puts) {
      if (fate === 'done' && !told.has(id)) return `put ${id} was told to nobody`;
    }
    for (const [id, fate] of this.#scheduled) {
      if (fate === 'done' && !happened.has(id)) return `scheduled call ${id} did not happen`;
    }
    const ticked = new Set(this.#list<Ticked>(TICKED).map(([id]) => id));
    for (const [id, { begun, stopped }] of this.#crons) {
      if (begun === 'done' && stopped === null && !ticked.has(id)) return `cron ${id} never came`;
    }
    return null;
  }

  /** For who waits in vain. */
  get lacking(): string {
    return this.#lacking() ?? '';
  }

  /** @throws Violation */
  check(): void {
    const told = this.#list<Told>(TOLD);
    const happened = this.#list<Happened>(HAPPENED);
    const lacking = this.#lacking();
    if (lacking !== null) throw new Violation(`Follow-ups: ${lacking}`);
    checkOnce(
      'put',
      this.#puts,
      told.map(([, value]) => value),
    );
    checkOnce(
      'scheduled call',
      this.#scheduled,
      happened.map(([id]) => id),
    );
    for (const [i, [revision, value]] of told.entries()) {
      const [before, other] = told[i - 1] ?? [0, ''];
      const isBehind = revision > before || (revision === before && value > other);
      if (!isBehind) throw new Violation(`Follow-ups: ${value} was told behind ${other}`);
    }
    for (const [id, lateMs] of happened) {
      if (lateMs < 0) throw new Violation(`Follow-ups: ${id} came ${-lateMs} ms too early`);
    }
    this.#checkCrons();
    this.#world.coverage.count('follow-ups: told in order, each once');
  }

  #checkCrons(): void {
    const ticks = new Map<string, Ticked[]>();
    for (const ticked of this.#list<Ticked>(TICKED)) {
      const [id] = ticked;
      ticks.set(id, [...(ticks.get(id) ?? []), ticked]);
    }
    for (const [id, ticked] of ticks) {
      if ((this.#crons.get(id)?.begun ?? 'refused') === 'refused') {
        throw new Violation(`Follow-ups: cron ${id} was never begun, and comes`);
      }
      this.#world.coverage.count('follow-ups: a cron expression came', ticked.length);
      for (const [i, one] of ticked.entries()) checkTick(one, ticked[i - 1] ?? null);
    }
  }
}

/** @throws Violation */
function checkTick([id, dueMs, ranMs]: Ticked, before: Ticked | null): void {
  const [, lastDueMs, lastRanMs] = before ?? [id, 0, Number.POSITIVE_INFINITY];
  if (lastDueMs === null) throw new Violation(`Follow-ups: cron ${id} came when it was stopped`);
  if (dueMs === null) return;
  if (ranMs < dueMs)
    throw new Violation(`Follow-ups: cron ${id} came ${dueMs - ranMs} ms too early`);
  if (dueMs <= lastDueMs) throw new Violation(`Follow-ups: cron ${id} came twice for ${dueMs}`);
  // The clocks of the leaders may differ, and jump: but the next time was never further away than this.
  if (dueMs > lastRanMs + CRON_MS) {
    throw new Violation(`Follow-ups: cron ${id} left out what was due before ${dueMs}`);
  }
}

function checkOnce(what: string, asked: ReadonlyMap<string, Fate>, seen: readonly string[]): void {
  const counted = new Set<string>();
  for (const id of seen) {
    if (counted.has(id)) throw new Violation(`Follow-ups: ${what} ${id} counts twice`);
    counted.add(id);
    const fate = asked.get(id);
    if (fate === undefined || fate === 'refused') {
      throw new Violation(`Follow-ups: ${what} ${id} was ${fate ?? 'never asked'}, and counts`);
    }
  }
}
