import { BalsaError } from '../../src/base/errors.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import type { ConsistencyOption } from '../../src/client/consistency.js';
import type { Client, GetResult } from '../../src/client/kv-client.js';
import type { Meta } from '../../src/client/pending.js';
import type { StateMachine } from '../../src/statemachine/state-machine.js';
import { isOrdinary } from './ordinary-errors.js';
import { Violation } from './scheduler.js';
import type { World } from './world.js';

export type TextClient = Client<string, string, 'text'>;

/** What a key held at a revision, as somebody was told. */
interface Observation {
  readonly key: string;
  readonly revision: number;
  /** `null`: nothing. */
  readonly value: string | null;
  readonly who: string;
}

/** One read to be made, and what its level promises. */
interface Plan {
  readonly option: ConsistencyOption;
  readonly level: string;
  /** The state that is read has at least this revision. */
  readonly revisionMin: number;
  /** And all that was applied anywhere so long before the read began; `null`: no promise. */
  readonly boundMs: number | null;
  /** It is read at this revision. */
  readonly at: number | null;
}

const LEVELS = [
  ...['linearizable', 'session', 'session', 'token', 'bounded', 'bounded', 'at', 'any', 'ap-local'],
] as const;

/**
 * Reads at all levels, by clients that write and by others that only read, each checked against what
 * its level promises: sessions never go back, also where their tokens are passed on; bounded reads keep
 * their bound by the true clock; what was seen at a revision is the same everywhere and for ever.
 */
export class LevelReads {
  readonly #world: World;
  /** Of its own: what else is drawn stays as it is. */
  readonly #random: Random;
  readonly #observations = new Map<string, Observation>();
  /** The highest revision in the answers that a client got. */
  readonly #seen = new Map<TextClient, number>();
  /** A token that some client has passed on, and what that one had seen. */
  #passed: { readonly token: string; readonly revision: number } | null = null;

  constructor(world: World) {
    this.#world = world;
    this.#random = seededRandom(world.options.seed * 2 + 0x1e7e1);
  }

  /** Is a read of a client that writes to be made here? */
  wanted(): boolean {
    const share = this.#world.options.levels?.share ?? 0;
    return share > 0 && this.#random.int(100) < share;
  }

  /** A client was answered. */
  saw(db: TextClient, meta: Meta): void {
    this.#seen.set(db, Math.max(this.#seenBy(db), meta.revision));
    if (this.#random.int(20) === 0) {
      this.#passed = { token: db.token, revision: this.#seenBy(db) };
    }
  }

  /** A linearizable get of some client, begun at `beginMs`. */
  got(db: TextClient, key: string, result: GetResult<string>, beginMs: number): void {
    const plan = {
      option: 'linearizable',
      level: 'linearizable',
      revisionMin: 0,
      at: null,
    } as const;
    this.#check({ ...plan, boundMs: 0 }, result.meta, beginMs);
    this.#observe(key, result.meta.revision, result.value, result.meta);
    this.saw(db, result.meta);
  }

  /** One read, checked. Answers `null` when it failed in a way that is no fault of the cluster. */
  async read(
    db: TextClient,
    key: string,
    keys: readonly string[],
  ): Promise<{ readonly plan: Plan; readonly value: string | null } | null> {
    const { coverage } = this.#world;
    const plan = this.#plan(db);
    try {
      if (this.#random.int(10) === 0) {
        await this.#range(db, plan, keys);
        return null;
      }
      const { nowMs } = this.#world.scheduler;
      const result = await db.get(key, { consistency: plan.option });
      this.#check(plan, result.meta, nowMs);
      this.#observe(key, plan.at ?? result.meta.revision, result.value, result.meta);
      this.saw(db, result.meta);
      coverage.count(`read: ${plan.level} answered`);
      return { plan, value: result.value ?? null };
    } catch (error) {
      if (!isOrdinary(error) && !this.#isCompacted(error, plan)) throw error;
      coverage.count(`read: ${plan.level} ${error.code}`);
      return null;
    }
  }

  /** The revision that was read is really no longer kept. */
  #isCompacted(error: unknown, { at }: Plan): error is BalsaError {
    if (!(error instanceof BalsaError && error.code === 'COMPACTED')) return false;
    // A range goes on at the revision of its first page, which may be given up meanwhile.
    const { compactedRevision, revision } = this.#world.history;
    return (at ?? 0) < compactedRevision && compactedRevision <= revision;
  }

