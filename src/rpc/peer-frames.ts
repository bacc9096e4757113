import { unreachable } from '../base/assert.js';
import { check, LARGE_BYTES, shownType } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';
import type { Entry, EntryType, LogIndex, LogPosition, MemberId, Message } from '../raft/types.js';
import { readVersions } from './client-frames.js';
import { type DeltaFrame, deltaFrameTuple, isDeltaFrame, readDeltaFrame } from './delta-frames.js';
import { packFrame, unpackFrame } from './frame.js';
import { isJobFrame, type JobFrame, jobFrameTuple, readJobFrame } from './job-frames.js';
import type { FormatVersions, FormedMember, Joining, PeerHello } from './peer-protocol.js';
import { readWireError, wireErrorTuple } from './replica-frames.js';

/**
 * Frames of the peer stream as bytes. The members at both ends are fixed by the hello, so messages
 * do not carry `from` and `to`: a peer cannot speak in another's name.
 */
export type PeerFrame =
  | { readonly type: 'hello'; readonly hello: PeerHello }
  | { readonly type: 'messages'; readonly messages: readonly Message[] }
  /** The sender's state after it had applied `index`; it is the same on all members. */
  | { readonly type: 'state-hash'; readonly index: LogIndex; readonly hash: number }
  /** Asks for an answer, which goes back over the same stream: the one thing that does, behind the hello. */
  | { readonly type: 'probe' }
  | { readonly type: 'probe-answer' }
  | DeltaFrame
  | JobFrame;

const HELLO = 1;
const MESSAGES = 2;
const STATE_HASH = 3;
const PROBE = 9;

const REQUEST_VOTE = 1;
const REQUEST_VOTE_REPLY = 2;
const APPEND_ENTRIES = 3;
const APPEND_ENTRIES_REPLY = 4;
const HEARTBEAT = 5;
const HEARTBEAT_REPLY = 6;
const READ_INDEX = 7;
const READ_INDEX_REPLY = 8;
const TIMEOUT_NOW = 9;

const ENTRY_TYPES: readonly EntryType[] = ['noop', 'command', 'configuration'];

// ---------------------------------------------------------------------------------------------
// Packing

export function packPeerHello(h: PeerHello): Buffer {
  return packFrame([
    HELLO,
    h.protocolVersion,
    h.clusterName,
    h.clusterId,
    h.name,
    h.incarnation,
    h.to,
    h.formation?.map((m) => [m.name, m.incarnation]) ?? null,
    h.refusal && wireErrorTuple(h.refusal),
    h.toIncarnation,
    [h.formats.command, h.formats.snapshot],
    h.joining && [h.joining.address, h.joining.replaces],
    h.protocolVersionMin,
    h.address,
    h.memberAt,
  ]);
}

export function packStateHash(index: LogIndex, hash: number): Buffer {
  return packFrame([STATE_HASH, index, hash]);
}

export function packProbe(): Buffer {
  return packFrame([PROBE, false]);
}

export function packProbeAnswer(): Buffer {
  return packFrame([PROBE, true]);
}

export function packDeltaFrame(frame: DeltaFrame): Buffer {
  return packFrame(deltaFrameTuple(frame));
}

export function packJobFrame(frame: JobFrame): Buffer {
  return packFrame(jobFrameTuple(frame));
}

export function packMessages(messages: readonly Message[]): Buffer {
  return packFrame([MESSAGES, messages.map(messageTuple)], messages.some(isLarge));
}

function isLarge(message: Message): boolean {
  if (message.type !== 'AppendEntries') return false;
  return message.entries.some(({ payload }) => payload.byteLength >= LARGE_BYTES);
}

