import { unreachable } from '../base/assert.js';
import type { Clock, Timer } from '../base/clock.js';
import { asBalsaError, BalsaError } from '../base/errors.js';
import type { Failpoints } from '../base/failpoints.js';
import type { Limits } from '../base/limits.js';
import type { Random } from '../base/random.js';
import type { LogIndex, MemberId, Term } from '../raft/types.js';
import type { Channel, ChannelHandlers } from '../rpc/channel.js';
import { OWN_VERSIONS } from '../rpc/version.js';
import type { ByteRate } from './byte-rate.js';
import type { OutboundSnapshot } from './outbound-snapshot.js';
import type { ReplicaNotice } from './replica-options.js';
import type { SnapshotSource } from './snapshot-source.js';
import { SnapshotStream, type StreamResult } from './snapshot-stream.js';

export interface SendTaskHost {
  readonly id: MemberId;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly failpoints: Failpoints;
  readonly source: SnapshotSource;
  readonly rate: ByteRate;
  readonly dial: (member: MemberId, handlers: ChannelHandlers) => Channel;
  /** The newest format that the member can read. */
  readonly formatOf: (member: MemberId) => number;
  /** Does the core wait for a snapshot to get there? */
  readonly isNeeded: (member: MemberId) => boolean;
  readonly onNotice: (notice: ReplicaNotice) => void;
}

interface SendTaskQueue {
  /** Are there members that cannot be sent to because of this one? */
  readonly othersWait: () => boolean;
}

/** A member that refuses everything must not keep this one busy: failures are told this much later. */
const FAILURE_DELAY_MS = 1000;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 2000;
/** While others wait for their turn, one that cannot be reached is waited for no longer than this. */
const SHARED_RETRY_MS_MAX = 3000;
/** A snapshot that arrived damaged is sent from the start this many times. */
const RESTARTS_MAX = 3;

/** Sends one snapshot to one member, over as many connections as it takes. */
export class SendTask {
  readonly member: MemberId;
  readonly #host: SendTaskHost & SendTaskQueue;
  #term: Term;
  readonly #onResult: (index: LogIndex | null) => void;
  #snapshot: OutboundSnapshot | null = null;
  #stream: SnapshotStream | null = null;
  #timer: Timer | null = null;
  #over = false;
  /** The receiver has begun to take it in, on an earlier stream. */
  #begun = false;
  /** This replica leads. */
  #leads = true;
  #tries = 0;
  #restarts = 0;
  /** When the receiver last took in something. */
  #progressMs: number;

  /** @param onResult called once, unless it is cancelled: the index that the member has now, or `null` */
  constructor(
    host: SendTaskHost & SendTaskQueue,
    target: { readonly member: MemberId; readonly term: Term },
    onResult: (index: LogIndex | null) => void,
  ) {
    this.#host = host;
    this.member = target.member;
    this.#term = target.term;
    this.#onResult = onResult;
    this.#progressMs = host.clock.monotonicMs();
  }

  /** Of the snapshot; 0 while it is being made. */
  get index(): LogIndex {
    return this.#snapshot?.index ?? 0;
  }

  get bytes(): number {
    return this.#snapshot?.sums.bytes ?? 0;
  }

  /** The receiver has begun to take it in. */
  get hasBegun(): boolean {
    return this.#begun || this.#stream?.isWelcome === true;
  }

