import { BalsaError } from '../../base/errors.js';
import { isVerdict, packRecord, recordOf } from '../../compute/call-record.js';
import type { Execution } from '../../compute/execution.js';
import type { MemberId } from '../../raft/types.js';
import type { ApFigures } from '../../rpc/call-protocol.js';
import type { DeltaFrame } from '../../rpc/delta-frames.js';
import type { ResolvedProcedure } from '../../statemachine/procedures.js';
import type { Durability } from '../ap/ap-calls.js';
import { type ApHost, ApService } from '../ap/ap-service.js';
import { type JobHost, JobService } from '../jobs/job-service.js';
import { CallBytes } from './call-bytes.js';
import { CallLane, confirmed, type LaneHost, procedureNotFound } from './call-lane.js';
import { CallLog } from './call-log.js';
import {
  type CallAnswer,
  type CallDone,
  type CallRequest,
  otherMode,
  refusedCall,
} from './call-types.js';
import { MachineSource } from './machine-source.js';
import { identityOf } from './runner.js';
import { Schedules } from './schedules.js';
import { type TriggerHost, Triggers } from './triggers.js';

/** What a call comes to that was run here, and not applied yet. */
export type ExecutedDone = (
  executed: { readonly record: Uint8Array; readonly logs: readonly string[] } | BalsaError,
) => void;

interface Ran {
  readonly execution: Execution;
  /** Of the state that it was run over. */
  readonly revision: number;
}

/** A call of a procedure that only reads. */
export interface ReadCall extends CallRequest {
  /** Over what is held here as well, merged or not. */
  readonly isLocal?: boolean | undefined;
  /** Told each time before the state is taken that the code reads. */
  readonly onRun?: (() => void) | undefined;
}

/** Of a call whose state is no longer kept before it ends. */
const ATTEMPTS_MAX = 3;

export type CallsHost = LaneHost &
  Omit<TriggerHost, 'call' | 'note' | 'submit'> & {
    /** `null`: there is no place for what `ap` calls leave. */
    readonly ap: Omit<ApHost, 'runner'> | null;
    readonly jobs: JobHost;
  };

/** The calls of one replica: those of its lane when it leads, those that only read, and those run for another's log. */
export class Calls {
  readonly #host: CallsHost;
  readonly #lane: CallLane;
  readonly #schedules: Schedules;
  readonly #triggers: Triggers;
  readonly #ap: ApService | null;
  /** Jobs, whose tasks are calls as well. */
  readonly jobs: JobService;
  /** What was called lately, and how it went. */
  readonly log: CallLog;
  /** Of calls outside of the lane, which counts its own. */
  readonly bytes: CallBytes;

