import { randomBytes } from 'node:crypto';
import { BalsaError } from '../base/errors.js';
import { formedWith } from '../raft/configuration.js';
import { packConfiguration } from '../raft/configuration-codec.js';
import type { Configuration, LogPosition, MemberId } from '../raft/types.js';
import type { ReplicaStatus } from '../rpc/protocol.js';
import { checkNotGivenUp } from './data-folder.js';
import { memberId, nameOf } from './member-id.js';
import {
  appendOffline,
  knownConfigurations,
  lastPosition,
  type OfflineReplica,
  openOffline,
} from './offline.js';

/**
 * When more than half of the voters are lost for good, nothing can be decided any more, not even who
 * the members shall be. Recovery breaks the rule that a majority decides: it makes one survivor the only
 * voter. What only the lost ones had is lost; what was never decided may be decided now. So that no old
 * member ever meets the new cluster, that gets an id of its own.
 */

export interface RecoverOptions {
  /** The folder of the survivor. */
  readonly path: string;
  /** Addresses by name, where the folder does not know them, or no longer. */
  readonly members: Readonly<Record<string, string>>;
  /** What the replica at this address says of itself; `null`: it does not answer. */
  readonly ask: (address: string) => Promise<ReplicaStatus | null>;
}

/** What is known before anything is changed. */
export interface RecoveryPlan {
  readonly cluster: string;
  readonly clusterId: string;
  readonly name: string;
  readonly incarnation: string;
  /** The last configuration that the survivor knows. */
  readonly configuration: Configuration;
  /** The end of its log. */
  readonly last: LogPosition;
  /** Entries through here are surely decided; there may be more. */
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly revision: number;
  readonly others: readonly OtherMember[];
}

export interface OtherMember {
  readonly name: string;
  readonly incarnation: string;
  readonly address: string;
  readonly votes: boolean;
  /** `null`: it does not answer, or what answers there is another replica. */
  readonly status: ReplicaStatus | null;
}

/**
 * Looks at a survivor and at who else lives, and changes nothing.
 * @throws BalsaError `QUORUM_ALIVE`, `INVALID_ARGUMENT`, `MEMBER_REMOVED`, `STATE_DIVERGED`, and what opening a folder throws
 *   (`DATA_FOLDER_IN_USE` while the replica runs)
 */
export async function planRecovery(options: RecoverOptions): Promise<RecoveryPlan> {
  return await withOffline(options, (plan) => Promise.resolve(plan));
}

/**
 * Makes the survivor the only voter of a cluster of its own. Everything is checked again first; when it
 * was interrupted it can be run again.
 * @throws BalsaError as {@link planRecovery}, `DISK_FULL`, `DISK_FAILED`
 */
export async function recover(
  options: RecoverOptions & { readonly atMs: number },
): Promise<RecoveryPlan & { readonly clusterIdAfter: string }> {
  return await withOffline(options, async (plan, replica) => {
    const clusterIdAfter = randomBytes(8).toString('hex');
    // The new id first: a folder that has it and the old members can do no harm, since nobody of the
    // old cluster hears it. The other way round, the old cluster would have two majorities.
    writeRecord(replica, plan, { atMs: options.atMs, clusterIdAfter });
    await becomeOnlyVoter(replica, plan);
    return { ...plan, clusterIdAfter };
  });
}

async function withOffline<T>(
  options: RecoverOptions,
  use: (plan: RecoveryPlan, replica: OfflineReplica) => Promise<T>,
): Promise<T> {
  const replica = await openOffline(options.path);
  try {
    return await use(await look(replica, options), replica);
  } finally {
    await replica.stores.close();
  }
}

async function look(replica: OfflineReplica, options: RecoverOptions): Promise<RecoveryPlan> {
  const { meta, stores } = replica;
  checkNotGivenUp(meta, options.path);
  if (meta.clusterId === null || meta.formation === null) {
    throw new BalsaError(
      'INVALID_ARGUMENT',
      `${options.path} never belonged to a cluster that was formed: there is nothing to recover`,
    );
  }
  const configurations = knownConfigurations(replica);
  const configuration = configurations.at(-1) ?? formedWith([]);
  const others = await askOthers(replica, configurations, options);
  const self = memberId(meta);
  refuseWhileAlive(configurations, others, self);
  const { hardState } = stores.restoredLog;
  return {
    cluster: meta.cluster,
    clusterId: meta.clusterId,
    name: meta.name,
    incarnation: meta.incarnation,
    configuration,
    last: lastPosition(stores),
    commitIndex: Math.max(hardState.commitIndex, stores.machine.appliedIndex),
    appliedIndex: stores.machine.appliedIndex,
    revision: stores.machine.revision,
    others,
  };
}