  start(): void {
    const { source, formatOf } = this.#host;
    source.open(formatOf(this.member)).then(
      (snapshot) => {
        this.#snapshot = snapshot;
        if (this.#over) this.#release();
        else this.#connect();
      },
      (error: unknown) => this.#fail(asBalsaError(error)),
    );
  }

  /** Gives it up; there is no result. */
  cancel(reason: BalsaError): void {
    if (this.#over) return;
    this.#stream?.cancel(reason);
    this.#end('cancelled', reason.message);
  }

  leadershipLost(): void {
    this.#leads = false;
  }

  /** Leads again, in a later term, in which the member needs a snapshot still. */
  leadsAgain(term: Term): void {
    this.#leads = true;
    this.#term = term;
  }

  #connect(): void {
    const snapshot = this.#snapshot;
    if (snapshot === null) return;
    this.#notice(this.#tries === 0 ? 'started' : 'resumed', null);
    this.#tries += 1;
    const { id, clock, limits, failpoints, rate, dial } = this.#host;
    const offer = {
      ...OWN_VERSIONS,
      from: id,
      to: this.member,
      term: this.#term,
      header: snapshot.header,
    };
    const stream = new SnapshotStream({
      ...{ snapshot, offer, clock, limits, failpoints, rate },
      onProgress: () => {
        this.#progressMs = clock.monotonicMs();
        this.#tries = 1;
      },
      onResult: (result) => this.#streamEnded(result),
    });
    this.#stream = stream;
    const channel = dial(this.member, {
      onFrame: (frame) => stream.receive(frame),
      onClose: (reason) => stream.closed(reason.message),
    });
    stream.start(channel);
  }

  #streamEnded(result: StreamResult): void {
    this.#begun = this.hasBegun;
    this.#stream = null;
    if (this.#over) return;
    switch (result.type) {
      case 'done':
        this.#succeed();
        break;
      case 'broken':
        this.#retry(result.reason);
        break;
      case 'refused':
        this.#refused(result.error);
        break;
      case 'failed':
        this.#fail(result.error);
        break;
      default:
        unreachable(result);
    }
  }

  #refused(error: BalsaError): void {
    const snapshot = this.#snapshot;
    // From the start, or after another has sent its own: that is for who leads now.
    if (!this.#leads) this.#fail(error);
    else if (
      error.code === 'SNAPSHOT_CORRUPT' &&
      snapshot !== null &&
      this.#restarts < RESTARTS_MAX
    ) {
      this.#restarts += 1;
      snapshot.restart(this.#host.source.newId(snapshot.index));
      this.#retry(error.message);
    } else if (error.code === 'OVERLOADED') {
      this.#retry(error.message);
    } else {
      this.#fail(error);
    }
  }

  #retry(reason: string): void {
    const { clock, limits, random, othersWait } = this.#host;
    const { snapshotRetryMsMax } = limits;
    const patienceMs = othersWait()
      ? Math.min(snapshotRetryMsMax, SHARED_RETRY_MS_MAX)
      : snapshotRetryMsMax;
    if (clock.monotonicMs() - this.#progressMs >= patienceMs) {
      this.#fail(new BalsaError('UNREACHABLE', reason));
      return;
    }
    this.#notice('broken', reason);
    const delayMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#tries, 10));
    this.#timer = clock.setTimer(delayMs * (0.5 + random.next() / 2), () => {
      if (this.#over) return;
      if (this.#begun || this.#host.isNeeded(this.member)) this.#connect();
      else this.#drop();
    });
  }

  /** While it waited for its turn the member got what it needs from another. */
  #drop(): void {
    this.#end('cancelled', 'it is not needed any more');
    this.#onResult(null);
  }

  #succeed(): void {
    const { index } = this;
    this.#end('sent', null);
    this.#onResult(index);
  }

  #fail(error: BalsaError): void {
    if (this.#over) return;
    this.#end('failed', error.message);
    this.#timer = this.#host.clock.setTimer(FAILURE_DELAY_MS, () => this.#onResult(null));
  }

  #end(phase: 'sent' | 'failed' | 'cancelled', reason: string | null): void {
    this.#over = true;
    this.#timer?.cancel();
    this.#notice(phase, reason);
    this.#release();
  }

  #release(): void {
    // A view that cannot be closed is of a store that failed, and that one says so itself.
    this.#snapshot?.close().catch(() => undefined);
  }

  #notice(
    phase: 'started' | 'resumed' | 'broken' | 'sent' | 'failed' | 'cancelled',
    reason: string | null,
  ): void {
    const { member, index, bytes } = this;
    this.#host.onNotice({ type: 'snapshot-sending', phase, member, index, bytes, reason });
  }
}

/** Keeps the log for a member that has got a snapshot until it is seen to follow, at most so long. */
const SETTLE_MS = 30_000;