  /** All keys, as one view. */
  async #range(db: TextClient, plan: Plan, keys: readonly string[]): Promise<void> {
    const { nowMs } = this.#world.scheduler;
    const found = new Map<string, string>();
    let first: Meta | null = null;
    for await (const { key, value, meta } of db.range({ consistency: plan.option })) {
      found.set(key, value);
      if (first === null) this.#check(plan, meta, nowMs);
      first ??= meta;
    }
    if (first === null) return;
    for (const key of keys) this.#observe(key, plan.at ?? first.revision, found.get(key), first);
    this.saw(db, first);
    this.#world.coverage.count(`range: ${plan.level} answered`);
  }

  #plan(db: TextClient): Plan {
    const random = this.#random;
    const level = LEVELS[random.int(LEVELS.length)] as (typeof LEVELS)[number];
    const seen = this.#seenBy(db);
    const plan = { level, revisionMin: 0, boundMs: null, at: null };
    switch (level) {
      case 'linearizable':
        return { ...plan, option: level, boundMs: 0 };
      case 'session':
        return { ...plan, option: level, revisionMin: seen };
      case 'token': {
        const passed = this.#passed ?? { token: db.token, revision: seen };
        const revisionMin = Math.max(seen, passed.revision);
        return { ...plan, option: { session: passed.token }, revisionMin };
      }
      case 'bounded': {
        const boundMs = [20, 100, 500, 2000, 10_000][random.int(5)] as number;
        return { ...plan, option: { bounded: boundMs }, boundMs };
      }
      case 'at': {
        const at = Math.max(0, seen - random.int(10));
        return { ...plan, option: { at }, at };
      }
      default:
        return { ...plan, option: level };
    }
  }

  #check(plan: Plan, meta: Meta, beginMs: number): void {
    const { level, revisionMin, boundMs } = plan;
    const fail = (why: string): Violation =>
      new Violation(`Consistency: a ${level} read begun at ${beginMs.toFixed(0)} ms ${why}`);
    if (meta.revision < revisionMin) {
      throw fail(`saw revision ${meta.revision} at ${meta.replica}, and ${revisionMin} is due`);
    }
    if (boundMs === null) return;
    const needed = this.#world.freshness.indexBefore(beginMs - boundMs);
    if (meta.appliedIndex < needed) {
      throw fail(
        `with bound ${boundMs} ms was served from entry ${meta.appliedIndex} at ${meta.replica}, and ` +
          `${needed} had been applied so long before`,
      );
    }
    if (level !== 'bounded' || (meta.stalenessMs !== null && meta.stalenessMs <= boundMs)) return;
    throw fail(`with bound ${boundMs} ms says that it is ${meta.stalenessMs} ms old`);
  }

  /** What was there at a revision was there for everybody. */
  #observe(key: string, revision: number, value: string | undefined, meta: Meta): void {
    const who = `${meta.level} at ${meta.replica}`;
    const observation: Observation = { key, revision, value: value ?? null, who };
    const name = `${key}@${revision}`;
    const before = this.#observations.get(name);
    if (before === undefined) {
      this.#observations.set(name, observation);
      return;
    }
    if (before.value === observation.value) return;
    throw new Violation(
      `Prefix: at revision ${revision} ${key} held ${before.value} for ${before.who}, and ` +
        `${observation.value} for ${who}`,
    );
  }

  /** What was seen at a revision is what one replica still holds there. */
  checkState(machine: StateMachine): void {
    for (const { key, revision, value, who } of this.#observations.values()) {
      const held = valueAt(machine, key, revision);
      if (held === undefined || held === value) continue;
      throw new Violation(
        `Prefix: at revision ${revision} ${key} holds ${held}, and was ${value} for ${who}`,
      );
    }
  }

  #seenBy(db: TextClient): number {
    return this.#seen.get(db) ?? 0;
  }
}

/** `undefined`: no longer kept. */
function valueAt(machine: StateMachine, key: string, revision: number): string | null | undefined {
  try {
    const item = machine.get(Buffer.from(key), revision);
    return item === null ? null : Buffer.from(item.value).toString();
  } catch (error) {
    if (error instanceof BalsaError && error.code === 'COMPACTED') return undefined;
    throw error;
  }
}
