import { BalsaError } from '../../../src/base/errors.js';
import type { ConsistencyOption } from '../../../src/client/consistency.js';
import type { CallResult, ProcedureCallOptions } from '../../../src/client/procedures.js';
import { UNAVAILABLE } from '../ordinary-errors.js';
import type { SideClient, TextClient } from '../side-client.js';
import type { Ask, CallLedger, LedgerCall, Sight } from './call-ledger.js';
import { NATIVE_PROCEDURES, type NativeName } from './native-procedures.js';

/** What a call may end with, though nothing is wrong. */
const ORDINARY = new Set([
  ...UNAVAILABLE,
  ...['CLIENT_CLOSED', 'COMPACTED', 'SESSION_BEHIND', 'STALE_BOUND_EXCEEDED', 'TXN_CONFLICT'],
  ...['PROCEDURE_ABORTED', 'PROCEDURE_LIMIT', 'PROCEDURE_NOT_FOUND'],
  ...['CALL_EXPIRED', 'CALL_KEYS_FULL', 'UPGRADE_PENDING'],
]);

/** How a call is to be made. */
export interface CallWish {
  readonly name: NativeName;
  /** Default: `prod`, as it stands without being said. */
  readonly alias?: string | undefined;
  readonly args: unknown;
  readonly id: string;
  readonly isNamed: boolean;
}

/** Where and how fresh it is asked for. */
export interface AskWish {
  readonly route?: 'lane' | 'any' | undefined;
  readonly consistency?: ConsistencyOption | undefined;
  readonly timeoutMs?: number | undefined;
}

/** One client that calls procedures, and writes down what it is told. */
export class Caller {
  readonly name: string;
  readonly client: SideClient;
  readonly #ledger: CallLedger;
  #db: TextClient | null = null;
  /** The highest revision that it was told of. */
  #seen = 0;

  constructor(name: string, client: SideClient, ledger: CallLedger) {
    this.name = name;
    this.client = client;
    this.#ledger = ledger;
  }

  /** It has its connection. */
  use(db: TextClient): void {
    this.#db = db;
  }

  get isConnected(): boolean {
    return this.#db !== null;
  }

  async call(wish: CallWish, how: AskWish): Promise<LedgerCall> {
    const { name, alias, args, id, isNamed } = wish;
    const reference = alias === undefined ? name : `${name}@${alias}`;
    const call: LedgerCall = { id, name, reference, args, isNamed, asks: [] };
    this.#ledger.add(call);
    await this.ask(call, how);
    return call;
  }

  /** Asks for a call, which may have been asked for before. */
  async ask(call: LedgerCall, { route, consistency, timeoutMs }: AskWish): Promise<Ask | null> {
    const { world } = this.client;
    if (this.#db === null) return null;
    const options: ProcedureCallOptions = {
      ...{ route, consistency, timeoutMs },
      idempotencyKey: call.isNamed ? `key of ${call.id}` : undefined,
    };
    const sight = sightOf(call.name, options, this.#seen);
    const { name: who } = this;
    const beginMs = this.client.nowMs;
    try {
      const answer = await this.#db.call(call.reference, call.args, options);
      this.#saw(answer);
      world.coverage.count(`calls: ${call.name} answered`);
      world.coverage.count(`calls: ${routeOf(options)} answered`);
      const ask = { who, beginMs, endMs: this.client.nowMs, sight, answer, error: null };
      call.asks.push(ask);
      return ask;
    } catch (error) {
      if (!(error instanceof BalsaError) || !ORDINARY.has(error.code)) throw error;
      world.coverage.count(`calls: told ${error.code} (${error.outcome ?? 'read'})`);
      const ask = { who, beginMs, endMs: this.client.nowMs, sight, answer: null, error };
      call.asks.push(ask);
      return ask;
    }
  }

  #saw({ revision }: CallResult<unknown>): void {
    this.#seen = Math.max(this.#seen, revision);
  }
}

function sightOf(name: NativeName, options: ProcedureCallOptions, seen: number): Sight {
  const { route, consistency } = options;
  if (NATIVE_PROCEDURES[name].mode === 'cp') return { type: 'strict' };
  if (consistency === undefined) return { type: route === 'any' ? 'any' : 'strict' };
  if (consistency === 'linearizable') return { type: 'strict' };
  if (consistency === 'session') return { type: 'session', revision: seen };
  if (typeof consistency === 'object' && 'bounded' in consistency) {
    return { type: 'bounded', ms: consistency.bounded };
  }
  return { type: 'any' };
}

function routeOf({ route = 'lane', consistency }: ProcedureCallOptions): string {
  if (consistency === undefined) return `route ${route}`;
  return `read ${typeof consistency === 'object' ? 'bounded' : consistency}`;
}
