import { unpackCall, unpackCallOutcome } from '../../base/call-codec.js';
import type { Clock } from '../../base/clock.js';
import { asBalsaError, BalsaError } from '../../base/errors.js';
import type { Limits } from '../../base/limits.js';
import type { Execution } from '../../compute/execution.js';
import type { ResolvedProcedure } from '../../statemachine/procedures.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { BatchAnswer } from '../../statemachine/types.js';
import { type CallDone, type CallRequest, refusedCall } from './call-types.js';
import { GroupOverlay, OverlaySource } from './group-overlay.js';
import { MachineSource } from './machine-source.js';
import { isVerdict, packRecord, type Runner, recordOf } from './runner.js';

/** The leader around the lane. */
export interface LaneHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly runner: Runner;
  readonly machine: () => StateMachine;
  /** It leads, and has applied all that was in the log when its term began. */
  readonly canRun: () => boolean;
  /** All that is in its log has been applied. */
  readonly isQuiet: () => boolean;
  /** One answer for each call, in order; they are answered together. */
  readonly propose: (
    records: readonly Uint8Array[],
    done: (answers: readonly BatchAnswer[]) => void,
  ) => void;
  /** No other writes get into the log meanwhile. */
  readonly hold: (isHeld: boolean) => void;
  /** `done(null)`: what is applied here is the latest. Else why it cannot be said. */
  readonly confirm: (done: (error: BalsaError | null) => void) => void;
}

interface Waiting {
  /** `null`: it was run elsewhere, and `record` is what came of it. */
  readonly request: CallRequest | null;
  readonly record: Uint8Array | null;
  readonly done: CallDone;
  conflicts: number;
}

/** A call of a group that was run and waits for the log. */
interface Member {
  readonly waiting: Waiting;
  readonly record: Uint8Array;
  readonly hash: string;
  readonly logs: readonly string[];
}

/** Calls that wait for their turn. */
const CALLS_WAITING_MAX = 10_000;
/** Calls that go into the log together. */
const GROUP_CALLS_MAX = 512;
/** What was run so long ago goes into the log before more is run. */
const GROUP_MS_MAX = 20;
/** A call that was overtaken so often by other writes runs while these stand still. */
const CONFLICTS_MAX = 2;

/**
 * The leader's lane: runs calls one after the other, each over what those before it will have written, and puts as many as
 * there are into one log entry. So calls never conflict with each other, however they contend for a key; other writes may
 * get in between, and then the call is run again, at last while these are held back. What was run is only a proposal: what
 * counts is said by the log (see `CallExecutor`).
 */
export class CallLane {
  readonly #host: LaneHost;
  #queue: Waiting[] = [];
  #isRunning = false;
  /** Grows when leadership is lost, or the replica stops: what was begun before counts no more. */
  #epoch = 0;
  #closedWith: BalsaError | null = null;
  /** Told when the log is quiet. */
  #onQuiet: (() => void) | null = null;

  constructor(host: LaneHost) {
    this.#host = host;
  }

  /** Runs a call. */
  add(request: CallRequest, done: CallDone): void {
    this.#enqueue({ request, record: null, done, conflicts: 0 });
  }

  /** A call that was run elsewhere: it is applied, or conflicts. */
  submit(record: Uint8Array, done: CallDone): void {
    this.#enqueue({ request: null, record, done, conflicts: 0 });
  }

  /** Something was applied, or the leader can begin. */
  wake(): void {
    if (this.#onQuiet !== null && this.#host.isQuiet()) {
      const onQuiet = this.#onQuiet;
      this.#onQuiet = null;
      onQuiet();
    }
    this.#start();
  }

  /** @param error `NOT_LEADER`, `SHUTTING_DOWN`: of calls that have not got into the log */
  abandon(error: BalsaError): void {
    this.#epoch += 1;
    const queue = this.#queue;
    this.#queue = [];
    this.#onQuiet?.();
    this.#onQuiet = null;
    for (const { done } of queue) done(refusedCall(error.withOutcome('not-applied')));
  }

  /** As {@link abandon}, for good. */
  close(error: BalsaError): void {
    this.#closedWith = error.withOutcome('not-applied');
    this.abandon(error);
  }

  // -------------------------------------------------------------------------------------------

  #enqueue(waiting: Waiting): void {
    if (this.#closedWith !== null) {
      waiting.done(refusedCall(this.#closedWith));
      return;
    }
    if (this.#queue.length >= CALLS_WAITING_MAX) {
      waiting.done(refusedCall(full()));
      return;
    }
    this.#queue.push(waiting);
    this.#start();
  }

  #start(): void {
    if (this.#isRunning || this.#queue.length === 0 || !this.#host.canRun()) return;
    this.#isRunning = true;
    void this.#run().then(() => {
      this.#isRunning = false;
      this.#start();
    });
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0 && this.#host.canRun() && this.#closedWith === null) {
      if ((this.#queue[0]?.conflicts ?? 0) >= CONFLICTS_MAX) await this.#runAlone();
      else await this.#runGroup(GROUP_CALLS_MAX);
    }
  }

  /** While no other writes get into the log, so that nothing can come in between. */
  async #runAlone(): Promise<void> {
    this.#host.hold(true);
    try {
      if (!this.#host.isQuiet()) {
        await new Promise<void>((resolve) => {
          this.#onQuiet = resolve;
        });
      }
      if (this.#queue.length > 0) await this.#runGroup(1);
    } finally {
      this.#host.hold(false);
    }
  }

