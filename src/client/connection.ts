import type { Timer } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { ClientAnswer, MemberAddress, ReplicaHello } from '../rpc/protocol.js';
import { OWN_VERSIONS } from '../rpc/version.js';
import { describeEndpoint, type Endpoint, Endpoints } from './endpoints.js';
import type { Environment } from './environment.js';
import { mismatchOf } from './hello-mismatch.js';
import { Link } from './link.js';
import type { Settings } from './options.js';
import { backoffMs, knowsNoLeader, patienceMs, retryAfterMs } from './retry.js';
import { SilenceWatch } from './silence-watch.js';

/** While no replica answers, another one is tried this long after the last, so that none holds us up. */
const STAGGER_MS = 100;

/**
 * While a replica answers but knows no leader, others are asked this often: it will tell of the next
 * leader by itself, unless it is the one that is cut off.
 */
const PROBE_MS = 500;

/** No leader for so long: that is no election any more, but a majority that is missing. */
const LEADERLESS_MS = 1000;

/** A replica that has not said hello by then is given up; one that has been silent for long, later. */
const HELLO_TIMEOUT_MS = 2000;

/** An endpoint that was not tried for so long, though it might have been: nobody knows whether it is silent still. */
const UNTRIED_MS = 10_000;

/** A link that lived this long was a good one. */
const SETTLED_MS = 1000;

/** So long after a first link the leader is found, if it can be. */
const BETTER_MS = 2 * STAGGER_MS;

/**
 * A replica that was just named as leader is tried sooner than its failures would have it, but not
 * without end: two replicas may name each other. In milliseconds for each failure, and at most.
 */
const NEW_LEADER_MS = 25;
const NEW_LEADER_MS_MAX = 250;

/** How a connection talks to what lies above it. */
export interface ConnectionHandlers {
  /** There is a link; what was lost with an earlier one was told by `onDown`. */
  readonly onUp: () => void;
  /** {@link Connection.ready} has become true. */
  readonly onReady: () => void;
  readonly onAnswers: (answers: readonly ClientAnswer[]) => void;
  /** The link is gone: what was asked over it gets no answer. */
  readonly onDown: () => void;
  /** An endpoint could not be used. */
  readonly onRefused: (reason: BalsaError) => void;
  /** Are there requests without an answer? */
  readonly isWaiting: () => boolean;
  /** Or watches, which may be told something at any time? */
  readonly isListening: () => boolean;
}

/**
 * Finds the leader and stays with it. At most one link is in use; others are opened to look for a
 * better one, and closed.
 */