  constructor(host: CallsHost) {
    this.#host = host;
    this.#lane = new CallLane(host);
    this.jobs = new JobService(host.jobs);
    this.#ap = host.ap && new ApService({ ...host.ap, runner: host.runner });
    this.log = new CallLog(host.clock);
    this.bytes = new CallBytes(host.limits);
    const followUps = {
      ...host,
      call: (request: CallRequest, done: CallDone): void => this.call(request, done),
      note: (procedure: string, line: string): void => this.log.note(procedure, line),
      submit: (record: Uint8Array, done: CallDone): void => this.submit(record, done),
    };
    this.#schedules = new Schedules({
      ...followUps,
      call: (request, done) =>
        this.#lane.add(request, this.log.noting(request.procedure, done, { tellsErrors: false })),
    });
    this.#triggers = new Triggers(followUps);
  }

  /** What the leader does by itself: calls that are due, and those for what was written. */
  tick(): void {
    this.#schedules.tick();
    this.#triggers.tick();
    this.#ap?.tick();
    this.jobs.tick();
  }

  /** The time of day that calls and deltas are compared by. */
  get wallMs(): number {
    return this.#ap?.nowMs ?? Math.floor(this.#host.clock.wallMs());
  }

  get apStatus(): ApFigures | null {
    return this.#ap?.status ?? null;
  }

  /** From another member, about deltas that wait to be merged. */
  receiveDeltas(from: MemberId, frame: DeltaFrame): void {
    this.#ap?.receive(from, frame);
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

  /** An `ap` procedure, here, whoever leads. */
  async callAp(request: CallRequest, durability: Durability, done: CallDone): Promise<void> {
    const noting = this.#takenIn(request, done);
    if (noting === null) return;
    const resolved = this.resolve(request.procedure);
    if (resolved === null) noting(refusedCall(procedureNotFound(request.procedure)));
    else if (this.#ap === null) noting(refusedCall(noAp()));
    else await this.#ap.calls.call(request, resolved, durability, noting);
  }

  /**
   * A procedure that only reads, over the state as it is now: the caller has seen to the level. Its revision is that of
   * the answer.
   */
  async read(request: ReadCall, done: CallDone): Promise<void> {
    const noting = this.#takenIn(request, done);
    if (noting === null) return;
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
    const { isLocal = false, onRun } = request;
    const lacking = isLocal ? await this.#ap?.calls.whole() : null;
    if (lacking instanceof BalsaError) {
      noting(refusedCall(lacking));
      return;
    }
    const { execution, revision } = await this.#run(resolved, request.args, { isLocal, onRun });
    const lost = isLocal ? await this.#ap?.calls.settled() : null;
    if (lost instanceof BalsaError) {
      noting(refusedCall(lost));
      return;
    }
    const { logs } = execution;
    if (!execution.ok) {
      noting(refusedCall(execution.error, logs));
      return;
    }
    const { hash } = resolved;
    noting({ ok: true, result: execution.result, revision, hash, logs, repeated: false });
  }

  /** Runs a call over the state as it is here, whoever leads: what comes of it is for the leader to {@link submit}. */
  async execute(request: CallRequest, done: ExecutedDone): Promise<void> {
    const release = this.bytes.hold(Buffer.byteLength(request.args));
    if (release instanceof BalsaError) {
      done(release);
      return;
    }
    await this.#execute(request, (executed) => {
      release();
      done(executed);
    });
  }

  async #execute(request: CallRequest, done: ExecutedDone): Promise<void> {
    const note = this.log.noting(request.procedure, () => {});
    // It may have been deployed, and this replica has not heard of it.
    const resolved =
      this.resolve(request.procedure) ?? (await confirmed(this.#host, request.procedure));
    if (resolved instanceof BalsaError) {
      done(resolved);
      return;
    }
    if (resolved.mode !== 'cp') {
      done(otherMode(request, resolved));
      return;
    }
    const { execution } = await this.#run(resolved, request.args);
    // What becomes of it is for the leader to say: its code was run here.
    note(noteOf(execution, resolved.hash));
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

  /** `done`, which takes a note and gives the bytes of the call back; `null`: there is no room for it, which was answered. */
  #takenIn({ procedure, args }: CallRequest, done: CallDone): CallDone | null {
    const noting = this.log.noting(procedure, done);
    const release = this.bytes.hold(Buffer.byteLength(args));
    if (release instanceof BalsaError) {
      noting(refusedCall(release));
      return null;
    }
    return (answer) => {
      release();
      noting(answer);
    };
  }

  /** Over the state as it is now; if that is no longer kept before all of it was read, over that which is then. */
  async #run(
    resolved: ResolvedProcedure,
    args: string,
    { isLocal = false, onRun = () => {} }: Pick<ReadCall, 'isLocal' | 'onRun'> = {},
  ): Promise<Ran> {
    for (let attempt = 1; ; attempt += 1) {
      onRun();
      const local = isLocal ? this.#ap?.calls.source() : undefined;
      const source = local ?? new MachineSource(this.#host.machine);
      const execution = await this.#host.runner.run(resolved, args, source);
      const isOvertaken = !execution.ok && execution.error.code === 'COMPACTED';
      if (!isOvertaken || attempt === ATTEMPTS_MAX) return { execution, revision: source.revision };
    }
  }

  wake(): void {
    this.#lane.wake();
    this.#ap?.applied();
    this.jobs.applied();
  }

  /** Calls that are not in the log yet are answered with `error`. */
  abandon(error: BalsaError): void {
    this.#triggers.stop();
    this.#lane.abandon(error);
    this.jobs.leadershipLost();
  }

  /**
   * As {@link abandon}, and those that come from now on. What `ap` calls have left is copied and merged as before, and the leader
   * told what becomes of the tasks that are here.
   */
  refuse(error: BalsaError): void {
    this.#triggers.stop();
    this.#lane.close(error);
    this.#ap?.refuse(error);
    this.jobs.drain(error);
  }

  /** See `ApService.isHandedOn` and `JobService.isHandedOn`. */
  get isHandedOn(): boolean {
    return (this.#ap?.isHandedOn ?? true) && this.jobs.isHandedOn;
  }

  /** As {@link refuse}, and all ends. */
  close(error: BalsaError): void {
    this.jobs.close(error);
    this.refuse(error);
    this.#ap?.close(error);
  }
}

function noteOf(execution: Execution, hash: string): CallAnswer {
  const { logs } = execution;
  if (!execution.ok) return refusedCall(execution.error, logs);
  return { ok: true, result: execution.result, revision: 0, hash, logs, repeated: false };
}

function noAp(): BalsaError {
  return new BalsaError(
    'SHUTTING_DOWN',
    'this replica has no queue for what ap procedures change',
    {
      outcome: 'not-applied',
    },
  );
}
