import { asBalsaError, BalsaError } from '../base/errors.js';
import type { AdminCommand, AdminResult, ReplicaStatus } from '../rpc/protocol.js';
import { whenAborted } from './abort.js';
import { beforeWriting, notApplied } from './before-writing.js';
import { Engine } from './engine.js';
import { isDone, memberCalled } from './member-goals.js';
import { checkNewcomer } from './newcomer.js';
import type { CallOptions } from './options.js';
import { invalid } from './options.js';
import { pause } from './pause.js';
import { type CallLimits, cancelled } from './pending.js';
import { PendingRead } from './pending-read.js';
import { AdminRequest, StatusRequest } from './read-request.js';
import { backoffMs } from './retry.js';

/** What is changed in one go; see {@link ClusterAdmin.change}. */
export type MembersChange = Omit<Extract<AdminCommand, { readonly op: 'change-members' }>, 'op'>;

/** A replica that waits to be let in (`balsa start --join`). */
export interface NewMember {
  readonly name: string;
  /** `host:port` where members and clients reach it. */
  readonly address: string;
  /** Make it a voter as soon as it has caught up. Default true; `false`: it stays a learner. */
  readonly promote?: boolean | undefined;
  /** Name of the member that leaves when the new one gets its vote. */
  readonly replaces?: string | undefined;
}

export interface Replacement {
  /** Name of the member that leaves. */
  readonly old: string;
  /** Name of the replica that takes its place. */
  readonly name: string;
  /** `host:port` of that. */
  readonly address: string;
}

const NO_OPTIONS = {};
const NO_CHANGE = { add: [], promote: [], demote: [], remove: [] };
/** How often it is looked whether a change is complete. */
const POLL_MS = 100;

/** Failures after which the same command may be given again, as nothing was done. */
const TRY_AGAIN = new Set(['NOT_LEADER', 'CHANGE_PENDING', 'SHUTTING_DOWN', 'NO_QUORUM']);

/**
 * The members of the cluster, and changes of them. Each change is made against the members that were read
 * before (compare-and-set), so nothing is done twice, and nothing over the head of another operator.
 *
 * Any call may fail with `CONFIGURATION_CONFLICT` (somebody else has changed the members meanwhile),
 * `QUORUM_AT_RISK` (too few of the voters would be alive), `CHANGE_PENDING` (another change was not
 * finished in time), `INVALID_ARGUMENT`, and as any call of a client. An error with outcome `unknown`
 * leaves open whether the change was made: look with {@link members}.
 */
export class ClusterAdmin {
  readonly #engine: Engine;

  /** @internal */
  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * The members, and who leads, as the leader knows them.
   * @example
   * ```ts
   * const { members, leader } = await db.cluster.members();
   * console.log(leader, members.members.map((m) => `${m.name} ${m.role}`));
   * ```
   */
  async members(options: CallOptions = NO_OPTIONS): Promise<AdminResult> {
    const { membership, leader } = await this.#status(this.#engine.callLimits(options));
    return { members: membership, leader };
  }

  /**
   * Lets a replica in that waits for it. Resolves when it is a member, a learner at first; it becomes a
   * voter by itself when it has caught up: see {@link settled}.
   * @throws BalsaError `UNREACHABLE` when the replica does not answer at its address, `CLUSTER_MISMATCH` when it
   *   belongs to another cluster
   * @example
   * ```ts
   * await db.cluster.add({ name: 'n4', address: '10.0.0.4:7001' });
   * await db.cluster.settled({ timeoutMs: 600_000 });
   * ```
   */
  async add(member: NewMember, options: CallOptions = NO_OPTIONS): Promise<AdminResult> {
    const limits = this.#engine.callLimits(options);
    const { name, address, promote = true, replaces = null } = member;
    const incarnation = await this.#incarnationAt(name, address, limits);
    return this.#changeNow({ add: [{ name, incarnation, address, promote, replaces }] }, limits);
  }

  /**
   * Puts replicas that wait for it in the place of members, all in one change. Resolves when they are
   * learners; they get the votes of the old ones, who leave, when they have caught up: see {@link settled}.
   */
  async replace(
    replacements: readonly Replacement[],
    options: CallOptions = NO_OPTIONS,
  ): Promise<AdminResult> {
    const limits = this.#engine.callLimits(options);
    const add = await Promise.all(
      replacements.map(async ({ old, name, address }) => {
        const incarnation = await this.#incarnationAt(name, address, limits);
        return { name, incarnation, address, promote: true, replaces: old };
      }),
    );
    return this.#changeNow({ add }, limits);
  }

