import { BalsaError } from '../../base/errors.js';
import { isVerdict, packRecord, recordOf } from '../../compute/call-record.js';
import type { ResolvedProcedure } from '../../statemachine/procedures.js';
import { CallLane, confirmed, type LaneHost, procedureNotFound } from './call-lane.js';
import { CallLog } from './call-log.js';
import { type CallDone, type CallRequest, refusedCall } from './call-types.js';
import { MachineSource } from './machine-source.js';
import { identityOf } from './runner.js';
import { Schedules } from './schedules.js';
import { type TriggerHost, Triggers } from './triggers.js';

/** What a call comes to that was run here, and not applied yet. */
export type ExecutedDone = (
  executed: { readonly record: Uint8Array; readonly logs: readonly string[] } | BalsaError,
) => void;

export type CallsHost = LaneHost & Omit<TriggerHost, 'call' | 'note'>;

/** The calls of one replica: those of its lane when it leads, those that only read, and those run for another's log. */
export class Calls {
  readonly #host: CallsHost;
  readonly #lane: CallLane;
  readonly #schedules: Schedules;
  readonly #triggers: Triggers;
  /** What was called lately, and how it went. */
  readonly log: CallLog;

  constructor(host: CallsHost) {
    this.#host = host;
    this.#lane = new CallLane(host);
    this.log = new CallLog(host.clock);
    const followUps = {
      ...host,
      call: (request: CallRequest, done: CallDone): void => this.call(request, done),
      note: (procedure: string, line: string): void => this.log.note(procedure, line),
    };
    this.#schedules = new Schedules(followUps);
    this.#triggers = new Triggers(followUps);
  }

  /** What the leader does by itself: calls that are due, and those for what was written. */
  tick(): void {
    this.#schedules.tick();
    this.#triggers.tick();
  }

  /** What a reference stands for in the state as it is here; `null`: nothing. */
  resolve(reference: string): ResolvedProcedure | null {
    return this.#host.runner.resolve(reference);
  }

  /** In the leader's lane. */
  call(request: CallRequest, done: CallDone): void {
    this.#lane.add(request, this.log.noting(request.procedure, done));
  }

  /** A call that was {@link execute}d somewhere: it is applied, or answered `TXN_CONFLICT`. */
  submit(record: Uint8Array, done: CallDone): void {
    this.#lane.submit(record, done);
  }

  /**
   * A procedure that only reads, over the state as it is now: the caller has seen to the level. Its revision is that of
   * the answer.
   */
  async read(request: CallRequest, done: CallDone): Promise<void> {
    const noting = this.log.noting(request.procedure, done);
    const resolved = this.resolve(request.procedure);
    if (resolved === null) {
      noting(refusedCall(procedureNotFound(request.procedure)));
      return;
    }
    if (resolved.mode !== 'read') {
      const message = `${request.procedure} writes: it is called as one that does`;
      noting(refusedCall(new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' })));
      return;
    }
    const source = new MachineSource(this.#host.machine);
    const execution = await this.#host.runner.run(resolved, request.args, source);
    const { logs } = execution;
    if (!execution.ok) {
      noting(refusedCall(execution.error, logs));
      return;
    }
    const { revision } = source;
    const { hash } = resolved;
    noting({ ok: true, result: execution.result, revision, hash, logs, repeated: false });
  }

  /** Runs a call over the state as it is here, whoever leads: what comes of it is for the leader to {@link submit}. */
  async execute(request: CallRequest, done: ExecutedDone): Promise<void> {
    // It may have been deployed, and this replica has not heard of it.
    const resolved =
      this.resolve(request.procedure) ?? (await confirmed(this.#host, request.procedure));
    if (resolved instanceof BalsaError) {
      done(resolved);
      return;
    }
    const source = new MachineSource(this.#host.machine);
    const execution = await this.#host.runner.run(resolved, request.args, source);
    if (!execution.ok && !isVerdict(execution)) {
      done(execution.error);
      return;
    }
    try {
      const record = recordOf(identityOf(request), resolved.hash, execution, []);
      done({
        record: packRecord(record, this.#host.limits.batchBytesMax),
        logs: execution.logs,
      });
    } catch (cause) {
      done(cause as BalsaError);
    }
  }

  wake(): void {
    this.#lane.wake();
  }

  /** Calls that are not in the log yet are answered with `error`. */
  abandon(error: BalsaError): void {
    this.#triggers.stop();
    this.#lane.abandon(error);
  }

  /** As {@link abandon}, and those that come from now on. */
  close(error: BalsaError): void {
    this.#triggers.stop();
    this.#lane.close(error);
  }
}
