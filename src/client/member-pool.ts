import type { BalsaError } from '../base/errors.js';
import type { MemberAddress } from '../rpc/protocol.js';
import { Engine } from './engine.js';
import { retryAfterMs } from './retry.js';

/** A member that has failed a read is asked none for so long. */
const LEFT_OUT_MS = 1000;

/**
 * Reads of one turn of the event loop that go to one member, together: a hundred in one frame cost little more
 * than one, and a third of them at each of three members would be three frames.
 */
const READS_TOGETHER_MAX = 256;

/** What another member may know better, without this one being at fault. */
const NO_FAULT = new Set(['SESSION_BEHIND', 'FUTURE_REVISION']);

/** A link of its own to one member. */
export interface PooledMember {
  readonly address: string;
  readonly engine: Engine;
  leftOutUntilMs: number;
}

/**
 * Links to all members of the cluster, for reads that any of them may serve. It follows the members as
 * the client's main link names them.
 */
export class MemberPool {
  readonly #home: Engine;
  #known: readonly MemberAddress[] | null = null;
  #members: PooledMember[] = [];
  #turn = 0;
  /** Takes the further reads of this turn of the event loop. */
  #present: PooledMember | null = null;
  #presentReads = 0;

  constructor(home: Engine) {
    this.#home = home;
  }

  /** The one whose turn it is, that answers and is not among `tried`; `null`: there is none. */
  next(tried: readonly PooledMember[], nowMs: number): PooledMember | null {
    this.#follow();
    const isFirst = tried.length === 0;
    const present = this.#present;
    if (isFirst && present !== null && this.#presentReads < READS_TOGETHER_MAX) {
      this.#presentReads += 1;
      if (isUsable(present, nowMs)) return present;
    }
    const next = this.#following(tried, nowMs);
    if (isFirst) this.#beginWith(next);
    return next;
  }

  #following(tried: readonly PooledMember[], nowMs: number): PooledMember | null {
    const members = this.#members;
    for (let i = 0; i < members.length; i += 1) {
      this.#turn = (this.#turn + 1) % members.length;
      const member = members[this.#turn] as PooledMember;
      if (isUsable(member, nowMs) && !tried.includes(member)) return member;
    }
    return null;
  }

  #beginWith(member: PooledMember | null): void {
    const endTurn = (): void => {
      this.#present = null;
    };
    if (this.#present === null && member !== null) this.#home.env.clock.defer(endTurn);
    this.#present = member;
    this.#presentReads = 1;
  }

  /** It has failed a read that may be asked elsewhere. */
  failed(member: PooledMember, error: BalsaError): void {
    if (NO_FAULT.has(error.code)) return;
    const { clock } = this.#home.env;
    const leaveOutMs = error.code === 'OVERLOADED' ? retryAfterMs(error) : LEFT_OUT_MS;
    member.leftOutUntilMs = clock.monotonicMs() + leaveOutMs;
  }

  close(): void {
    for (const { engine } of this.#members) engine.close();
    this.#members = [];
  }

  #follow(): void {
    const { members } = this.#home.connection;
    if (members === this.#known) return;
    this.#known = members;
    const addresses = new Set(members.map(({ address }) => address));
    for (const { address, engine } of this.#members) if (!addresses.has(address)) engine.close();
    const kept = new Map(this.#members.map((member) => [member.address, member]));
    this.#members = [...addresses].map((address) => kept.get(address) ?? this.#dial(address));
  }

  #dial(address: string): PooledMember {
    const { env, settings, seen } = this.#home;
    const engine = new Engine(
      env,
      {
        ...settings,
        endpoints: [address],
        clusterId: seen.clusterId ?? settings.clusterId,
        followLeader: false,
        pinned: true,
      },
      seen,
    );
    engine.connection.start();
    return { address, engine, leftOutUntilMs: Number.NEGATIVE_INFINITY };
  }
}

function isUsable({ engine, leftOutUntilMs }: PooledMember, nowMs: number): boolean {
  return leftOutUntilMs <= nowMs && engine.connection.link !== null;
}