export class Connection {
  readonly #env: Environment;
  readonly #settings: Settings;
  readonly #handlers: ConnectionHandlers;
  readonly #endpoints: Endpoints;
  /** Links on their way to a hello. */
  readonly #attempts = new Map<Endpoint, Link>();
  #link: Link | null = null;
  /** Where {@link #link} leads. */
  #place: Endpoint | null = null;
  #upSinceMs = 0;
  /** The replica of the link says that it leads. */
  #leads = false;
  /** The leader as it was named last, by whomever. */
  #leader: string | null = null;
  readonly #silence: SilenceWatch;
  /** When the link fell silent, and the others that were asked since. */
  #doubtedMs = Number.NEGATIVE_INFINITY;
  #askedInDoubt = 0;
  /** The replica of the link does not lead, and lacks what was asked for. */
  #lagging = false;
  #members: readonly MemberAddress[] = [];
  #sessionId: Uint8Array;
  #clusterId: string | null;
  #nextProbeMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | null = null;
  #wasUpMs = Number.NEGATIVE_INFINITY;
  #wasReadyMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(env: Environment, settings: Settings, handlers: ConnectionHandlers) {
    this.#env = env;
    this.#settings = settings;
    this.#handlers = handlers;
    this.#endpoints = new Endpoints(settings.endpoints);
    this.#sessionId = env.newSessionId();
    this.#clusterId = settings.clusterId;
    this.#silence = new SilenceWatch({
      clock: env.clock,
      link: () => this.#link,
      isWaiting: handlers.isWaiting,
      onSilent: () => this.#doubt(),
    });
  }

  start(): void {
    this.#advance();
  }

  /** The link in use, its replica having said hello. */
  get link(): Link | null {
    return this.#link;
  }

  /** As a replica has named them last; another list when it has changed. */
  get members(): readonly MemberAddress[] {
    return this.#members;
  }

  /** Writes and linearizable reads can be sent. */
  get ready(): boolean {
    return this.#link !== null && (this.#leads || !this.#settings.followLeader);
  }

  /** Until then, in monotonic time, the leader may be found yet, and the link be changed for one to that. */
  get keptFromMs(): number {
    return this.ready ? Number.NEGATIVE_INFINITY : this.#upSinceMs + BETTER_MS;
  }

  /** What somebody who is there has said last instead of a greeting. */
  get refusal(): BalsaError | undefined {
    const errors = this.#endpoints.all().map(({ lastError }) => lastError);
    return errors.find((error) => error !== null && error.code !== 'UNREACHABLE') ?? undefined;
  }

  /** The replica says that it is not the leader. */
  notLeader(leader: string | null): void {
    if (this.#link === null || !this.#settings.followLeader) return;
    this.#noteReady();
    if (this.#leads && this.#place !== null) {
      this.#awaitLeader();
      // It may claim in its next hello that it leads, and so on: that must not go in circles at full speed.
      this.#setBack(this.#place);
    }
    this.#leads = false;
    this.#said(this.#place, leader);
    if (leader !== null) this.#hear(leader);
    else if (this.#leader === this.#link.replica) this.#leader = null;
    this.#advance();
  }

  /** The replica stops: it need not be waited for. */
  leave(reason: BalsaError): void {
    if (this.#link === null || this.#place === null) return;
    this.#link.close();
    this.#lost(this.#link, this.#place, reason);
  }

  /**
   * The replica has not heard enough: if it does not lead either, another one is looked for. It is kept until
   * one is found: what it can serve is served meanwhile, and in a minority there may be no better one.
   */
  lags(): void {
    if (this.#link === null || this.#leads || !this.#settings.followLeader) return;
    if (this.#lagging) return;
    this.#lagging = true;
    this.#nextProbeMs = Number.NEGATIVE_INFINITY;
    this.#advance();
  }

  /** A new session: it needs a new stream, since the hello binds a stream to its session. */
  renewSession(): void {
    this.#sessionId = this.#env.newSessionId();
    this.#dropAttempts();
    this.leave(new BalsaError('SESSION_EXPIRED', 'a new session is begun'));
  }

  /**
   * Requests were sent: from now on the link must not be silent for long.
   * @param areFirst nothing else waits for an answer
   */
  expectAnswer(areFirst: boolean): void {
    if (!this.#settings.followLeader) return;
    this.#silence.asked(areFirst);
    if (this.#silence.isSilent) this.#advance();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#silence.stop();
    this.#dropAttempts();
    this.#link?.close();
    this.#link = null;
  }

  /**
   * Why a call that began at `startedMs` may have got no answer in time.
   * @param call `needsLeader`: is it one that {@link ready} is needed for?
   */
  blame(call: {
    readonly startedMs: number;
    readonly needsLeader: boolean;
    readonly lastRefusal: BalsaError | null;
  }): { code: 'TIMEOUT' | 'NO_QUORUM' | 'UNREACHABLE'; why: string } {
    const { startedMs: sinceMs, needsLeader, lastRefusal } = call;
    const wasUp = this.#link !== null || this.#wasUpMs >= sinceMs;
    if (!wasUp) return { code: 'UNREACHABLE', why: `no endpoint answers (${this.describe()})` };
    const wasReady = this.ready || this.#wasReadyMs >= sinceMs;
    const isLeaderless = !this.ready && this.#nowMs() - this.#wasReadyMs >= LEADERLESS_MS;
    const hasLeader = this.ready && this.#settings.followLeader;
    const knewNone = lastRefusal !== null && knowsNoLeader(lastRefusal) && !hasLeader;
    if (knewNone || (needsLeader && (!wasReady || isLeaderless))) {
      return { code: 'NO_QUORUM', why: `no leader was found (${this.describe()})` };
    }
    const { replica, address } = this.#link ?? {};
    const why = address === undefined ? this.describe() : `asked ${replica} at ${address}`;
    return { code: 'TIMEOUT', why };
  }

  /** Every endpoint and how it is, for messages. */
  describe(): string {
    return this.#endpoints.all().map(describeEndpoint).join('; ');
  }

  // -------------------------------------------------------------------------------------------
  // Looking for the leader

  get #satisfied(): boolean {
    return this.ready && !this.#silence.isSilent;
  }

  /** Opens the links that are due, and comes back when the next one is. */
  #advance(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#closed) return;
    if (this.#satisfied) {
      this.#dropAttempts();
      return;
    }
    // It is silent, and nobody waits for it any more: others are looked for as soon as somebody does.
    if (this.ready && !this.#handlers.isWaiting()) return;
    const nowMs = this.#nowMs();
    const nextMs = Math.min(this.#tryLeader(nowMs), this.#tryOther(nowMs));
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#env.clock.setTimer(Math.ceil(nextMs - nowMs), () => this.#advance());
  }

  /** @returns when to look again */
  #tryLeader(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    if (this.#leader === null) return nextMs;
    // It is silent, else we would not be here; it is others that are to be asked.
    if (this.#leads && this.#leader === this.#link?.replica) return nextMs;
    for (const endpoint of this.#endpoints.named(this.#leader)) {
      if (this.#attempts.has(endpoint)) continue;
      if (endpoint.notBeforeMs <= nowMs) this.#dial(endpoint, nowMs);
      else nextMs = Math.min(nextMs, endpoint.notBeforeMs);
    }
    return nextMs;
  }

  /** @returns when to look again */
  #tryOther(nowMs: number): number {
    const alone = this.#link === null;
    const own = this.#leads ? this.#place : null;
    const idle = this.#endpoints.all().filter((e) => e !== own && !this.#attempts.has(e));
    const due = idle.filter((e) => e.notBeforeMs <= nowMs);
    const oldest = due.reduce<Endpoint | null>(
      (best, e) => (best === null || e.triedMs < best.triedMs ? e : best),
      null,
    );
    const mayProbe = this.#nextProbeMs <= nowMs || (alone && this.#attempts.size === 0);
    if (oldest !== null && mayProbe) {
      this.#nextProbeMs = nowMs + (alone ? STAGGER_MS : this.#jittered(this.#probeMs()));
      this.#dial(oldest, nowMs);
      return this.#nextProbeMs;
    }
    const earliestMs = Math.min(...idle.map((e) => e.notBeforeMs));
    return Math.max(earliestMs, oldest === null ? nowMs : this.#nextProbeMs);
  }

  /** The others may be choosing a leader in place of a silent one just now. */
  #probeMs(): number {
    if (!this.#silence.isSilent) return PROBE_MS;
    this.#askedInDoubt += 1;
    return Math.min(PROBE_MS, STAGGER_MS * 2 ** (this.#askedInDoubt - 1));
  }

  #dial(endpoint: Endpoint, nowMs: number): void {
    const dueMs = Math.max(endpoint.notBeforeMs, endpoint.triedMs);
    if (nowMs - dueMs >= UNTRIED_MS) {
      endpoint.silentSinceMs = null;
      endpoint.failures = 0;
    }
    endpoint.triedMs = nowMs;
    const link = new Link({
      address: endpoint.address,
      dial: this.#env.dial,
      clock: this.#env.clock,
      helloTimeoutMs: Math.floor(patienceMs(this.#silentMs(endpoint), HELLO_TIMEOUT_MS)),
      hello: {
        ...OWN_VERSIONS,
        clientName: this.#settings.clientName,
        clusterId: this.#clusterId,
        sessionId: this.#sessionId,
      },
      handlers: {
        onHello: (l, hello) => this.#greeted(l, endpoint, hello),
        onAnswers: (l, answers) => this.#answered(l, answers),
        onLeader: (l, leader) => this.#leaderChanged(l, leader),
        onMembers: (l, members) => this.#membersChanged(l, members),
        isListening: () => this.#handlers.isListening(),
        onClosed: (l, reason) => this.#lost(l, endpoint, reason),
      },
    });
    this.#attempts.set(endpoint, link);
  }

  #greeted(link: Link, endpoint: Endpoint, hello: ReplicaHello): void {
    const mismatch = mismatchOf(hello, this.#clusterId);
    if (mismatch !== null) {
      link.close();
      this.#lost(link, endpoint, mismatch);
      return;
    }
    this.#attempts.delete(endpoint);
    endpoint.name = hello.replica;
    this.#said(endpoint, hello.leader);
    endpoint.lastError = null;
    endpoint.silentSinceMs = null;
    if (hello.clusterId !== '') this.#clusterId = hello.clusterId;
    const leads = hello.leader === hello.replica;
    if (this.#settings.followLeader) this.#endpoints.learn(hello.members, leads);
    if (!leads) this.#setBack(endpoint);
    if (hello.leader !== null) this.#hear(hello.leader);
    if (this.#isBetter(link, hello, leads)) {
      if (this.#settings.followLeader) this.#members = hello.members;
      this.#adopt(link, endpoint, leads);
    } else link.close();
    this.#advance();
  }

  #isBetter(link: Link, hello: ReplicaHello, leads: boolean): boolean {
    if (this.#link === null) return true;
    if (this.#satisfied) return false;
    const { replica } = this.#link;
    // A leader that was doubted, and answers another stream: it is slow, and asking twice is no help.
    if (leads) return !(this.#leads && link.replica === replica);
    if (link.replica === replica) return false;
    // Cut off from a silent one, or as that one's other followers are, there is more to get from this one.
    if (this.#lagging || !this.#silence.isSilent) return this.#lagging;
    // Who knows none may be the one that is cut off: others may have said since that the silent one leads, and is slow.
    if (hello.leader !== null) return hello.leader !== replica;
    return !this.#endpoints.isNamed(replica, this.#doubtedMs);
  }

  #adopt(link: Link, endpoint: Endpoint, leads: boolean): void {
    if (this.#link !== null) {
      this.#link.close();
      this.#forgetLink();
    }
    const nowMs = this.#nowMs();
    this.#link = link;
    this.#place = endpoint;
    this.#leads = leads;
    this.#upSinceMs = nowMs;
    this.#nextProbeMs = nowMs + PROBE_MS;
    this.#handlers.onUp();
    if (this.ready) this.#handlers.onReady();
  }

  /** Somebody names the leader. */
  #hear(leader: string): void {
    if (leader === this.#leader) return;
    this.#leader = leader;
    for (const endpoint of this.#endpoints.named(leader)) {
      const afterMs = Math.min(NEW_LEADER_MS * endpoint.failures, NEW_LEADER_MS_MAX);
      endpoint.notBeforeMs = Math.min(endpoint.notBeforeMs, endpoint.triedMs + afterMs);
    }
  }

  /** The replica at that place names the leader. */
  #said(endpoint: Endpoint | null, leader: string | null): void {
    if (endpoint === null) return;
    endpoint.leader = leader;
    endpoint.saidMs = this.#nowMs();
  }

  /**
   * The replica of the link has just lost the leadership, and will say who leads. Not of one that did not lead: one that is cut off says
   * so again and again, and must not put off the search for ever.
   */
  #awaitLeader(): void {
    this.#nextProbeMs = Math.max(this.#nextProbeMs, this.#nowMs() + PROBE_MS);
  }

  #leaderChanged(link: Link, leader: string | null): void {
    if (link !== this.#link) return;
    this.#said(this.#place, leader);
    if (!this.#settings.followLeader) return;
    const wasReady = this.ready;
    this.#noteReady();
    this.#leads = leader === link.replica;
    if (this.#leads) this.#endpoints.learn(this.#members, true);
    if (leader === null) this.#leader = null;
    else this.#hear(leader);
    if (wasReady && !this.#leads) this.#awaitLeader();
    if (this.#leads && !wasReady) this.#handlers.onReady();
    this.#advance();
  }

  /** Who leads now may be at a place that nobody has named before. */
  #membersChanged(link: Link, members: readonly MemberAddress[]): void {
    if (link !== this.#link || !this.#settings.followLeader) return;
    this.#endpoints.learn(members, this.#leads);
    this.#members = members;
    this.#advance();
  }

  #answered(link: Link, answers: readonly ClientAnswer[]): void {
    if (link !== this.#link) return;
    if (this.#silence.heard()) this.#advance();
    this.#handlers.onAnswers(answers);
  }

  /** It is silent. If it led and hangs, the others have chosen another one by now, or will. */
  #doubt(): void {
    this.#doubtedMs = this.#nowMs();
    this.#askedInDoubt = 0;
    this.#nextProbeMs = Number.NEGATIVE_INFINITY;
    this.#advance();
  }

  /** A link has ended, whether in use or on its way. */
  #lost(link: Link, endpoint: Endpoint, reason: BalsaError): void {
    if (this.#attempts.get(endpoint) === link) this.#attempts.delete(endpoint);
    endpoint.lastError = reason;
    endpoint.silentSinceMs ??= this.#nowMs();
    if (link === this.#link) {
      if (this.#nowMs() - this.#upSinceMs >= SETTLED_MS) endpoint.failures = 0;
      if (reason.code === 'SHUTTING_DOWN' && this.#leader === link.replica) this.#leader = null;
      this.#nextProbeMs = Number.NEGATIVE_INFINITY;
      this.#forgetLink();
    }
    this.#setBack(endpoint, reason);
    this.#handlers.onRefused(reason);
    this.#advance();
  }

  #forgetLink(): void {
    this.#noteReady();
    this.#wasUpMs = this.#nowMs();
    this.#link = null;
    this.#place = null;
    this.#leads = false;
    this.#silence.heard();
    this.#lagging = false;
    this.#handlers.onDown();
  }

  /** The endpoint did not lead where it should: it is tried later and later. */
  #setBack(endpoint: Endpoint, reason?: BalsaError): void {
    endpoint.failures += 1;
    const waitMs = Math.max(
      backoffMs(endpoint.failures, this.#env.random, patienceMs(this.#silentMs(endpoint))),
      reason === undefined ? 0 : this.#jittered(retryAfterMs(reason)),
      reason?.code === 'SHUTTING_DOWN' ? PROBE_MS : 0,
    );
    endpoint.notBeforeMs = this.#nowMs() + waitMs;
  }

  #silentMs({ silentSinceMs }: Endpoint): number {
    return silentSinceMs === null ? 0 : this.#nowMs() - silentSinceMs;
  }

  #dropAttempts(): void {
    for (const link of this.#attempts.values()) link.close();
    this.#attempts.clear();
  }

  #noteReady(): void {
    if (this.ready) this.#wasReadyMs = this.#nowMs();
  }

  /** `ms` or up to half as long again. */
  #jittered(ms: number): number {
    return ms * (1 + this.#env.random.next() / 2);
  }

  #nowMs(): number {
    return this.#env.clock.monotonicMs();
  }
}
