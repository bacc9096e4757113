import { prefixEnd } from '../../base/bytes.js';
import { packCall } from '../../base/call-codec.js';
import { check } from '../../base/codec.js';
import type { BalsaError } from '../../base/errors.js';
import type { KeyValue } from '../../base/operation.js';
import { randomBytes } from '../../base/random.js';
import { checkCron, dueAgainMs, inLogTime } from '../../compute/cron.js';
import type { CallSupplement } from '../../compute/execution.js';
import { dueIn, dueText, movedOn, SCHEDULES } from '../../compute/schedule-keys.js';
import type { CallRequest } from './call-types.js';
import { CODE_FAILED, type FollowUpHost, withoutCode } from './follow-ups.js';

/** How often it is looked for what is due. */
const INTERVAL_MS = 250;
/** Calls under way at one time. */
const AT_ONCE_MAX = 64;
/** Schedules that are read together, and so often in one look: those that wait must not keep others from being seen. */
const PAGE_KEYS = 128;
const PAGES_MAX = 8;
/** What could not be called is tried again so long after. */
const RETRY_MS = 5000;
/** That there is no procedure of a name is told so often. */
const TOLD_MS = 60_000;
/** Of so many names. */
const TOLD_NAMES_MAX = 100;

interface Scheduled {
  readonly procedure: string;
  readonly args: unknown;
  readonly cron: string | null;
}

/**
 * Makes the calls that `ctx.schedule` has asked for, when they are due in log time: that jumps with no clock, and goes on where it was
 * behind a time in which nobody led. Each is a key, which is deleted by the call itself: so a
 * call is made once, whoever leads, and comes again from its cron expression in the same moment.
 */
export class Schedules {
  readonly #host: FollowUpHost;
  /** By key. */
  readonly #underWay = new Set<string>();
  readonly #notBeforeMs = new Map<string, number>();
  /** By name of a procedure that there is not: when it was told. */
  readonly #toldMs = new Map<string, number>();
  /** Where the next look goes on; `null`: with what was due first. */
  #next: Uint8Array | null = null;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #isLooking = false;
  /** The state of this revision has nothing that is due before this log time. */
  #quiet = { revision: -1, untilMs: 0 };

  constructor(host: FollowUpHost) {
    this.#host = host;
  }

  tick(): void {
    const { clock, canRun } = this.#host;
    const nowMs = clock.monotonicMs();
    if (this.#isLooking || nowMs - this.#lookedMs < INTERVAL_MS || !canRun()) return;
    if (this.#isQuiet) return;
    this.#lookedMs = nowMs;
    this.#isLooking = true;
    this.#look().then(
      () => {
        this.#isLooking = false;
      },
      () => {
        // The state was replaced, or the replica stops: the next look will see.
        this.#isLooking = false;
      },
    );
  }

  get #isQuiet(): boolean {
    const { revision, untilMs } = this.#quiet;
    const { machine, logMs } = this.#host;
    return this.#next === null && machine().revision === revision && logMs() < untilMs;
  }

