import { hash } from 'node:crypto';
import { FINGERPRINT_BYTES } from '../../base/call.js';
import { asBalsaError, BalsaError } from '../../base/errors.js';
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
  type GroupCall,
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
    if (executor === null) return Promise.resolve(failedExecution(noExecutor()));
    if (bundle instanceof BalsaError) return Promise.resolve(failedExecution(bundle));
    const call = this.#callOf(bundle, name, args);
    return executor.run(own === null ? call : { ...call, ...own }, mode, source, signal);
  }

  /** As `Executor.runGroup`. A call whose code cannot be had ends the group, or is all of it. */
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
    const failed = (error: BalsaError): GroupMember => ({ ok: false, error, logs: [] });
    if (executor === null) return Promise.resolve(requests.map(() => failed(noExecutor())));
    const calls: GroupCall[] = [];
    for (const { request, identity, resolved } of requests) {
      const bundle = this.#bundle(resolved.hash);
      if (bundle instanceof BalsaError) {
        if (calls.length === 0) return Promise.resolve([failed(bundle)]);
        break;
      }
      const { supplement = null } = request;
      const call = this.#callOf(bundle, resolved.name, request.args);
      calls.push({ call, identity, supplement });
    }
    return executor.runGroup(calls, source, bounds, news);
  }

  #callOf(bundle: Bundle, name: string, args: string): ProcedureCall {
    const { random } = this.#options;
    const nowMs = Math.floor(this.#options.nowMs());
    const logMs = Math.floor(this.#options.logMs());
    const seed = random.int(SEED_MAX);
    const limits = { ...CALL_LIMITS, cellBytesMax: this.#options.cellBytesMax };
    return { bundle, name, args, nowMs, logMs, seed, origin: '', limits };
  }

  /** @returns why it cannot be had: it is not there, the store is closed, or holds something else than what was written */
  #bundle(hash: string): Bundle | BalsaError {
    const kept = this.#bundles.get(hash);
    if (kept !== undefined) {
      this.#bundles.delete(hash);
      this.#bundles.set(hash, kept);
      return kept;
    }
    let code: Uint8Array | null;
    try {
      code = this.#options.machine().procedureCode(hash);
    } catch (cause) {
      return asBalsaError(cause).withOutcome('not-applied');
    }
    if (code === null) return noExecutor();
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
