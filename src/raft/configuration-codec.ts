import { check, packToKeep, unpack } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';
import type { Configuration, LogIndex, MemberId, MemberPlace, Promotion } from './types.js';

/** Payload of an entry of type `configuration`: a versioned tuple. The index is that of the entry. */
const FORMAT = 1;

export function packConfiguration(configuration: Omit<Configuration, 'index'>): Buffer {
  const { voters, votersOutgoing, learners, learnersNext, promotions, addresses } = configuration;
  return packToKeep([
    FORMAT,
    voters,
    votersOutgoing,
    learners,
    learnersNext,
    promotions.map(({ member, replaces }) => [member, replaces]),
    addresses.map(({ member, address }) => [member, address]),
  ]);
}

/** @throws BalsaError `FRAME_INVALID`, `VERSION_UNSUPPORTED` */
export function unpackConfiguration(payload: Uint8Array, index: LogIndex): Configuration {
  const t = check.tuple(unpack(payload), 'configuration', 7);
  if (t[0] !== FORMAT) {
    throw new BalsaError(
      'VERSION_UNSUPPORTED',
      `entry ${index} is a configuration of format ${String(t[0])}, this version knows ${FORMAT}`,
    );
  }
  return {
    index,
    voters: readMembers(t[1], 'voters'),
    votersOutgoing: readMembers(t[2], 'votersOutgoing'),
    learners: readMembers(t[3], 'learners'),
    learnersNext: readMembers(t[4], 'learnersNext'),
    promotions: check.list(t[5], 'promotions').map(readPromotion),
    addresses: check.list(t[6], 'addresses').map(readPlace),
  };
}

function readMembers(value: unknown, what: string): MemberId[] {
  return check.list(value, what).map((member) => check.text(member, what));
}

function readPromotion(value: unknown): Promotion {
  const t = check.tuple(value, 'promotion', 2);
  return {
    member: check.text(t[0], 'promotion member'),
    replaces: check.optional(t[1], (v) => check.text(v, 'promotion replaces')),
  };
}

function readPlace(value: unknown): MemberPlace {
  const t = check.tuple(value, 'address', 2);
  return { member: check.text(t[0], 'address member'), address: check.text(t[1], 'address') };
}
