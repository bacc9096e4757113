import type { BalsaError } from '../../../src/base/errors.js';
import type { NativeName } from './native-procedures.js';

/** How fresh what a call saw must be. `strict`: it happened between its begin and its end. */
export type Sight =
  | { readonly type: 'strict' }
  | { readonly type: 'any' }
  /** It sees what its client had seen: so many revisions. */
  | { readonly type: 'session'; readonly revision: number }
  | { readonly type: 'bounded'; readonly ms: number };

/** What somebody was told who asked for a call. */
export interface Ask {
  readonly who: string;
  readonly beginMs: number;
  readonly endMs: number;
  readonly sight: Sight;
  readonly answer: Answer | null;
  /** `null`: it was answered. */
  readonly error: BalsaError | null;
}

export interface Answer {
  readonly result: unknown;
  readonly revision: number;
  readonly repeated: boolean;
  readonly hash: string;
}

/** One call, however often and by whomever it was asked for. */
export interface LedgerCall {
  readonly id: string;
  readonly name: NativeName;
  /** As it was called: `transfer`, `transfer@next`. */
  readonly reference: string;
  readonly args: unknown;
  /** Under a key of its caller, so that others can ask again. */
  readonly isNamed: boolean;
  readonly asks: Ask[];
}

/** What became of a call, as far as those know who asked for it. */
export type Fate = 'applied' | 'not-applied' | 'unknown';

export function fateOf({ asks }: LedgerCall): Fate {
  if (asks.some(({ answer }) => answer !== null)) return 'applied';
  const isSure = asks.every(({ error }) => error !== null && error.outcome === 'not-applied');
  return isSure ? 'not-applied' : 'unknown';
}

/** A change of what an alias stands for. */
export interface Deployment {
  readonly who: string;
  /** `transfer@prod`. */
  readonly references: readonly string[];
  /** `null`: nothing any more. */
  readonly version: number | null;
  readonly beginMs: number;
  /** Infinity: nobody was told what became of it. */
  readonly endMs: number;
}

/** All that was asked of procedures, and answered. */
export class CallLedger {
  readonly calls = new Map<string, LedgerCall>();
  readonly deployments: Deployment[] = [];
  #nextId = 1;

  newId(): string {
    const id = `c${this.#nextId}`;
    this.#nextId += 1;
    return id;
  }

  add(call: LedgerCall): void {
    this.calls.set(call.id, call);
  }

  asks(): { readonly call: LedgerCall; readonly ask: Ask }[] {
    return [...this.calls.values()].flatMap((call) => call.asks.map((ask) => ({ call, ask })));
  }
}