function messageTuple(m: Message): unknown[] {
  switch (m.type) {
    case 'RequestVote':
      return [REQUEST_VOTE, m.term, m.preVote, m.lastLog.index, m.lastLog.term, m.transfer];
    case 'RequestVoteReply':
      return [REQUEST_VOTE_REPLY, m.term, m.preVote, m.granted];
    case 'AppendEntries':
      return [
        APPEND_ENTRIES,
        m.term,
        m.prevLog.index,
        m.prevLog.term,
        m.leaderCommit,
        m.entries.map((e) => [e.term, ENTRY_TYPES.indexOf(e.type), e.payload]),
      ];
    case 'AppendEntriesReply': {
      const r = m.result;
      return r.success
        ? [APPEND_ENTRIES_REPLY, m.term, true, r.matchIndex]
        : [APPEND_ENTRIES_REPLY, m.term, false, r.prevIndex, r.hint.index, r.hint.term];
    }
    case 'Heartbeat':
      return [HEARTBEAT, m.term, m.commit, m.readRound, m.leaseMs];
    case 'HeartbeatReply':
      return [HEARTBEAT_REPLY, m.term, m.readRound, m.leaseGranted, m.priority, m.appliedIndex];
    case 'ReadIndex':
      return m.patient ? [READ_INDEX, m.term, m.request, true] : [READ_INDEX, m.term, m.request];
    case 'ReadIndexReply':
      return [READ_INDEX_REPLY, m.term, m.request, m.index];
    case 'TimeoutNow':
      return [TIMEOUT_NOW, m.term];
    default:
      return unreachable(m);
  }
}

// ---------------------------------------------------------------------------------------------
// Unpacking

/** @throws BalsaError `FRAME_INVALID` */
export function unpackPeerFrame(
  bytes: Uint8Array,
  ends: { from: MemberId; to: MemberId },
): PeerFrame {
  const tuple = check.tuple(unpackFrame(bytes), 'peer frame', 2);
  if (tuple[0] === HELLO) return { type: 'hello', hello: readHello(tuple) };
  if (tuple[0] === MESSAGES) {
    const list = check.list(tuple[1], 'messages');
    return { type: 'messages', messages: list.map((value) => readMessage(value, ends)) };
  }
  if (tuple[0] === STATE_HASH) {
    const index = check.count(tuple[1], 'state hash index');
    return { type: 'state-hash', index, hash: check.count(tuple[2], 'state hash') };
  }
  if (tuple[0] === PROBE) {
    return { type: check.flag(tuple[1], 'probe') ? 'probe-answer' : 'probe' };
  }
  if (isDeltaFrame(tuple[0])) return readDeltaFrame(tuple);
  if (isJobFrame(tuple[0])) return readJobFrame(tuple);
  throw new BalsaError('FRAME_INVALID', `peer frame: unknown type ${shownType(tuple[0])}`);
}

function readHello(t: readonly unknown[]): PeerHello {
  return {
    ...readVersions(t[1], t[12]),
    clusterName: check.text(t[2], 'peer hello clusterName'),
    clusterId: check.optional(t[3], (v) => check.text(v, 'peer hello clusterId')),
    name: check.text(t[4], 'peer hello name'),
    incarnation: check.text(t[5], 'peer hello incarnation'),
    to: check.text(t[6], 'peer hello to'),
    formation: check.optional(t[7], (v) =>
      check.list(v, 'peer hello formation').map(readFormedMember),
    ),
    refusal: check.optional(t[8], readWireError),
    toIncarnation: check.optional(t[9], (v) => check.text(v, 'peer hello toIncarnation')),
    formats: check.optional(t[10], readFormats) ?? FIRST_FORMATS,
    joining: check.optional(t[11], readJoining),
    address: check.optional(t[13], (v) => check.text(v, 'peer hello address')),
    memberAt: check.optional(t[14], (v) => check.count(v, 'peer hello memberAt')),
  };
}

/** Of members that say nothing of it. */
const FIRST_FORMATS: FormatVersions = { command: 1, snapshot: 1 };

function readFormats(value: unknown): FormatVersions {
  const t = check.tuple(value, 'formats', 2);
  return {
    command: check.count(t[0], 'format of commands'),
    snapshot: check.count(t[1], 'format of snapshots'),
  };
}

function readJoining(value: unknown): Joining {
  const t = check.tuple(value, 'joining', 2);
  return {
    address: check.text(t[0], 'joining address'),
    replaces: check.optional(t[1], (v) => check.text(v, 'joining replaces')),
  };
}

