import { hash } from 'node:crypto';
import { FINGERPRINT_BYTES } from '../../base/call.js';
import { BalsaError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import {
  type Bundle,
  CALL_LIMITS,
  type CallIdentity,
  type CallLimits,
  type Execution,
  type Executor,
  failedExecution,
  type GroupBounds,
  type GroupMember,
  type GroupNews,
  type ProcedureCall,
  type StoreSource,
} from '../../compute/execution.js';
import type { ResolvedProcedure } from '../../statemachine/procedures.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { CallRequest } from './call-types.js';

export interface RunnerOptions {
  /** `null`: this replica runs no procedures. */
  readonly executor: Executor | null;
  readonly random: Random;
  /** See `Limits`. */
  readonly cellBytesMax: number;
  readonly machine: () => StateMachine;
  /** The time of day here, in milliseconds since 1970: what `ctx.now` says. */
  readonly nowMs: () => number;
  /** Log time as it is now, in milliseconds: what is scheduled is due by it. */
  readonly logMs: () => number;
}

/** What a call sees of the replica that runs it. */
export interface OwnFacts {
  /** What `ctx.now` says. */
  readonly nowMs: number;
  /** Whose rights it may use. */
  readonly origin: string;
  readonly limits?: CallLimits;
  /** See `ProcedureCall`. */
  readonly task?: string;
}

/** Bundles whose code is kept at hand. */
const BUNDLES_MAX = 32;

/** Seeds of `ctx.random`. */
const SEED_MAX = 2 ** 31;

/** Runs the code of calls. */
export class Runner {
  readonly #options: RunnerOptions;
  /** By hash; the one that was asked for last is behind. */
  readonly #bundles = new Map<string, Bundle>();

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** What is asked for; `null`: there is no such procedure in the state as it is here. */
  resolve(reference: string): ResolvedProcedure | null {
    return this.#options.machine().resolveProcedure(reference);
  }

  /** Never rejects. */
  run(
    { name, mode, hash }: ResolvedProcedure,
    args: string,
    source: StoreSource,
    own: OwnFacts | null = null,
    signal?: AbortSignal,
  ): Promise<Execution> {
    const { executor } = this.#options;
    const bundle = this.#bundle(hash);
    if (executor === null || bundle === null) return Promise.resolve(failedExecution(noExecutor()));
    const call = this.#callOf(bundle, name, args);
    return executor.run(own === null ? call : { ...call, ...own }, mode, source, signal);
  }

  /** As `Executor.runGroup`. */
  runGroup(
    requests: readonly {
      readonly request: CallRequest;
      readonly identity: CallIdentity;
      readonly resolved: ResolvedProcedure;
    }[],
    source: StoreSource,
    bounds: GroupBounds,
    news: GroupNews,
  ): Promise<readonly GroupMember[]> {
    const { executor } = this.#options;
    const calls = requests.map(({ request, identity, resolved: { name, hash } }) => {
      const bundle = this.#bundle(hash);
      const call = bundle === null ? null : this.#callOf(bundle, name, request.args);
      const { supplement = null } = request;
      return call === null ? null : { call, identity, supplement };
    });
    const known = calls.filter((call) => call !== null);
    if (executor === null || known.length < calls.length) {
      return Promise.resolve(calls.map(() => ({ ok: false, error: noExecutor(), logs: [] })));
    }
    return executor.runGroup(known, source, bounds, news);
  }

  #callOf(bundle: Bundle, name: string, args: string): ProcedureCall {
    const { random } = this.#options;
    const nowMs = Math.floor(this.#options.nowMs());
    const logMs = Math.floor(this.#options.logMs());
    const seed = random.int(SEED_MAX);
    const limits = { ...CALL_LIMITS, cellBytesMax: this.#options.cellBytesMax };
    return { bundle, name, args, nowMs, logMs, seed, origin: '', limits };
  }

  #bundle(hash: string): Bundle | null {
    const kept = this.#bundles.get(hash);
    if (kept !== undefined) {
      this.#bundles.delete(hash);
      this.#bundles.set(hash, kept);
      return kept;
    }
    const code = this.#options.machine().procedureCode(hash);
    if (code === null) return null;
    const bundle = { hash, code: Buffer.from(code).toString('utf8') };
    this.#bundles.set(hash, bundle);
    const [oldest] = this.#bundles.keys();
    if (this.#bundles.size > BUNDLES_MAX && oldest !== undefined) this.#bundles.delete(oldest);
    return bundle;
  }
}

/** What tells the call from others. */
export function identityOf(request: CallRequest): CallIdentity {
  const { key, isNamed, bornIndex, procedure } = request;
  return { key, isNamed, bornIndex, procedure, fingerprint: fingerprintOf(request) };
}

function noExecutor(): BalsaError {
  return new BalsaError('SHUTTING_DOWN', 'this replica runs no procedures now', {
    outcome: 'not-applied',
  });
}

/** Of what is called: neither the alias nor the code, which may change between two attempts. */
function fingerprintOf({ procedure, args }: CallRequest): Uint8Array {
  const [name = ''] = procedure.split('@');
  // In one go: an object for it costs several times as much.
  const digest = hash('sha256', `${name}\0${args}`, 'buffer');
  return digest.subarray(0, FINGERPRINT_BYTES);
}
