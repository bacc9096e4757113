import { unreachable } from '../base/assert.js';
import { BalsaError } from '../base/errors.js';
import { allMembers } from '../raft/configuration.js';
import type { RaftNode } from '../raft/raft-node.js';
import type { ConfigurationChange, MemberId } from '../raft/types.js';
import type { Joining } from '../rpc/peer-protocol.js';
import type { AdminCommand, AdminResult } from '../rpc/protocol.js';
import { invalidCommand, parseAdminCommand } from './admin-command.js';
import { findMember, toConfigurationChange } from './member-change.js';
import { memberId, nameOf } from './member-id.js';
import { notLeader } from './proposals.js';
import type { Roster } from './roster.js';

type Done = (error: BalsaError | null) => void;

/** The part of a `Replica` that changes members and leaders. */
export interface AdminReplica {
  /** Name of the leader. */
  readonly leader: string | null;
  readonly node: Pick<RaftNode, 'role' | 'mayBeAlive'>;
  readonly machine: { readonly knownCommandVersion: number };
  changeMembers(change: ConfigurationChange, done: Done): void;
  transfer(target: MemberId | null, done: Done): void;
}

export interface AdminOptions {
  readonly replica: AdminReplica;
  readonly roster: Roster;
  readonly log: (level: 'info' | 'warn', fields: Record<string, unknown>, text: string) => void;
}

/** What operators ask of the cluster, and what a leader does for replicas that ask to be let in again. */
export class Admin {
  readonly #options: AdminOptions;
  /** Replicas that are being let in, or were refused and told so. */
  readonly #letIn = new Set<MemberId>();
  readonly #refused = new Map<MemberId, string>();

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  /**
   * Carries out an {@link AdminCommand} in JSON; resolves with an {@link AdminResult} in JSON when it is
   * done: committed, and no joint configuration left.
   * @throws BalsaError `INVALID_ARGUMENT`, `NOT_LEADER`, `CONFIGURATION_CONFLICT`, `CHANGE_PENDING`,
   *   `QUORUM_AT_RISK`, `NOT_CAUGHT_UP`, `TRANSFER_FAILED`, `VERSION_UNSUPPORTED` (who is added is too old); with outcome `unknown` when leadership was lost
   *   while the change was in the log
   */
  async run(text: string): Promise<string> {
    const command = parseAdminCommand(text);
    const { replica } = this.#options;
    if (replica.node.role !== 'leader') throw notLeader(replica.leader, 'not-applied');
    switch (command.op) {
      case 'change-members':
        await this.#changeMembers(command);
        break;
      case 'transfer':
        await this.#transfer(command.target);
        break;
      default:
        unreachable(command);
    }
    return JSON.stringify(this.result());
  }

  result(): AdminResult {
    const { roster, replica } = this.#options;
    return { members: roster.status(), leader: replica.leader };
  }

