import { toMapKey } from '../../base/bytes.js';
import { costOf, eventWrites } from '../../base/call.js';
import { unpackCall, unpackCallOutcome } from '../../base/call-codec.js';
import type { Clock } from '../../base/clock.js';
import { asBalsaError, BalsaError } from '../../base/errors.js';
import type { Limits } from '../../base/limits.js';
import type { CallIdentity } from '../../compute/execution.js';
import type { ResolvedProcedure } from '../../statemachine/procedures.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import type { BatchAnswer } from '../../statemachine/types.js';
import { CallBytes } from './call-bytes.js';
import {
  type CallAnswer,
  type CallDone,
  type CallRequest,
  otherMode,
  refusedCall,
} from './call-types.js';
import { LaneNews } from './lane-news.js';
import { MachineSource } from './machine-source.js';
import { identityOf, type Runner } from './runner.js';

/** The leader around the lane. */
export interface LaneHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly runner: Runner;
  readonly machine: () => StateMachine;
  /** It leads, and the log has a time. It may have yet to apply some of the log: what is run over less conflicts when it is applied. */
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
  /** Of its arguments, or of the record. */
  readonly bytes: number;
  /** Made when it is first taken. */
  identity: CallIdentity | null;
  readonly done: CallDone;
  conflicts: number;
}

/** A call of a group that was run and waits for the log. */
interface Member {
  readonly waiting: Waiting;
  readonly record: Uint8Array;
  readonly hash: string;
  readonly logs: readonly string[];
  readonly failure?: string | null | undefined;
}

/** A call that waits or runs, and those who have asked for it again meanwhile. */
interface Asked {
  readonly request: CallRequest;
  readonly others: CallDone[];
}

interface Taken {
  readonly waiting: Waiting;
  readonly request: CallRequest;
  readonly identity: CallIdentity;
  readonly resolved: ResolvedProcedure;
}