/** Asks all others that any known configuration names, each once. */
async function askOthers(
  replica: OfflineReplica,
  configurations: readonly Configuration[],
  { members, ask }: RecoverOptions,
): Promise<OtherMember[]> {
  const { meta } = replica;
  const self = memberId(meta);
  // One that was interrupted has the new id already; the others have the old one.
  const clusterIds = [meta.clusterId, ...meta.recovered.map((one) => one.clusterIdBefore)];
  const places = new Map<MemberId, string>();
  const ids = new Set<MemberId>();
  for (const { voters, votersOutgoing, learners, addresses } of configurations) {
    for (const id of [...voters, ...votersOutgoing, ...learners]) if (id !== self) ids.add(id);
    for (const { member, address } of addresses) places.set(member, address);
  }
  // What the operator says comes first: he may know of a move that the folder does not.
  const addressOf = (id: MemberId): string | null =>
    members[nameOf(id)] ?? places.get(id) ?? meta.addresses[nameOf(id)] ?? null;
  const missing = [...ids].filter((id) => addressOf(id) === null);
  if (missing.length > 0) throw unknownPlaces(missing.map(nameOf));
  return await Promise.all(
    [...ids].map(async (id) => {
      const name = nameOf(id);
      const address = addressOf(id) ?? '';
      const found = await ask(address);
      const isOfUs = found !== null && clusterIds.includes(found.clusterId);
      const foundId = found && memberId({ name: found.replica, incarnation: found.incarnation });
      const isKnown = foundId !== null && (foundId === self || ids.has(foundId));
      if (isOfUs && !isKnown) throw hasOldMembers(found, address);
      return {
        name,
        incarnation: id.slice(name.length + 1),
        address,
        votes: configurations.some((one) => votesIn(one, id)),
        status: foundId === id && isOfUs ? found : null,
      };
    }),
  );
}

/** It is of this cluster, on a disk that this folder knows nothing of: a majority has let it in behind all that is here. */
function hasOldMembers({ replica, leader }: ReplicaStatus, address: string): BalsaError {
  const follows = leader === null ? '' : `, and follows ${leader}, who leads`;
  return new BalsaError(
    'QUORUM_ALIVE',
    `${replica} at ${address} is of this cluster, with another disk than this folder knows of${follows}: what is here` +
      ' is older. If that one is lost as well, stop it first; else recover it instead',
    { details: { leader, heardFrom: replica } },
  );
}

function unknownPlaces(names: readonly string[]): BalsaError {
  const places = names.map((name) => `${name}=HOST:PORT`).join(',');
  return new BalsaError(
    'INVALID_ARGUMENT',
    `the folder does not say where ${names.join(', ')} can be reached, and whether they live must be` +
      ` known: --members ${places} (where they were; as in the --members of the replica)`,
    { details: { members: names } },
  );
}

function votesIn({ voters, votersOutgoing }: Configuration, id: MemberId): boolean {
  return voters.includes(id) || votersOutgoing.includes(id);
}

/** The survivor itself counts as alive: it has only to be started. */
function refuseWhileAlive(
  configurations: readonly Configuration[],
  others: readonly OtherMember[],
  self: MemberId,
): void {
  const alive = others.filter(({ status }) => status !== null);
  const led = alive.find(({ status }) => status?.leader != null);
  if (led !== undefined) {
    const leader = led.status?.leader ?? '';
    throw new BalsaError(
      'QUORUM_ALIVE',
      `${led.name} at ${led.address} follows ${leader}, who leads: the cluster works, and only it may` +
        ' change its members',
      { details: { leader, heardFrom: led.name } },
    );
  }
  const ids = new Set([self, ...alive.map((member) => memberId(member))]);
  for (const { voters, votersOutgoing } of configurations) {
    if (!isMajority(voters, ids)) continue;
    if (votersOutgoing.length > 0 && !isMajority(votersOutgoing, ids)) continue;
    const names = voters.filter((id) => ids.has(id)).map(nameOf);
    throw new BalsaError(
      'QUORUM_ALIVE',
      `${names.join(', ')} are a majority of ${voters.map(nameOf).join(', ')}, and alive:` +
        ` start ${nameOf(self)} with balsa start`,
      { details: { alive: names } },
    );
  }
}

function isMajority(voters: readonly MemberId[], alive: ReadonlySet<MemberId>): boolean {
  return voters.filter((id) => alive.has(id)).length * 2 > voters.length;
}

// ---------------------------------------------------------------------------------------------
// The change

function writeRecord(
  { folder, meta }: OfflineReplica,
  plan: RecoveryPlan,
  { atMs, clusterIdAfter }: { readonly atMs: number; readonly clusterIdAfter: string },
): void {
  const record = {
    atMs,
    clusterIdBefore: plan.clusterId,
    lastIndex: plan.last.index,
    lastTerm: plan.last.term,
    votersBefore: [...plan.configuration.voters],
  };
  const recovered = [...meta.recovered, record];
  folder.writeMeta({ ...meta, clusterId: clusterIdAfter, recovered });
}

async function becomeOnlyVoter(
  { meta, stores }: OfflineReplica,
  plan: RecoveryPlan,
): Promise<void> {
  const self = memberId(meta);
  const { currentTerm, commitIndex } = stores.restoredLog.hardState;
  // Higher than any that a lost member can have heard of from this one.
  const term = Math.max(currentTerm, plan.last.term) + 1;
  const addresses = plan.configuration.addresses.filter(({ member }) => member === self);
  const payload = packConfiguration(formedWith([self], { addresses }));
  await appendOffline(stores.logStore, {
    sequence: 1,
    hardState: { currentTerm: term, votedFor: self, commitIndex },
    entries: [{ index: plan.last.index + 1, term, type: 'configuration', payload }],
  });
}
