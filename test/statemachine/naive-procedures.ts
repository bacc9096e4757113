import type { CallEnd, Effects, KeyDefault, KeyUpdate } from '../../src/base/call.js';
import { bytes } from './replica.js';

/** Small procedures that are data: what they do depends on what they read, and on nothing else. */

export type Action =
  | { readonly type: 'get'; readonly key: string }
  | {
      readonly type: 'scan';
      readonly from: string;
      readonly to: string | null;
      readonly limit: number;
    }
  /** Writes a number made of all that was read, or, if it is odd and `text`, something else. */
  | { readonly type: 'put'; readonly key: string; readonly text: boolean }
  | { readonly type: 'delete'; readonly key: string }
  | { readonly type: 'update'; readonly how: 'add' | 'max' | 'absent'; readonly key: string }
  | { readonly type: 'emit'; readonly name: string }
  /** Leaves so many actions out if what was read is odd. */
  | { readonly type: 'skip'; readonly count: number }
  /** Fails if what was read can be divided by three. */
  | { readonly type: 'fail' };

/** What a procedure reads. */
export interface NaiveView {
  /** `null`: nothing. */
  get(key: string): string | null;
  /** In order. */
  keys(): readonly string[];
}

/** As far as it was really read. */
export interface NaiveRange {
  readonly from: string;
  /** Exclusive; `null`: to the end. */
  readonly to: string | null;
}

/** What has come of a procedure. */
export interface NaiveRun extends Pick<Effects, 'updates' | 'events'> {
  /** All that it was told, in order. */
  readonly trace: readonly string[];
  readonly reads: readonly string[];
  readonly ranges: readonly NaiveRange[];
  /** `null`: deleted. */
  readonly writes: ReadonlyMap<string, string | null>;
  readonly end: CallEnd;
}

export function runProcedure(actions: readonly Action[], view: NaiveView): NaiveRun {
  return new Running(view).run(actions);
}

export function isWithin(key: string, { from, to }: NaiveRange): boolean {
  return key >= from && (to === null || key < to);
}

class Running {
  readonly #view: NaiveView;
  readonly #trace: string[] = [];
  readonly #reads = new Set<string>();
  readonly #ranges: NaiveRange[] = [];
  readonly #writes = new Map<string, string | null>();
  readonly #updates: (KeyUpdate | KeyDefault)[] = [];
  readonly #updated = new Set<string>();
  readonly #events: { name: string; payload: string }[] = [];
  /** Of all that was read. */
  #digest = 7;

  constructor(view: NaiveView) {
    this.#view = view;
  }

  run(actions: readonly Action[]): NaiveRun {
    let failed = false;
    for (let n = 0; n < actions.length && !failed; n += 1) {
      const action = actions[n] as Action;
      if (action.type === 'skip') n += this.#digest % 2 === 1 ? action.count : 0;
      else if (action.type === 'fail') failed = this.#digest % 3 === 0;
      else this.#act(action);
    }
    return {
      trace: this.#trace,
      reads: [...this.#reads],
      ranges: this.#ranges,
      writes: failed ? new Map() : this.#writes,
      updates: failed ? [] : this.#updates,
      events: failed ? [] : this.#events,
      end: failed
        ? { ok: false, code: 'PROCEDURE_ABORTED', message: `${this.#digest}`, details: {} }
        : { ok: true, result: `${this.#digest}` },
    };
  }

  #act(action: Exclude<Action, { type: 'skip' | 'fail' }>): void {
    switch (action.type) {
      case 'get':
        if (!this.#updated.has(action.key)) this.#get(action.key);
        break;
      case 'scan':
        if (![...this.#updated].some((key) => isWithin(key, action))) this.#scan(action);
        break;
      case 'put': {
        if (this.#updated.has(action.key)) return;
        const isText = action.text && this.#digest % 2 === 1;
        this.#writes.set(action.key, isText ? `"${this.#digest}"` : `${this.#digest}`);
        break;
      }
      case 'delete':
        if (!this.#updated.has(action.key)) this.#writes.set(action.key, null);
        break;
      case 'update':
        if (!this.#writes.has(action.key)) this.#update(action);
        break;
      default:
        this.#events.push({ name: action.name, payload: `${this.#digest}` });
    }
  }

  #tell(said: string): void {
    this.#trace.push(said);
    for (const one of Buffer.from(said)) this.#digest = (this.#digest * 31 + one) % 1009;
  }

  #get(key: string): void {
    const written = this.#writes.get(key);
    if (written === undefined) this.#reads.add(key);
    const value = written === undefined ? this.#view.get(key) : written;
    this.#tell(`${key}=${value}`);
  }

  #scan({ from, to, limit }: Action & { type: 'scan' }): void {
    const keys = new Set([...this.#view.keys(), ...this.#writes.keys()]);
    const inside = [...keys].filter((key) => isWithin(key, { from, to })).sort();
    const found: string[] = [];
    let last: string | null = null;
    for (const key of inside) {
      if (found.length === limit) break;
      const written = this.#writes.get(key);
      const value = written === undefined ? this.#view.get(key) : written;
      if (value !== null) found.push(`${key}=${value}`);
      last = key;
    }
    this.#tell(`[${found.join(' ')}]`);
    const isCut = found.length === limit && last !== null;
    // The first key behind the last one.
    this.#ranges.push({ from, to: isCut ? `${last}\0` : to });
  }

  #update({ how, key }: Action & { type: 'update' }): void {
    this.#updated.add(key);
    const by = (this.#digest % 21) - 10;
    if (how !== 'absent') this.#updates.push({ type: how, key: bytes(key), by });
    else this.#updates.push({ type: 'set-if-absent', key: bytes(key), value: bytes(`${by}`) });
  }
}