/** Calls that wait for their turn. */
const CALLS_WAITING_MAX = 10_000;
/** Attempts of one call that wait for the answer to its first one. */
const OTHERS_MAX = 1000;
/** Arguments that are given to the thread at once, unless those of one call are more: it takes them in before it runs any. */
const GROUP_ARGS_MAX = 4 * 1024 * 1024;
/** Calls that go into the log together. */
const GROUP_CALLS_MAX = 512;
/** So many are taken at least: more than were run of the last group would be sent to the thread in vain. */
const GROUP_CALLS_MIN = 16;
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
  /** By idempotency key. */
  readonly #asked = new Map<string, Asked>();
  /** Of procedures that are not known here, which is being made sure of. */
  readonly #unsure = new Set<Waiting>();
  readonly #news = new LaneNews();
  #isRunning = false;
  /** Of those that wait or run. */
  readonly #bytes: CallBytes;
  /** Calls that the next group takes, by how many of the last one were run. */
  #groupCalls = GROUP_CALLS_MAX;
  /** Grows when leadership is lost, or the replica stops: what was begun before counts no more. */
  #epoch = 0;
  #closedWith: BalsaError | null = null;
  /** Told when the log is quiet. */
  #onQuiet: (() => void) | null = null;

  constructor(host: LaneHost) {
    this.#host = host;
    this.#bytes = new CallBytes(host.limits);
  }

  /**
   * Runs a call. Who asks again for one that waits or runs is told what it comes to: a client that has come back over another
   * connection must not make the queue longer, the less so the longer it is.
   */
  add(request: CallRequest, done: CallDone): void {
    const name = toMapKey(request.key);
    const known = this.#asked.get(name);
    if (known !== undefined && isSame(known.request, request)) {
      if (known.others.length < OTHERS_MAX) known.others.push(done);
      else done(refusedCall(tooManyAttempts()));
      return;
    }
    const asked: Asked = { request, others: [] };
    if (known === undefined) this.#asked.set(name, asked);
    const answered: CallDone = (answer) => {
      if (this.#asked.get(name) === asked) this.#asked.delete(name);
      done(answer);
      for (const other of asked.others) other(toldAgain(answer));
    };
    const bytes = Buffer.byteLength(request.args);
    this.#enqueue({ request, record: null, bytes, identity: null, done: answered, conflicts: 0 });
  }

  /** A call that was run elsewhere: it is applied, or conflicts. */
  submit(record: Uint8Array, done: CallDone): void {
    const bytes = record.byteLength;
    this.#enqueue({ request: null, record, bytes, identity: null, done, conflicts: 0 });
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
    this.#news.stop();
    const waiting = [...this.#unsure, ...this.#queue];
    this.#unsure.clear();
    this.#queue = [];
    this.#onQuiet?.();
    this.#onQuiet = null;
    for (const { done } of waiting) done(refusedCall(error.withOutcome('not-applied')));
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
    if (this.#queue.length + this.#unsure.size >= CALLS_WAITING_MAX) {
      waiting.done(refusedCall(full()));
      return;
    }
    const release = this.#bytes.hold(waiting.bytes);
    if (release instanceof BalsaError) {
      waiting.done(refusedCall(release));
      return;
    }
    const done: CallDone = (answer) => {
      release();
      waiting.done(answer);
    };
    this.#queue.push({ ...waiting, done });
    this.#start();
  }

  /** Behind all that has arrived in this turn: it goes together. */
  #start(): void {
    if (this.#isRunning || this.#queue.length === 0 || !this.#host.canRun()) return;
    this.#isRunning = true;
    this.#host.clock.defer(() => {
      void this.#run().then(() => {
        this.#isRunning = false;
        this.#start();
      });
    });
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0 && this.#host.canRun() && this.#closedWith === null) {
      if ((this.#queue[0]?.conflicts ?? 0) >= CONFLICTS_MAX) await this.#runAlone();
      else await this.#runGroup(this.#groupCalls);
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
    const submitted = this.#takeSubmitted();
    const group = submitted ?? (await this.#execute(callsMax, epoch));
    if (group === null) return;
    if (group.length === 0) {
      this.#news.ended([], () => []);
      return;
    }
    const answers = await new Promise<readonly BatchAnswer[]>((resolve) => {
      this.#host.propose(
        group.map(({ record }) => record),
        resolve,
      );
    });
    // What was run elsewhere was written by others, as far as the thread of the lane is concerned.
    if (submitted === null) {
      this.#news.ended(answers.map(revisionOf), (place) => keysOf(group[place] as Member));
    }
    const again: Waiting[] = [];
    group.forEach((member, place) => {
      const answer = this.#final(answers[place] as BatchAnswer, member.waiting);
      if (answer === null) {
        member.waiting.conflicts += 1;
        again.push(member.waiting);
      } else {
        settle(member, answer);
      }
    });
    this.#backToQueue(again, epoch);
  }

  /** Those at the head of the queue that were run elsewhere; `null`: there are none. */
  #takeSubmitted(): Member[] | null {
    const { entryBytesMax, entryReadKeysMax } = this.#host.limits;
    const members: Member[] = [];
    let bytes = 0;
    let rangeCost = 0;
    for (const waiting of this.#queue) {
      const isFull = bytes > entryBytesMax / 2 || rangeCost >= entryReadKeysMax / 2;
      if (waiting.record === null || isFull || members.length === GROUP_CALLS_MAX) break;
      members.push({ waiting, record: waiting.record, hash: '', logs: [] });
      bytes += waiting.record.byteLength;
      rangeCost += costOf(unpackCall(waiting.record).ranges);
    }
    this.#queue.splice(0, members.length);
    return members.length === 0 ? null : members;
  }

  /** Runs calls until the group is full, or none waits. `null`: there was none to run. */
  async #execute(callsMax: number, epoch: number): Promise<Member[] | null> {
    const taken = this.#take(callsMax);
    if (taken.length === 0) return null;
    const { runner, machine, limits } = this.#host;
    this.#news.follow(machine());
    const bounds = {
      msMax: GROUP_MS_MAX,
      bytesMax: limits.entryBytesMax / 2,
      // The other half is for the last one, and for what others have added to those ranges meanwhile.
      rangeCostMax: limits.entryReadKeysMax / 2,
      recordBytesMax: limits.batchBytesMax,
    };
    const source = new MachineSource(machine);
    const ran = await runner.runGroup(taken, source, bounds, this.#news.take());
    if (epoch !== this.#epoch) {
      for (const { waiting } of taken) waiting.done(refusedCall(lost()));
      return [];
    }
    this.#groupCalls = nextGroupCalls(this.#groupCalls, taken.length, ran.length);
    const group: Member[] = [];
    const again: Waiting[] = [];
    taken.forEach(({ waiting, resolved }, n) => {
      const one = ran[n];
      if (one === undefined) again.push(waiting);
      else if (one.ok) {
        const { record, logs, failure } = one;
        group.push({ waiting, record, logs, failure, hash: resolved.hash });
      } else if (!this.#mayGoOn(waiting, one.error)) {
        waiting.done(refusedCall(one.error, one.logs));
      } else {
        again.push(waiting);
      }
    });
    this.#backToQueue(again, epoch);
    return group;
  }

  /** Calls that can be run, in the order of the queue. */
  #take(callsMax: number): Taken[] {
    const taken: Taken[] = [];
    const unknown: Waiting[] = [];
    let bytes = 0;
    while (taken.length < callsMax) {
      const [waiting] = this.#queue;
      if (waiting === undefined || waiting.request === null) break;
      bytes += waiting.bytes;
      if (bytes > GROUP_ARGS_MAX && taken.length > 0) break;
      // One that has to run alone is not taken with others.
      if (waiting.conflicts >= CONFLICTS_MAX && taken.length > 0) break;
      this.#queue.shift();
      const { request } = waiting;
      const resolved = this.#host.runner.resolve(request.procedure);
      if (resolved === null) unknown.push(waiting);
      else if (resolved.mode !== 'cp') waiting.done(refusedCall(otherMode(request, resolved)));
      else {
        waiting.identity ??= identityOf(request);
        taken.push({ waiting, request, resolved, identity: waiting.identity });
      }
    }
    if (unknown.length > 0) this.#makeSure(unknown);
    return taken;
  }

  /** Of calls of procedures that are not known here. Others do not wait for that: anybody can think of names. */
  #makeSure(unknown: readonly Waiting[]): void {
    for (const waiting of unknown) this.#unsure.add(waiting);
    this.#host.confirm((error) => {
      const known: Waiting[] = [];
      for (const waiting of unknown) {
        // Those that were abandoned are answered.
        if (!this.#unsure.delete(waiting)) continue;
        const { procedure = '' } = waiting.request ?? {};
        if (error !== null) waiting.done(refusedCall(error.withOutcome('not-applied')));
        else if (this.#host.runner.resolve(procedure) !== null) known.push(waiting);
        else waiting.done(refusedCall(procedureNotFound(procedure)));
      }
      this.#queue = [...known, ...this.#queue];
      this.#start();
    });
  }

  /**
   * What a call is answered of which the log has said this. `null`: it conflicted, and run again it may come to something else:
   * unless it was run elsewhere, or what the leader makes it for is not so any more.
   */
  #final(answer: BatchAnswer, { request }: Waiting): BatchAnswer | null {
    if (answer.ok || !isConflict(answer.error) || request === null) return answer;
    try {
      const machine = this.#host.machine();
      const isStillSo = (request.supplement?.reads ?? []).every(
        ({ key, modRevision }) => (machine.get(key, null)?.modRevision ?? 0) === modRevision,
      );
      return isStillSo ? null : answer;
    } catch (cause) {
      // The store cannot tell. The log has said that it was not applied.
      return { ok: false, error: asBalsaError(cause).withOutcome('not-applied') };
    }
  }

  /** The state that it read is gone: there is a later one. */
  #mayGoOn(waiting: Waiting, { code }: BalsaError): boolean {
    waiting.conflicts += 1;
    return code === 'COMPACTED' && waiting.conflicts <= CONFLICTS_MAX;
  }

  #backToQueue(again: readonly Waiting[], epoch: number): void {
    if (epoch === this.#epoch) this.#queue = [...again, ...this.#queue];
    else for (const { done } of again) done(refusedCall(lost()));
  }
}

