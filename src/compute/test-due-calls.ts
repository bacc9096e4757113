import type { RecordedEffects } from '../base/call.js';
import { BalsaError } from '../base/errors.js';
import { recordOf } from './call-record.js';
import { dueAgainMs } from './cron.js';
import type { CallSupplement, Execution, StoredKey } from './execution.js';
import { type AnyProcedure, isProcedure } from './native-context.js';
import type { TriggerEvent } from './procedures.js';
import { dueIn, movedOn, SCHEDULES } from './schedule-keys.js';

/** A call that nobody has made but the store itself. */
export interface DueCall {
  readonly procedure: string;
  /** It was scheduled, or is a trigger. */
  readonly by: 'schedule' | 'trigger';
  /** `null`: it was applied. */
  readonly error: BalsaError | null;
}

export interface DueHost {
  /** In order. */
  readonly items: () => readonly StoredKey[];
  readonly nowMs: number;
  readonly run: (procedure: AnyProcedure, args: unknown) => Promise<Execution>;
  readonly apply: (effects: RecordedEffects) => void;
}

/** As in a cluster: writes that one call of a trigger is given, and how often one alone is tried. */
const EVENTS_MAX = 100;
const TRIES_MAX = 5;
/** More make each other due. */
const CALLS_MAX = 10_000;

const IDENTITY = {
  ...{ key: new Uint8Array(1), isNamed: false, bornIndex: 0, procedure: '' },
  fingerprint: new Uint8Array(8),
};

interface Scheduled {
  readonly procedure: string;
  readonly args: unknown;
  readonly cron: string | null;
}

/** What is called by itself in a cluster: what was scheduled, and triggers. */
export class DueCalls {
  readonly #procedures = new Map<string, AnyProcedure>();
  readonly #hasModule: boolean;
  readonly #triggers: DueTrigger[] = [];
  /** How procedures are called by their names. */
  readonly names = {
    nameOf: (procedure: AnyProcedure): string => this.#nameOf(procedure),
    find: (name: string): AnyProcedure | undefined => this.#procedures.get(name),
  };

  /** @param module `null`: nothing is known of what is exported, and names are made for what is scheduled */
  constructor(module: object | null) {
    this.#hasModule = module !== null;
    for (const [name, value] of Object.entries(module ?? {})) {
      if (!isProcedure(value)) continue;
      this.#procedures.set(name, value);
      if (value.trigger !== undefined) this.#triggers.push(new DueTrigger(name, value));
    }
  }

  /** At one revision. */
  written(events: readonly TriggerEvent[]): void {
    for (const trigger of this.#triggers) trigger.heard(events);
  }

  forgetWrites(): void {
    for (const trigger of this.#triggers) trigger.forget();
  }

  /** @throws BalsaError `PROCEDURE_LIMIT` */
  async runAll(host: DueHost): Promise<readonly DueCall[]> {
    const calls: DueCall[] = [];
    const waiting = new Set<string>();
    for (;;) {
      const due = host.items().find((item) => isDue(item, host.nowMs) && !waiting.has(keyOf(item)));
      const trigger = this.#triggers.find(({ isDue }) => isDue);
      if (due === undefined && trigger === undefined) return calls;
      if (calls.length >= CALLS_MAX) throw tooMany();
      if (due !== undefined) {
        const call = await this.#callScheduled(host, due);
        if (call.error?.code === 'PROCEDURE_NOT_FOUND') waiting.add(keyOf(due));
        calls.push(call);
      } else if (trigger !== undefined) calls.push(await trigger.call(host));
    }
  }

  async #callScheduled(host: DueHost, item: StoredKey): Promise<DueCall> {
    const { procedure: name, args, cron } = scheduledIn(item);
    const procedure = this.#procedures.get(name);
    if (procedure?.mode !== 'cp') return { procedure: name, by: 'schedule', error: missing(name) };
    const execution = await host.run(procedure, args);
    const supplement = supplementOf(item, cron, host.nowMs);
    host.apply(recordOf(IDENTITY, '', execution, [], supplement));
    return { procedure: name, by: 'schedule', error: execution.ok ? null : execution.error };
  }

  #nameOf(procedure: AnyProcedure): string {
    for (const [name, known] of this.#procedures) if (known === procedure) return name;
    // As for code that does not export it.
    if (this.#hasModule || !isProcedure(procedure)) return '';
    const name = `procedure${this.#procedures.size + 1}`;
    this.#procedures.set(name, procedure);
    return name;
  }
}

class DueTrigger {
  readonly #name: string;
  readonly #procedure: AnyProcedure;
  #events: TriggerEvent[] = [];
  #eventsMax = EVENTS_MAX;
  #failures = 0;

  constructor(name: string, procedure: AnyProcedure) {
    this.#name = name;
    this.#procedure = procedure;
  }

  get isDue(): boolean {
    return this.#events.length > 0;
  }

  heard(events: readonly TriggerEvent[]): void {
    const prefix = this.#procedure.trigger ?? '';
    this.#events.push(...events.filter(({ key }) => key.startsWith(prefix)));
  }

  forget(): void {
    this.#events = [];
  }

  async call({ run, apply }: DueHost): Promise<DueCall> {
    const events = this.#events.slice(0, this.#eventsMax);
    const execution = await run(this.#procedure, events);
    if (execution.ok) {
      this.#goOnBehind(events.length);
      this.#eventsMax = Math.min(EVENTS_MAX, this.#eventsMax * 2);
      apply(execution.effects);
    } else {
      this.#eventsMax = 1;
      this.#failures += 1;
      if (events.length === 1 && this.#failures >= TRIES_MAX) this.#goOnBehind(1);
    }
    const error = execution.ok ? null : execution.error;
    return { procedure: this.#name, by: 'trigger', error };
  }

  #goOnBehind(count: number): void {
    this.#events.splice(0, count);
    this.#failures = 0;
  }
}

/** What comes into being with the call in any case. */
function supplementOf(item: StoredKey, cron: string | null, nowMs: number): CallSupplement {
  const next = cron === null ? null : dueAgainMs(cron, nowMs);
  return { reads: [], writes: movedOn(item, next), evenIfFailed: true };
}

function isDue(item: StoredKey, nowMs: number): boolean {
  const key = keyOf(item);
  return key.startsWith(SCHEDULES) && dueIn(key) <= nowMs;
}

/** What is no schedule was put there by the test, and waits for ever. */
function scheduledIn({ value }: StoredKey): Scheduled {
  const found = JSON.parse(Buffer.from(value).toString()) as Partial<Scheduled> | null;
  const { procedure, args = null, cron } = found ?? {};
  return { procedure: String(procedure ?? ''), args, cron: cron ?? null };
}

function keyOf({ key }: StoredKey): string {
  return Buffer.from(key).toString();
}

function missing(name: string): BalsaError {
  const message = `the store knows no procedure ${name}: give it the module, new TestStore(values, module)`;
  return new BalsaError('PROCEDURE_NOT_FOUND', message, { outcome: 'not-applied' });
}

function tooMany(): BalsaError {
  const message = `more than ${CALLS_MAX} calls are due: they make each other due again and again`;
  return new BalsaError('PROCEDURE_LIMIT', message, {
    details: { limit: 'calls', max: CALLS_MAX },
  });
}