  /** Whether anything is due at all: as a rule there is nothing, and no look into the store is needed until something is written. */
  async #isAnyDue(): Promise<boolean> {
    const { machine, logMs } = this.#host;
    const { revision } = machine();
    const { items } = await machine().range({
      ...{ from: Buffer.from(SCHEDULES), to: prefixEnd(Buffer.from(SCHEDULES)) },
      ...{ keysMax: 1, reverse: false, revision: null },
    });
    const [first] = items;
    if (first === undefined) {
      this.#quiet = { revision, untilMs: Number.POSITIVE_INFINITY };
      return false;
    }
    const untilMs = dueIn(Buffer.from(first.key).toString());
    const isLater = untilMs > logMs();
    // The place of what is no schedule, though somebody else has put it there, says nothing of those behind it.
    if (isLater) this.#quiet = { revision, untilMs };
    return !isLater;
  }

  async #look(): Promise<void> {
    if (this.#next === null && !(await this.#isAnyDue())) return;
    const { machine, logMs } = this.#host;
    const to = Buffer.from(`${SCHEDULES}${dueText(logMs() + 1)}`);
    // If this look comes to nothing, the next one does not begin where it did.
    let from = this.#next ?? Buffer.from(SCHEDULES);
    if (this.#next === null) this.#forgetWaits();
    this.#next = null;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const { items, continueFrom } = await machine().range({
        ...{ from, to, keysMax: PAGE_KEYS, reverse: false, revision: null },
      });
      const left = this.#callAll(items) ?? continueFrom;
      if (left === null) return;
      from = left;
      if (this.#isFull) break;
    }
    this.#next = from;
  }

  /** @returns the first for which there is no room; `null`: there is none */
  #callAll(items: readonly KeyValue[]): Uint8Array | null {
    for (const item of items) {
      if (this.#isFull) return item.key;
      this.#call(item);
    }
    return null;
  }

  get #isFull(): boolean {
    return this.#underWay.size >= AT_ONCE_MAX || !this.#host.canRun();
  }

  /** What need not wait any more, or is gone. */
  #forgetWaits(): void {
    const { clock, machine } = this.#host;
    const nowMs = clock.monotonicMs();
    for (const name of this.#toldMs.keys()) {
      if (machine().resolveProcedure(name) === null) continue;
      // It was deployed: its calls wait no longer.
      this.#toldMs.delete(name);
      this.#notBeforeMs.clear();
    }
    for (const [key, untilMs] of this.#notBeforeMs) {
      if (untilMs <= nowMs) this.#notBeforeMs.delete(key);
    }
    for (const [name, toldMs] of this.#toldMs) {
      if (nowMs - toldMs >= TOLD_MS) this.#toldMs.delete(name);
    }
  }

  #call(item: KeyValue): void {
    const { clock, random, machine, call } = this.#host;
    const key = Buffer.from(item.key).toString();
    if (this.#underWay.has(key) || (this.#notBeforeMs.get(key) ?? 0) > clock.monotonicMs()) return;
    const scheduled = read(item);
    const isKnown = scheduled !== null && machine().resolveProcedure(scheduled.procedure) !== null;
    if (!isKnown || !isTimed(scheduled)) {
      this.#waitFor(key, isKnown ? '' : (scheduled?.procedure ?? ''));
      return;
    }
    this.#underWay.add(key);
    const supplement = this.#supplement(item, scheduled);
    const request: CallRequest = {
      procedure: scheduled.procedure,
      args: JSON.stringify(scheduled.args),
      key: randomBytes(random, 16),
      ...{ isNamed: false, bornIndex: machine().appliedIndex, supplement },
    };
    call(request, (answer) => {
      if (answer.ok && answer.failure) this.#note(key, request.procedure, answer.failure);
      const isRefused = !answer.ok && CODE_FAILED.has(answer.error.code);
      if (isRefused && this.#giveUp(key, request.procedure, supplement, answer.error)) return;
      this.#ended(key, request.procedure, answer.ok ? null : answer.error);
    });
  }

  /**
   * The code ran, and what it wrote will never be taken: that ends the call as a failure of the code does, which the record
   * itself has seen to.
   * @returns false: there is no code that could have run
   */
  #giveUp(
    key: string,
    procedure: string,
    supplement: CallSupplement,
    { code, message }: BalsaError,
  ): boolean {
    const { machine, random, submit } = this.#host;
    const resolved = machine().resolveProcedure(procedure);
    if (resolved === null) return false;
    this.#note(key, procedure, `${code}: ${message}`);
    const { hash } = resolved;
    const identity = { procedure, hash, key: randomBytes(random, 16) };
    const record = withoutCode({ ...identity, bornIndex: machine().appliedIndex }, supplement);
    submit(packCall(record), (answer) =>
      this.#ended(key, procedure, answer.ok ? null : answer.error),
    );
    return true;
  }

  #ended(key: string, procedure: string, error: BalsaError | null): void {
    const { clock } = this.#host;
    this.#underWay.delete(key);
    if (error === null || error.code === 'TXN_CONFLICT') return;
    this.#note(key, procedure, `${error.code}: ${error.message}`);
    this.#notBeforeMs.set(key, clock.monotonicMs() + RETRY_MS);
  }

  /** Until it is deployed. It is not read again at each look: it may be long, and there may be many. */
  #waitFor(key: string, procedure: string): void {
    const nowMs = this.#host.clock.monotonicMs();
    this.#notBeforeMs.set(key, nowMs + RETRY_MS);
    if (this.#toldMs.has(procedure) || this.#toldMs.size >= TOLD_NAMES_MAX) return;
    this.#toldMs.set(procedure, nowMs);
    const name = procedure === '' ? 'without a name' : procedure;
    this.#host.note(procedure, `there is no procedure ${name}: its scheduled calls wait for it`);
  }

  #note(key: string, procedure: string, why: string): void {
    this.#host.note(procedure, `scheduled call ${key}: ${why}`);
  }

  #supplement(item: KeyValue, { cron }: Scheduled): CallSupplement {
    const { key, modRevision } = item;
    const next = cron === null ? null : this.#dueAgain(cron);
    return { reads: [{ key, modRevision }], writes: movedOn(item, next), evenIfFailed: true };
  }

  /** In log time; `null`: never again. */
  #dueAgain(cron: string): number | null {
    const { nowMs, logMs } = this.#host;
    const now = nowMs();
    const next = dueAgainMs(cron, now);
    return next === null ? null : inLogTime(next, { now, logMs: logMs() });
  }
}

/** `null`: somebody else has put there what is no schedule. */
function read({ value }: KeyValue): Scheduled | null {
  try {
    const found = JSON.parse(Buffer.from(value).toString('utf8')) as Record<string, unknown>;
    return {
      procedure: check.text(found.procedure, 'schedule procedure'),
      args: found.args ?? null,
      cron: check.optional(found.cron, (v) => check.text(v, 'schedule cron')),
    };
  } catch {
    return null;
  }
}

/** When it is due again is not looked for: for what never is, that takes long. */
function isTimed({ cron }: Scheduled): boolean {
  try {
    if (cron !== null) checkCron(cron);
    return true;
  } catch {
    return false;
  }
}
