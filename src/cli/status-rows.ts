import type { BalsaError } from '../base/errors.js';
import type { MemberStatus, ReplicaStatus } from '../rpc/protocol.js';
import type { Answer } from './ask-replica.js';

/** A member and what it says of itself; `status` null: it does not answer. */
export interface MemberRow {
  readonly name: string;
  readonly address: string;
  readonly status: ReplicaStatus | null;
  readonly error: BalsaError | null;
  /** How it stands to the cluster; `null`: it is no member, or that is not known. */
  readonly member: MemberStatus | null;
  /** Entries that the cluster has committed, as far as is known, and this member has not applied. */
  readonly lag: number | null;
}

/**
 * The answer that knows best: the current leader's, otherwise that of the latest members. An older one
 * may name members that have left since.
 */
export function bestView(answers: readonly Answer[]): ReplicaStatus | null {
  const statuses = answers.flatMap(({ status }) => (status === null ? [] : [status]));
  return (
    currentLeader(statuses) ??
    statuses.reduce<ReplicaStatus | null>(
      (best, status) =>
        best === null || status.membership.index > best.membership.index ? status : best,
      null,
    )
  );
}

/** The leader of the highest term; an older one may not yet know that it was replaced. */
export function currentLeader(statuses: readonly ReplicaStatus[]): ReplicaStatus | null {
  return statuses
    .filter(({ role }) => role === 'leader')
    .reduce<ReplicaStatus | null>(
      (best, status) => (best === null || status.term > best.term ? status : best),
      null,
    );
}

/**
 * One row per member, in the order of the names; and one for each replica that answered although it is no
 * member (it waits to be let in, or was removed).
 */
export function toRows(answers: readonly Answer[]): MemberRow[] {
  const view = bestView(answers);
  if (view === null) return [];
  const statuses = new Map<string, ReplicaStatus>();
  for (const { status } of answers) if (status !== null) statuses.set(status.replica, status);
  const committed = [...statuses.values()].reduce(
    (most, status) => Math.max(most, status.commitIndex),
    0,
  );
  const places = new Map(view.members.map(({ name, address }) => [name, address]));
  for (const { address, status } of answers) {
    if (status !== null && !places.has(status.replica)) places.set(status.replica, address);
  }
  return [...places]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, address]) => {
      const status = statuses.get(name) ?? null;
      const failed = answers.find((answer) => answer.address === address && answer.status === null);
      return {
        name,
        address,
        status,
        error: failed?.status === null ? failed.error : null,
        member: memberOf(view, name, status),
        lag: status === null ? null : Math.max(0, committed - status.appliedIndex),
      };
    });
}

/** Two disks may bear one name while one takes the other's place: the one that answers is meant. */
function memberOf(
  { membership }: ReplicaStatus,
  name: string,
  status: ReplicaStatus | null,
): MemberStatus | null {
  const found = membership.members.filter((member) => member.name === name);
  if (status === null) return found[0] ?? null;
  return found.find(({ incarnation }) => incarnation === status.incarnation) ?? null;
}

/** What the replica does, and how it stands to the cluster. */
export function roleText({ status, member }: MemberRow): string {
  if (status === null) return 'unreachable';
  if (status.role !== 'follower') return status.role;
  if (member?.role === 'learner') return 'learner';
  return member?.role === 'outgoing' ? 'follower, leaving' : 'follower';
}