interface Settling {
  readonly member: MemberId;
  readonly index: LogIndex;
  readonly untilMs: number;
}

export interface SnapshotSendersOptions extends SendTaskHost {
  /** `null`: it could not be sent. */
  readonly onSent: (member: MemberId, index: LogIndex | null) => void;
}

/**
 * The snapshots that a leader sends: at most `snapshotsAtOnceMax` at once, the others wait. What a member has
 * begun to take in is sent to its end also when another leads by then.
 */
export class SnapshotSenders {
  readonly #options: SnapshotSendersOptions;
  readonly #running = new Map<MemberId, SendTask>();
  #waiting: { readonly member: MemberId; readonly term: Term }[] = [];
  #settling: Settling[] = [];
  #sent = 0;

  constructor(options: SnapshotSendersOptions) {
    this.#options = options;
  }

  get sent(): number {
    return this.#sent;
  }

  /** Those under way. */
  get tasks(): Iterable<SendTask> {
    return this.#running.values();
  }

  /** A member needs a snapshot; what is under way for it already is not asked for twice. */
  request(member: MemberId, term: Term): void {
    this.#running.get(member)?.leadsAgain(term);
    const isKnown = this.#waiting.some((waiting) => waiting.member === member);
    if (this.#running.has(member) || isKnown) return;
    this.#waiting.push({ member, term });
    this.#startNext();
  }

  /**
   * What is on its way is committed, and goes on: if each leader began anew, and leaders changed often, none
   * would ever arrive. What has not begun to come in is left to the next leader.
   */
  leadershipLost(): void {
    this.#waiting = [];
    const reason = new BalsaError('NOT_LEADER', 'the sender does not lead any more');
    for (const [member, task] of this.#running) {
      if (task.hasBegun) task.leadershipLost();
      else {
        this.#running.delete(member);
        task.cancel(reason);
      }
    }
  }

  /** The state is about to be switched, or the replica stops: nobody is sent anything. */
  cancelAll(reason: BalsaError): void {
    const tasks = [...this.#running.values()];
    this.#running.clear();
    this.#waiting = [];
    this.#settling = [];
    for (const task of tasks) task.cancel(reason);
  }

  /** Who is not a member any more needs no snapshot. */
  retain(isMember: (member: MemberId) => boolean): void {
    this.#waiting = this.#waiting.filter(({ member }) => isMember(member));
    for (const [member, task] of this.#running) {
      if (isMember(member)) continue;
      this.#running.delete(member);
      task.cancel(new BalsaError('MEMBER_REMOVED', `${member} is not a member any more`));
    }
    this.#startNext();
  }

  /** Members that will need the log behind these places, once they have their snapshot. */
  pins(nowMs: number): { readonly member: MemberId; readonly index: LogIndex }[] {
    this.#settling = this.#settling.filter(({ untilMs }) => nowMs < untilMs);
    const sending = [...this.#running.values()].filter((task) => task.index > 0);
    return [...this.#settling, ...sending].map(({ member, index }) => ({ member, index }));
  }

  /** Those that wait, as far as there are places for them. */
  #startNext(): void {
    const host = { ...this.#options, othersWait: () => this.#waiting.length > 0 };
    while (this.#running.size < this.#options.limits.snapshotsAtOnceMax) {
      const target = this.#waiting.shift();
      if (target === undefined) return;
      const task: SendTask = new SendTask(host, target, (index) => this.#ended(task, index));
      this.#running.set(target.member, task);
      task.start();
    }
  }

  #ended(task: SendTask, index: LogIndex | null): void {
    const { member } = task;
    if (this.#running.get(member) !== task) return;
    this.#running.delete(member);
    if (index !== null) {
      this.#sent += 1;
      const untilMs = this.#options.clock.monotonicMs() + SETTLE_MS;
      this.#settling = this.#settling.filter((settling) => settling.member !== member);
      this.#settling.push({ member, index, untilMs });
    }
    this.#options.onSent(member, index);
    this.#startNext();
  }
}