function readFormedMember(value: unknown): FormedMember {
  const t = check.tuple(value, 'formed member', 2);
  return {
    name: check.text(t[0], 'member name'),
    incarnation: check.text(t[1], 'member incarnation'),
  };
}

function readMessage(value: unknown, ends: { from: MemberId; to: MemberId }): Message {
  const t = check.tuple(value, 'message', 2);
  const envelope = { from: ends.from, to: ends.to, term: check.count(t[1], 'message term') };
  switch (t[0]) {
    case REQUEST_VOTE:
      return {
        type: 'RequestVote',
        ...envelope,
        preVote: check.flag(t[2], 'RequestVote preVote'),
        lastLog: readPosition(t[3], t[4]),
        transfer: check.flag(t[5], 'RequestVote transfer'),
      };
    case REQUEST_VOTE_REPLY:
      return {
        type: 'RequestVoteReply',
        ...envelope,
        preVote: check.flag(t[2], 'RequestVoteReply preVote'),
        granted: check.flag(t[3], 'RequestVoteReply granted'),
      };
    case APPEND_ENTRIES:
      return readAppendEntries(t, envelope);
    case APPEND_ENTRIES_REPLY:
      return readAppendEntriesReply(t, envelope);
    case HEARTBEAT:
      return {
        type: 'Heartbeat',
        ...envelope,
        commit: check.count(t[2], 'Heartbeat commit'),
        readRound: check.count(t[3], 'Heartbeat readRound'),
        leaseMs: check.count(t[4], 'Heartbeat leaseMs'),
      };
    case HEARTBEAT_REPLY:
      return {
        type: 'HeartbeatReply',
        ...envelope,
        readRound: check.count(t[2], 'HeartbeatReply readRound'),
        leaseGranted: check.flag(t[3], 'HeartbeatReply leaseGranted'),
        priority: check.count(t[4], 'HeartbeatReply priority'),
        appliedIndex: check.optional(t[5], (v) => check.count(v, 'HeartbeatReply appliedIndex')),
      };
    case READ_INDEX:
      return {
        type: 'ReadIndex',
        ...envelope,
        request: check.count(t[2], 'ReadIndex request'),
        ...(t[3] === true ? { patient: true } : {}),
      };
    case READ_INDEX_REPLY:
      return {
        type: 'ReadIndexReply',
        ...envelope,
        request: check.count(t[2], 'ReadIndexReply request'),
        index: check.count(t[3], 'ReadIndexReply index'),
      };
    case TIMEOUT_NOW:
      return { type: 'TimeoutNow', ...envelope };
    default:
      throw new BalsaError('FRAME_INVALID', `message: unknown type ${shownType(t[0])}`);
  }
}

interface ReadEnvelope {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: number;
}

function readAppendEntries(t: readonly unknown[], envelope: ReadEnvelope): Message {
  const prevLog = readPosition(t[2], t[3]);
  const entries = check.list(t[5], 'AppendEntries entries').map((value, i): Entry => {
    const e = check.tuple(value, 'entry', 3);
    const type = ENTRY_TYPES[check.count(e[1], 'entry type')];
    if (type === undefined)
      throw new BalsaError('FRAME_INVALID', `entry: unknown type ${shownType(e[1])}`);
    return {
      index: prevLog.index + 1 + i,
      term: check.count(e[0], 'entry term'),
      type,
      payload: check.bytes(e[2], 'entry payload'),
    };
  });
  const leaderCommit = check.count(t[4], 'AppendEntries leaderCommit');
  return { type: 'AppendEntries', ...envelope, prevLog, entries, leaderCommit };
}

function readAppendEntriesReply(t: readonly unknown[], envelope: ReadEnvelope): Message {
  const index = check.count(t[3], 'AppendEntriesReply index');
  const result = check.flag(t[2], 'AppendEntriesReply success')
    ? ({ success: true, matchIndex: index } as const)
    : ({ success: false, prevIndex: index, hint: readPosition(t[4], t[5]) } as const);
  return { type: 'AppendEntriesReply', ...envelope, result };
}

function readPosition(index: unknown, term: unknown): LogPosition {
  return { index: check.count(index, 'log index'), term: check.count(term, 'log term') };
}