/** What a reference stands for that is not known here, when all that was deployed before is. */
export async function confirmed(
  { confirm, runner }: Pick<LaneHost, 'confirm' | 'runner'>,
  reference: string,
): Promise<ResolvedProcedure | BalsaError> {
  const error = await new Promise<BalsaError | null>((resolve) => confirm(resolve));
  if (error !== null) return error.withOutcome('not-applied');
  return runner.resolve(reference) ?? procedureNotFound(reference);
}

/** When all that were taken were run there may have been time for more. */
function nextGroupCalls(before: number, taken: number, ran: number): number {
  const calls = ran < taken ? Math.ceil(1.25 * ran) : Math.max(before, 2 * taken);
  return Math.min(GROUP_CALLS_MAX, Math.max(GROUP_CALLS_MIN, calls));
}

/** The same call, asked for twice. */
function isSame(a: CallRequest, b: CallRequest): boolean {
  const isAsOld = a.isNamed ? b.isNamed : !b.isNamed && a.bornIndex === b.bornIndex;
  return isAsOld && a.procedure === b.procedure && a.args === b.args;
}

function toldAgain(answer: CallAnswer): CallAnswer {
  return answer.ok ? { ...answer, repeated: true, hash: '', logs: [] } : answer;
}

function settle({ waiting, hash, logs, failure }: Member, answer: BatchAnswer): void {
  if (!answer.ok) {
    waiting.done(refusedCall(answer.error, logs));
    return;
  }
  const { repeated } = answer;
  const { result, revision } = unpackCallOutcome(answer.results);
  waiting.done({
    ...{ ok: true, result, revision, logs, repeated, hash: repeated ? '' : hash },
    failure: repeated ? null : failure,
  });
}

function revisionOf(answer: BatchAnswer): number | null {
  return answer.ok && !answer.repeated ? unpackCallOutcome(answer.results).revision : null;
}

function keysOf({ record }: Member): Uint8Array[] {
  const { writes, updates, events } = unpackCall(record);
  return [...writes, ...updates, ...eventWrites(events)].map(({ key }) => key);
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

function tooManyAttempts(): BalsaError {
  const message = `the call is under way, and ${OTHERS_MAX} more attempts of it wait for what it comes to`;
  return new BalsaError('OVERLOADED', message, {
    outcome: 'unknown',
    details: { retryAfterMs: 1000 },
  });
}

function full(): BalsaError {
  return new BalsaError('OVERLOADED', `${CALLS_WAITING_MAX} calls wait already`, {
    outcome: 'not-applied',
    details: { retryAfterMs: 50 },
  });
}

export function procedureNotFound(reference: string): BalsaError {
  return new BalsaError('PROCEDURE_NOT_FOUND', `there is no procedure ${reference}`, {
    outcome: 'not-applied',
    details: { procedure: reference },
  });
}
