import { unreachable } from '../base/assert.js';
import { check, shownType } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';
import {
  packSnapshotPart,
  type SnapshotChunk,
  type SnapshotEnd,
  type SnapshotHeader,
  unpackSnapshotPart,
} from '../base/snapshot-codec.js';
import type { MemberId, Term } from '../raft/types.js';
import { packFrame, unpackFrame } from './frame.js';
import type { VersionRange, WireError } from './protocol.js';
import { readWireError, wireErrorTuple } from './replica-frames.js';

/**
 * Frames of a stream on which one snapshot travels, from a leader to a follower
 * (`PEER_SNAPSHOT_PATH`) or from a replica to a client that wants a backup (`CLIENT_SNAPSHOT_PATH`):
 *
 *     client   request                     (backups only: the client opens the stream)
 *     sender   header
 *     receiver answer: send what follows chunk n
 *     sender   chunk n+1, n+2, … as far as the window of bytes that are not acknowledged allows
 *     receiver ack n+1, n+2, … when the chunk is taken in
 *     sender   end
 *     receiver done: all of it is checked and durable
 *
 * Either side may send a refusal instead; it is the last frame.
 */
export type SnapshotFrame =
  | { readonly type: 'request'; readonly request: BackupRequest }
  | { readonly type: 'header'; readonly offer: SnapshotOfferFrame }
  | { readonly type: 'answer'; readonly afterChunk: number }
  | { readonly type: 'chunk'; readonly chunk: SnapshotChunk }
  | { readonly type: 'ack'; readonly chunk: number }
  | { readonly type: 'end'; readonly end: SnapshotEnd }
  | { readonly type: 'done' }
  | { readonly type: 'refusal'; readonly error: WireError };

export interface BackupRequest extends VersionRange {
  /** For logs. */
  readonly clientName: string;
  /** Refuse me unless you belong to this cluster; `null`: any. */
  readonly clusterId: string | null;
}

export interface SnapshotOfferFrame extends VersionRange {
  readonly from: MemberId;
  /** Empty when it goes to a client. */
  readonly to: MemberId;
  /** In which the sender led when it was asked for, or leads again. */
  readonly term: Term;
  readonly header: SnapshotHeader;
}

const REQUEST = 1;
const HEADER = 2;
const ANSWER = 3;
const CHUNK = 4;
const ACK = 5;
const END = 6;
const DONE = 7;
const REFUSAL = 8;

export function packSnapshotFrame(frame: SnapshotFrame): Buffer {
  switch (frame.type) {
    case 'request': {
      const r = frame.request;
      return packFrame([
        REQUEST,
        r.protocolVersion,
        r.protocolVersionMin,
        r.clientName,
        r.clusterId,
      ]);
    }
    case 'header': {
      const o = frame.offer;
      const header = packSnapshotPart({ type: 'header', header: o.header });
      return packFrame([
        HEADER,
        o.protocolVersion,
        o.protocolVersionMin,
        o.from,
        o.to,
        o.term,
        header,
      ]);
    }
    case 'answer':
      return packFrame([ANSWER, frame.afterChunk]);
    case 'chunk': {
      const { number, checksum, pairs } = frame.chunk;
      return packFrame([CHUNK, number, checksum, pairs]);
    }
    case 'ack':
      return packFrame([ACK, frame.chunk]);
    case 'end':
      return packFrame([END, packSnapshotPart({ type: 'end', end: frame.end })]);
    case 'done':
      return packFrame([DONE]);
    case 'refusal':
      return packFrame([REFUSAL, wireErrorTuple(frame.error)]);
    default:
      return unreachable(frame);
  }
}

/**
 * Byte strings are views into `bytes`.
 * @throws BalsaError `FRAME_INVALID`, `SNAPSHOT_CORRUPT`, `VERSION_UNSUPPORTED`
 */
export function unpackSnapshotFrame(bytes: Uint8Array): SnapshotFrame {
  const t = check.tuple(unpackFrame(bytes), 'snapshot frame', 1);
  switch (t[0]) {
    case REQUEST:
      return { type: 'request', request: readRequest(t) };
    case HEADER:
      return { type: 'header', offer: readOffer(t) };
    case ANSWER:
      return { type: 'answer', afterChunk: check.count(t[1], 'answer chunk') };
    case CHUNK:
      return {
        type: 'chunk',
        chunk: {
          number: check.count(t[1], 'chunk number'),
          checksum: check.count(t[2], 'chunk checksum'),
          pairs: check.bytes(t[3], 'chunk pairs'),
        },
      };
    case ACK:
      return { type: 'ack', chunk: check.count(t[1], 'ack chunk') };
    case END:
      return { type: 'end', end: readEnd(t[1]) };
    case DONE:
      return { type: 'done' };
    case REFUSAL:
      return { type: 'refusal', error: readWireError(t[1]) };
    default:
      throw new BalsaError('FRAME_INVALID', `snapshot frame: unknown type ${shownType(t[0])}`);
  }
}

function readVersions(t: readonly unknown[]): VersionRange {
  return {
    protocolVersion: check.count(t[1], 'protocolVersion'),
    protocolVersionMin: check.count(t[2], 'protocolVersionMin'),
  };
}

function readRequest(t: readonly unknown[]): BackupRequest {
  return {
    ...readVersions(t),
    clientName: check.text(t[3], 'request clientName'),
    clusterId: check.optional(t[4], (v) => check.text(v, 'request clusterId')),
  };
}

function readOffer(t: readonly unknown[]): SnapshotOfferFrame {
  const part = unpackSnapshotPart(check.bytes(t[6], 'snapshot header'));
  if (part.type !== 'header') throw new BalsaError('FRAME_INVALID', 'snapshot header: not one');
  return {
    ...readVersions(t),
    from: check.text(t[3], 'snapshot sender'),
    to: check.text(t[4], 'snapshot receiver'),
    term: check.count(t[5], 'snapshot sender term'),
    header: part.header,
  };
}

function readEnd(value: unknown): SnapshotEnd {
  const part = unpackSnapshotPart(check.bytes(value, 'snapshot end'));
  if (part.type !== 'end') throw new BalsaError('FRAME_INVALID', 'snapshot end: not one');
  return part.end;
}
