import { isJoint, isVoter, namesMember } from './configuration.js';
import type {
  Configuration,
  ConfigurationChange,
  MemberId,
  MemberPlace,
  Promotion,
} from './types.js';

/** What follows from a change of the members: pure functions from one configuration to the next. */

export type Members = Omit<Configuration, 'index'>;

/** What is wrong with a change, whoever asks for it and whenever; `null`: nothing. */
export function contradictionIn(
  current: Configuration,
  change: ConfigurationChange,
): string | null {
  const { voters, learners, promotions, addresses } = change;
  const promoted = promotions.map(({ member }) => member);
  const replaced = promotions.flatMap(({ replaces }) => replaces ?? []);
  const places = addresses.map(({ member }) => member);
  if (voters.length === 0) return 'nobody would vote';
  for (const list of [[...voters, ...learners], promoted, replaced, places]) {
    const twice = list.find((member, at) => list.indexOf(member) !== at);
    if (twice !== undefined) return `${twice} is named twice`;
  }
  for (const { member, replaces } of promotions) {
    if (!learners.includes(member)) return `${member} is to be promoted and is no learner`;
    if (current.voters.includes(member)) return `${member} is to lose its vote and to get it`;
    if (replaces === null) continue;
    if (promoted.includes(replaces)) return `${replaces} is to be promoted and replaced`;
    const isKnown = [...voters, ...learners].includes(replaces) || namesMember(current, replaces);
    if (!isKnown) return `${replaces}, to be replaced by ${member}, is no member`;
  }
  return null;
}

/**
 * The configuration to append for this change: the joint one when the voters change (paper §6),
 * otherwise the members as they shall be.
 */
export function nextMembers(current: Configuration, change: ConfigurationChange): Members {
  const { voters, learners } = change;
  const promotions = change.promotions.map((promotion) => withoutGone(promotion, change));
  if (isSameSet(current.voters, voters)) {
    const members = [...voters, ...learners];
    const addresses = change.addresses.filter(({ member }) => members.includes(member));
    return { ...EMPTY, voters, learners, promotions, addresses };
  }
  const outgoing = current.voters;
  const joint: Members = {
    voters,
    votersOutgoing: outgoing,
    // Who still votes in the old half is no learner yet.
    learners: learners.filter((member) => !outgoing.includes(member)),
    learnersNext: learners.filter((member) => outgoing.includes(member)),
    promotions,
    addresses: [],
  };
  return { ...joint, addresses: placesOf(joint, [...change.addresses, ...current.addresses]) };
}

/** The configuration that a joint one is left for. */
export function finalMembers(joint: Configuration): Members {
  const { voters, promotions } = joint;
  const members: Members = {
    ...EMPTY,
    voters,
    learners: [...joint.learners, ...joint.learnersNext],
    promotions,
  };
  return { ...members, addresses: placesOf(members, joint.addresses) };
}

/** The change that makes these learners voters, in the places of those whom they replace. */
export function promotionOf(
  current: Configuration,
  ready: readonly Promotion[],
): ConfigurationChange {
  const promoted = ready.map(({ member }) => member);
  const replaced = ready.flatMap(({ replaces }) => replaces ?? []);
  const leaves = (member: MemberId): boolean => replaced.includes(member);
  return {
    expectedIndex: current.index,
    voters: [...current.voters.filter((member) => !leaves(member)), ...promoted],
    learners: current.learners.filter((member) => !promoted.includes(member) && !leaves(member)),
    promotions: current.promotions.filter(({ member }) => !promoted.includes(member)),
    addresses: current.addresses,
  };
}

export function isSame(current: Configuration, next: Members): boolean {
  return (
    !isJoint(current) &&
    next.votersOutgoing.length === 0 &&
    isSameSet(current.voters, next.voters) &&
    isSameSet(current.learners, next.learners) &&
    isSameSet(current.promotions.map(textOfPromotion), next.promotions.map(textOfPromotion)) &&
    isSameSet(current.addresses.map(textOfPlace), next.addresses.map(textOfPlace))
  );
}

const EMPTY: Members = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  promotions: [],
  addresses: [],
};

/** Whom it replaces may have left already. */
function withoutGone(promotion: Promotion, { voters, learners }: ConfigurationChange): Promotion {
  const { member, replaces } = promotion;
  const isThere = replaces !== null && [...voters, ...learners].includes(replaces);
  return { member, replaces: isThere ? replaces : null };
}

/** The first place known of each member. */
function placesOf(members: Members, places: readonly MemberPlace[]): MemberPlace[] {
  return places.filter(
    ({ member }, at) =>
      (isVoter({ index: 0, ...members }, member) || members.learners.includes(member)) &&
      places.findIndex((place) => place.member === member) === at,
  );
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item) => b.includes(item));
}

function textOfPromotion({ member, replaces }: Promotion): string {
  return JSON.stringify([member, replaces]);
}

function textOfPlace({ member, address }: MemberPlace): string {
  return JSON.stringify([member, address]);
}
