import { allMembers } from '../raft/configuration.js';
import type { Configuration, ConfigurationChange, MemberId, Promotion } from '../raft/types.js';
import type { AdminCommand } from '../rpc/protocol.js';
import { invalidCommand } from './admin-command.js';
import { memberId, nameOf } from './member-id.js';

type ChangeMembers = Extract<AdminCommand, { op: 'change-members' }>;

/** The members that there are, and where they are. */
export interface MemberSource {
  readonly configuration: Configuration;
  /** Where all look for it now. `null` when it is not known. */
  addressOf(member: MemberId): string | null;
  /** What the log is to say of where it is, if nobody says otherwise. `null` when it is not known. */
  placeOf(member: MemberId): string | null;
}

/** The members as they shall be, on their way from the ones that there are. */
interface Draft {
  readonly voters: Set<MemberId>;
  readonly learners: Set<MemberId>;
  readonly promotions: Map<MemberId, Promotion>;
  readonly addresses: Map<MemberId, string>;
}

/**
 * What an operator asks for, by names, as the members that shall be. `null`: they are already.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function toConfigurationChange(
  command: ChangeMembers,
  source: MemberSource,
): ConfigurationChange | null {
  const { configuration } = source;
  const draft = draftOf(source);
  const find = (name: string): MemberId => findMember(configuration, name);
  const touched = new Set<MemberId>();
  const each = (names: readonly string[], change: (draft: Draft, member: MemberId) => void) => {
    for (const name of names) {
      const member = find(name);
      if (touched.has(member)) throw invalidCommand(`${name} is named twice`);
      touched.add(member);
      change(draft, member);
    }
  };
  // Before the additions: a name that is given up can be given anew.
  each(command.remove, remove);
  each(command.promote, promote);
  each(command.demote, demote);
  for (const wanted of command.add) add(draft, wanted, find);
  const change = toChange(draft, command.expectedIndex);
  return isThere(change, command.add, source) ? null : change;
}

/** `name`, or `name.incarnation`. */
export function findMember(configuration: Configuration, name: string): MemberId {
  const all = allMembers(configuration);
  if (all.includes(name)) return name;
  const [found, another] = all.filter((member) => nameOf(member) === name);
  if (found === undefined) {
    const names = [...new Set(all.map(nameOf))].join(', ');
    throw invalidCommand(`there is no member ${name}; the members are ${names}`);
  }
  if (another === undefined) return found;
  throw invalidCommand(`two members are called ${name}: say ${found} or ${another}`);
}

function draftOf({ configuration, placeOf }: MemberSource): Draft {
  const addresses = new Map<MemberId, string>();
  for (const member of allMembers(configuration)) {
    const address = placeOf(member);
    if (address !== null) addresses.set(member, address);
  }
  return {
    voters: new Set(configuration.voters),
    learners: new Set(configuration.learners),
    promotions: new Map(configuration.promotions.map((p) => [p.member, p])),
    addresses,
  };
}

function remove(draft: Draft, member: MemberId): void {
  draft.voters.delete(member);
  draft.learners.delete(member);
  draft.promotions.delete(member);
  for (const [other, promotion] of draft.promotions) {
    if (promotion.replaces !== member) continue;
    draft.promotions.set(other, { member: other, replaces: null });
  }
}

function promote(draft: Draft, member: MemberId): void {
  if (draft.voters.has(member)) return;
  draft.learners.delete(member);
  draft.voters.add(member);
  const replaces = draft.promotions.get(member)?.replaces ?? null;
  draft.promotions.delete(member);
  if (replaces !== null) remove(draft, replaces);
}

/** Of a learner: it is not to be made a voter. */
function demote(draft: Draft, member: MemberId): void {
  draft.voters.delete(member);
  draft.learners.add(member);
  draft.promotions.delete(member);
}

function add(
  draft: Draft,
  wanted: ChangeMembers['add'][number],
  find: (name: string) => MemberId,
): void {
  const member = memberId(wanted);
  let replaces = wanted.replaces === null ? null : find(wanted.replaces);
  if (replaces === member) throw invalidCommand(`${wanted.name} cannot replace itself`);
  if (replaces !== null && !wanted.promote && draft.voters.has(replaces)) {
    throw invalidCommand(`${wanted.name} is to replace a voter, so it must be promoted`);
  }
  // Who replaces a learner takes its place at once, also the one that it was to take itself.
  if (replaces !== null && draft.learners.has(replaces)) {
    const next = draft.promotions.get(replaces)?.replaces ?? null;
    remove(draft, replaces);
    replaces = next;
  }
  for (const other of [...draft.voters, ...draft.learners]) {
    if (other === member || other === replaces || nameOf(other) !== wanted.name) continue;
    throw invalidCommand(`there is a member ${wanted.name} already: remove it, or replace it`);
  }
  draft.addresses.set(member, wanted.address);
  if (draft.voters.has(member)) return;
  draft.learners.add(member);
  if (!wanted.promote) draft.promotions.delete(member);
  else {
    const leaves = replaces !== null && draft.voters.has(replaces) ? replaces : null;
    draft.promotions.set(member, { member, replaces: leaves });
  }
}

function toChange(draft: Draft, expectedIndex: number): ConfigurationChange {
  const voters = [...draft.voters];
  const learners = [...draft.learners];
  return {
    expectedIndex,
    voters,
    learners,
    promotions: [...draft.promotions.values()],
    addresses: [...voters, ...learners].flatMap((member) => {
      const address = draft.addresses.get(member);
      return address === undefined ? [] : [{ member, address }];
    }),
  };
}

/** Nothing in it is new. (Addresses that the log lacks, and nobody has asked for, need no change of their own.) */
function isThere(
  change: ConfigurationChange,
  added: ChangeMembers['add'],
  { configuration, addressOf }: MemberSource,
): boolean {
  const same = (a: readonly unknown[], b: readonly unknown[]): boolean =>
    a.length === b.length && JSON.stringify([...a].sort()) === JSON.stringify([...b].sort());
  const text = (p: Promotion): string => `${p.member} for ${p.replaces}`;
  return (
    configuration.votersOutgoing.length === 0 &&
    same(change.voters, configuration.voters) &&
    same(change.learners, configuration.learners) &&
    same(change.promotions.map(text), configuration.promotions.map(text)) &&
    added.every((wanted) => addressOf(memberId(wanted)) === wanted.address)
  );
}