  /**
   * A replica asks to take the place of an earlier incarnation of itself. Its hellos come again and
   * again, which is all the trying again that there is to do.
   */
  async letIn(joiner: { name: string; incarnation: string }, joining: Joining): Promise<void> {
    const member = memberId(joiner);
    const { replica, log, roster } = this.#options;
    if (joining.replaces === null || replica.node.role !== 'leader') return;
    const isThere = roster.has(member) && roster.addressOf(member) === joining.address;
    if (isThere || this.#letIn.has(member)) return;
    const fields = { member, replaces: joining.replaces, address: joining.address };
    this.#letIn.add(member);
    try {
      const { index: expectedIndex, voters, promotions } = roster.configuration;
      const own = promotions.find((p) => p.member === member);
      const former = roster.has(member)
        ? (own?.replaces ?? null)
        : this.#former(joiner.name, joining.replaces);
      const isToVote = (one: MemberId): boolean =>
        voters.includes(one) || promotions.some((p) => p.member === one);
      const promote = isToVote(member) || (former !== null && isToVote(former));
      const add = [{ ...joiner, address: joining.address, promote, replaces: former }];
      const none = { promote: [], demote: [], remove: [] };
      await this.#changeMembers({ op: 'change-members', expectedIndex, add, ...none });
      log('info', fields, 'let a member in again, with a new data folder');
      this.#refused.delete(member);
    } catch (error) {
      const reason = error instanceof BalsaError ? error.message : String(error);
      if (this.#refused.get(member) !== reason)
        log('warn', { ...fields, reason }, 'not let in yet');
      this.#refused.set(member, reason);
    } finally {
      this.#letIn.delete(member);
    }
  }

  /** Who had the name before. */
  #former(name: string, incarnation: string): MemberId {
    const { roster, replica } = this.#options;
    const wanted = memberId({ name, incarnation });
    const { learners } = roster.configuration;
    const called = allMembers(roster.configuration).filter((member) => nameOf(member) === name);
    if (called.includes(wanted)) return wanted;
    // The one that began anew last, before this one, if there is one that is not through with it.
    const found = called.find((member) => learners.includes(member)) ?? called[0];
    if (found === undefined) {
      throw invalidCommand(`no member is ${name}: use "balsa cluster add" or "replace" for it`);
    }
    // An empty folder proves nothing: the member may live, and this be a second process of its name.
    const alive = called.find((member) => replica.node.mayBeAlive(member));
    if (alive !== undefined)
      throw invalidCommand(
        `${alive} may be alive: it was heard of within the last election timeout, or the leader is too new to tell; stop it if it runs`,
      );
    return found;
  }

  async #changeMembers(command: Extract<AdminCommand, { op: 'change-members' }>): Promise<void> {
    const { replica, roster } = this.#options;
    const { index } = roster.configuration;
    if (command.expectedIndex !== index) throw conflict(command.expectedIndex, index);
    for (const wanted of command.add) {
      const member = memberId(wanted);
      if (roster.wasRemoved(member)) throw wasRemoved(member);
      const { command: version = null } = roster.formatsOf(member) ?? {};
      const needed = replica.machine.knownCommandVersion;
      if (version !== null && version < needed) throw isTooOld(member, version, needed);
    }
    const change = toConfigurationChange(command, {
      configuration: roster.configuration,
      addressOf: (member) => roster.toldAddressOf(member),
      placeOf: (member) => roster.placeOf(member),
    });
    if (change === null) {
      // What is in effect may be taken back as long as it is not committed.
      if (!roster.isCommitted) throw notFinished(index);
      return;
    }
    await new Promise<void>((resolve, reject) => {
      replica.changeMembers(change, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  async #transfer(name: string | null): Promise<void> {
    const { replica, roster } = this.#options;
    const target = name === null ? null : findMember(roster.configuration, name);
    await new Promise<void>((resolve, reject) => {
      replica.transfer(target, (error) => (error === null ? resolve() : reject(error)));
    });
  }
}

function isTooOld(member: MemberId, version: number, needed: number): BalsaError {
  return new BalsaError(
    'VERSION_UNSUPPORTED',
    `${member} knows commands up to version ${version}, and the log has had some of version ${needed}: start it with a newer Balsa`,
    { outcome: 'not-applied', details: { member, version, needed } },
  );
}

/**
 * Raft would be safe with it: its disk still holds its term, its vote and what it has acknowledged, so that
 * it is no other than a member that heard nothing for a while. (A disk that lost any of that is another
 * incarnation.) But it gives its folder up when it learns of the removal, at the latest when that comes
 * through the log, and would be a learner that never comes. So this is a help, not a guarantee: a leader that
 * was started since, or has a snapshot in place of the removal, does not know and adds it.
 */
function wasRemoved(member: MemberId): BalsaError {
  return invalidCommand(
    `${member} was removed and gives up its data folder: start it with --join on an empty one, and add that`,
  );
}

function notFinished(index: number): BalsaError {
  return new BalsaError('CHANGE_PENDING', `configuration ${index} is not finished`, {
    outcome: 'not-applied',
    details: { reason: 'pending' },
  });
}

function conflict(expected: number, found: number): BalsaError {
  return new BalsaError(
    'CONFIGURATION_CONFLICT',
    `the members have changed: their index is ${found}, not ${expected}`,
    { outcome: 'not-applied', details: { expectedIndex: expected, index: found } },
  );
}
