import { BalsaError } from '../base/errors.js';
import { PROTOCOL_VERSION, PROTOCOL_VERSION_MIN, type VersionRange } from './protocol.js';

/** What this version speaks; for hellos. */
export const OWN_VERSIONS: VersionRange = {
  protocolVersion: PROTOCOL_VERSION,
  protocolVersionMin: PROTOCOL_VERSION_MIN,
};

/**
 * The newest version of the protocol that both sides speak.
 * @param who the other side, for the message
 * @throws BalsaError `PROTOCOL_VERSION` when there is none
 */
export function agreeOnVersion(theirs: VersionRange, who: string, own = OWN_VERSIONS): number {
  const version = Math.min(theirs.protocolVersion, own.protocolVersion);
  if (version >= theirs.protocolVersionMin && version >= own.protocolVersionMin) return version;
  throw new BalsaError(
    'PROTOCOL_VERSION',
    `${who} speaks ${inWords(theirs)}, this side ${inWords(own)}: update the older one first`,
    { details: { theirs, own } },
  );
}

function inWords({ protocolVersion, protocolVersionMin }: VersionRange): string {
  return protocolVersion === protocolVersionMin
    ? `protocol version ${protocolVersion}`
    : `protocol versions ${protocolVersionMin} to ${protocolVersion}`;
}