  async #runGroup(callsMax: number): Promise<void> {
    const epoch = this.#epoch;
    const group = await this.#execute(callsMax, epoch);
    if (group.length === 0) return;
    const answers = await new Promise<readonly BatchAnswer[]>((resolve) => {
      this.#host.propose(
        group.map(({ record }) => record),
        resolve,
      );
    });
    const again: Waiting[] = [];
    group.forEach((member, place) => {
      const answer = answers[place] as BatchAnswer;
      if (!answer.ok && isConflict(answer.error) && member.waiting.request !== null) {
        member.waiting.conflicts += 1;
        again.push(member.waiting);
      } else {
        settle(member, answer);
      }
    });
    if (epoch === this.#epoch) this.#queue.unshift(...again);
    else for (const { done } of again) done(refusedCall(lost()));
  }

  /** Runs calls until the group is full, or none waits. */
  async #execute(callsMax: number, epoch: number): Promise<Member[]> {
    const { clock, limits } = this.#host;
    const group: Member[] = [];
    const overlay = new GroupOverlay();
    const untilMs = clock.monotonicMs() + GROUP_MS_MAX;
    let bytes = 0;
    while (group.length < callsMax && bytes < limits.entryBytesMax / 2) {
      if (group.length > 0 && clock.monotonicMs() >= untilMs) break;
      const waiting = this.#queue.shift();
      if (waiting === undefined) break;
      const member = await this.#executeOne(waiting, overlay, group.length);
      if (epoch !== this.#epoch) {
        if (member !== null) waiting.done(refusedCall(lost()));
        for (const one of group) one.waiting.done(refusedCall(lost()));
        return [];
      }
      if (member === 'blocked') {
        this.#queue.unshift(waiting);
        break;
      }
      if (member === null) continue;
      group.push(member);
      bytes += member.record.byteLength;
    }
    return group;
  }

  /** `null`: it was answered. `blocked`: it needs what the group will have done. */
  async #executeOne(
    waiting: Waiting,
    overlay: GroupOverlay,
    place: number,
  ): Promise<Member | 'blocked' | null> {
    const { request, record, done } = waiting;
    if (request === null) {
      // What it has read says nothing of this group: whoever comes behind it sees what it writes.
      const submitted = record as Uint8Array;
      overlay.add(unpackCall(submitted), place);
      return { waiting, record: submitted, hash: '', logs: [] };
    }
    const { runner, machine, limits } = this.#host;
    const resolved =
      runner.resolve(request.procedure) ?? (await this.#confirmed(request.procedure));
    if (resolved instanceof BalsaError) {
      done(refusedCall(resolved));
      return null;
    }
    const source = new OverlaySource(new MachineSource(machine), overlay);
    const execution = await runner.run(resolved, request.args, source);
    if (source.isBlocked) return 'blocked';
    if (!execution.ok && !isVerdict(execution)) return this.#unfinished(waiting, execution);
    try {
      const made = recordOf(request, resolved.hash, execution, source.dependsOn);
      const packed = packRecord(made, limits.batchBytesMax);
      overlay.add(made, place);
      return { waiting, record: packed, hash: resolved.hash, logs: execution.logs };
    } catch (cause) {
      done(refusedCall(asBalsaError(cause), execution.logs));
      return null;
    }
  }

  /** Of which the code has no part: the state it read is gone, or there was no thread for it. */
  #unfinished(waiting: Waiting, execution: Execution & { readonly ok: false }): null {
    const { error, logs } = execution;
    waiting.conflicts += 1;
    if (error.code === 'COMPACTED' && waiting.conflicts <= CONFLICTS_MAX) {
      this.#queue.unshift(waiting);
    } else {
      waiting.done(refusedCall(error, logs));
    }
    return null;
  }

  /** What the reference stands for, as no other leader knows better. */
  async #confirmed(reference: string): Promise<ResolvedProcedure | BalsaError> {
    const error = await new Promise<BalsaError | null>((resolve) => this.#host.confirm(resolve));
    if (error !== null) return error.withOutcome('not-applied');
    return this.#host.runner.resolve(reference) ?? procedureNotFound(reference);
  }
}

function settle({ waiting, hash, logs }: Member, answer: BatchAnswer): void {
  if (!answer.ok) {
    waiting.done(refusedCall(answer.error, logs));
    return;
  }
  const { repeated } = answer;
  const { result, revision } = unpackCallOutcome(answer.results);
  waiting.done({ ok: true, result, revision, logs, repeated, hash: repeated ? '' : hash });
}

function isConflict(error: BalsaError): boolean {
  return error.code === 'TXN_CONFLICT';
}

function lost(): BalsaError {
  return new BalsaError(
    'NOT_LEADER',
    'the replica lost its leadership before the call was in the log',
    {
      outcome: 'not-applied',
      details: { leader: null },
    },
  );
}

function full(): BalsaError {
  return new BalsaError('OVERLOADED', `${CALLS_WAITING_MAX} calls wait already (callsWaitingMax)`, {
    outcome: 'not-applied',
    details: { limit: 'callsWaitingMax', retryAfterMs: 50 },
  });
}

export function procedureNotFound(reference: string): BalsaError {
  return new BalsaError('PROCEDURE_NOT_FOUND', `there is no procedure ${reference}`, {
    outcome: 'not-applied',
    details: { procedure: reference },
  });
}