  /** Gives a learner its vote now. @throws BalsaError `NOT_CAUGHT_UP` when it lacks too much of the log */
  promote(name: string, options: CallOptions = NO_OPTIONS): Promise<AdminResult> {
    return this.#changeNow({ promote: [name] }, this.#engine.callLimits(options));
  }

  /** Makes a voter a learner; of a learner: it is not to become a voter. */
  demote(name: string, options: CallOptions = NO_OPTIONS): Promise<AdminResult> {
    return this.#changeNow({ demote: [name] }, this.#engine.callLimits(options));
  }

  /** Removes a member, for ever: its data folder is of no more use. The leader hands over first. */
  remove(name: string, options: CallOptions = NO_OPTIONS): Promise<AdminResult> {
    return this.#changeNow({ remove: [name] }, this.#engine.callLimits(options));
  }

  /**
   * Several changes in one go, against the members of `expectedIndex` (`members().members.index`).
   * Resolves when it is committed and no joint configuration is left.
   */
  async change(change: MembersChange, options: CallOptions = NO_OPTIONS): Promise<AdminResult> {
    return this.#carryOut(change, this.#engine.callLimits(options));
  }

  /**
   * Hands leadership over, to the member of this name or to whom the leader thinks best (`null`).
   * @throws BalsaError `TRANSFER_FAILED` when it was not done in time; the leader stays
   */
  async transfer(
    target: string | null = null,
    options: CallOptions = NO_OPTIONS,
  ): Promise<AdminResult> {
    const limits = this.#engine.callLimits(options);
    const { leader: before, membership: now } = await beforeWriting(this.#status(limits));
    if (target !== null && before === nameIn(target)) return { members: now, leader: before };
    let mayBeDone = false;
    for (let failures = 1; ; failures += 1) {
      try {
        return await this.#send({ op: 'transfer', target }, limits);
      } catch (cause) {
        const error = asBalsaError(cause);
        mayBeDone ||= error.outcome === 'unknown';
        if (!mayTryAgain(error)) throw told(error, mayBeDone);
        await this.#pause(failures, limits, told(error, mayBeDone));
        // An answer may have been lost: what counts is who leads now.
        const { membership, leader } = await this.#status(limits).catch((why: unknown) => {
          throw told(why, mayBeDone);
        });
        const isOver = target === null ? leader !== before : leader === nameIn(target);
        if (isOver) return { members: membership, leader };
      }
    }
  }

  /** Resolves when no change is on its way: no joint configuration, no learner that is to become a voter. */
  async settled(options: CallOptions = NO_OPTIONS): Promise<AdminResult> {
    const limits = this.#engine.callLimits(options);
    for (;;) {
      const { membership, leader } = await this.#status(limits);
      const { joint, committed, members } = membership;
      if (!joint && committed && !members.some((member) => member.promote)) {
        return { members: membership, leader };
      }
      await this.#wait(POLL_MS, limits, null);
    }
  }

  // -------------------------------------------------------------------------------------------

  async #changeNow(
    wish: Partial<Omit<MembersChange, 'expectedIndex'>>,
    limits: CallLimits,
  ): Promise<AdminResult> {
    const { membership, leader } = await beforeWriting(this.#finished(limits));
    const names = [...(wish.promote ?? []), ...(wish.demote ?? [])];
    for (const name of names) memberCalled(membership, name);
    const change = { ...NO_CHANGE, ...wish, expectedIndex: membership.index };
    if (isDone(change, membership)) return { members: membership, leader };
    return this.#carryOut(change, limits);
  }

  /** Until it is done, surely refused, or the time is up. */
  async #carryOut(change: MembersChange, limits: CallLimits): Promise<AdminResult> {
    let mayBeDone = false;
    for (let failures = 1; ; failures += 1) {
      try {
        return await this.#send({ op: 'change-members', ...change }, limits);
      } catch (cause) {
        const error = asBalsaError(cause);
        mayBeDone ||= error.outcome === 'unknown';
        const isConflict = mayBeDone && error.code === 'CONFIGURATION_CONFLICT';
        if (!isConflict && !mayTryAgain(error)) throw told(error, mayBeDone);
        await this.#pause(failures, limits, told(error, mayBeDone));
        if (!mayBeDone) continue;
        const found = await this.#outcome(change, limits).catch((cause: unknown) => {
          throw told(cause, mayBeDone);
        });
        if (found !== null) return found;
      }
    }
  }

  /** What became of a change whose answer was lost; `null`: nothing, it can be sent again. */
  async #outcome(change: MembersChange, limits: CallLimits): Promise<AdminResult | null> {
    const { membership, leader } = await this.#finished(limits);
    const { index } = membership;
    if (isDone(change, membership)) return { members: membership, leader };
    if (index === change.expectedIndex) return null;
    throw new BalsaError(
      'CONFIGURATION_CONFLICT',
      `the members have changed: their index is ${index}, not ${change.expectedIndex}`,
      { outcome: 'unknown', details: { index, expectedIndex: change.expectedIndex } },
    );
  }

  /**
   * When no other change is under way. One that is not committed may be taken back, and others have its index then: a change that was
   * meant for it would be made to them.
   */
  async #finished(limits: CallLimits): Promise<ReplicaStatus> {
    for (;;) {
      const status = await this.#status(limits);
      const { index, joint, committed } = status.membership;
      if (committed && !joint) return status;
      const why = new BalsaError('CHANGE_PENDING', `configuration ${index} is not finished`, {
        outcome: 'not-applied',
        details: { reason: 'pending' },
      });
      await this.#wait(POLL_MS, limits, why);
    }
  }

  #send(command: AdminCommand, limits: CallLimits): Promise<AdminResult> {
    return new Promise((resolve, reject) => {
      const call = new PendingRead<AdminResult>(limits, resolve, (error) =>
        reject(request.outcomeOf(error)),
      );
      const request = new AdminRequest(JSON.stringify(command), call);
      this.#engine.ask(request, call, limits);
    });
  }

  #status(limits: CallLimits, engine = this.#engine): Promise<ReplicaStatus> {
    return new Promise((resolve, reject) => {
      const call = new PendingRead<ReplicaStatus>(limits, resolve, reject);
      engine.ask(new StatusRequest(call, { atLeader: engine === this.#engine }), call, limits);
    });
  }

  /** Asks the replica itself: a member is known by the data folder that it has. */
  async #incarnationAt(name: string, address: string, limits: CallLimits): Promise<string> {
    const engine = this.#connectionTo(address, limits);
    const { signal } = limits;
    const stop = (): void => engine.close();
    const forget = [
      this.#engine.whenClosed(stop),
      ...(signal === undefined ? [] : [whenAborted(signal, stop)]),
    ];
    try {
      await engine.connect();
      const found = await this.#status(limits, engine);
      const { replica, incarnation } = found;
      if (replica !== name) {
        throw invalid(`the replica at ${address} is called ${replica}, not ${name}`);
      }
      checkNewcomer(found, address, await this.#status(limits));
      return incarnation;
    } catch (error) {
      throw signal?.aborted === true ? cancelled(signal.reason, 'not-applied') : notApplied(error);
    } finally {
      for (const end of forget) end();
      engine.close();
    }
  }

  /** One of its own, for as long as the call may take. */
  #connectionTo(address: string, { deadlineMs }: CallLimits): Engine {
    const { env, settings } = this.#engine;
    const leftMs = Math.max(1, deadlineMs - env.clock.monotonicMs());
    const connectTimeoutMs = Math.min(
      settings.connectTimeoutMs || Number.POSITIVE_INFINITY,
      leftMs,
    );
    return new Engine(env, {
      ...settings,
      ...{ endpoints: [address], followLeader: false, clusterId: null },
      connectTimeoutMs: connectTimeoutMs === Number.POSITIVE_INFINITY ? 0 : connectTimeoutMs,
    });
  }

  #pause(failures: number, limits: CallLimits, why: BalsaError): Promise<void> {
    return this.#wait(Math.max(1, backoffMs(failures + 1, this.#engine.env.random)), limits, why);
  }

  /** @throws BalsaError `why` (or `TIMEOUT`) when that would take longer than there is time; `CANCELLED`, `CLIENT_CLOSED` */
  async #wait(delayMs: number, limits: CallLimits, why: BalsaError | null): Promise<void> {
    const engine = this.#engine;
    const { clock } = engine.env;
    const { signal } = limits;
    // What was sent before may have been done.
    const outcome = why?.outcome;
    if (signal?.aborted === true) throw cancelled(signal.reason, outcome);
    if (clock.monotonicMs() + delayMs >= limits.deadlineMs) {
      throw why ?? new BalsaError('TIMEOUT', 'the change of members was not complete in time');
    }
    await pause(engine, delayMs, signal, outcome);
  }
}

function mayTryAgain(error: BalsaError): boolean {
  return error.outcome === 'unknown' ? isPassing(error) : TRY_AGAIN.has(error.code);
}

/** Not the end of the time that there was. */
function isPassing(error: BalsaError): boolean {
  return error.retryable && error.code !== 'TIMEOUT';
}

/** @param mayBeDone an earlier attempt may have been carried out */
function told(cause: unknown, mayBeDone: boolean): BalsaError {
  const error = asBalsaError(cause);
  return mayBeDone && error.outcome !== 'unknown' ? error.withOutcome('unknown') : error;
}

/** Of `name` or `name.incarnation`. */
function nameIn(reference: string): string {
  return reference.split('.')[0] ?? reference;
}
