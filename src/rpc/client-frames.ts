import { unreachable } from '../base/assert.js';
import { check } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';
import type { KeyValue } from '../base/operation.js';
import { packFrame, unpackFrame } from './frame.js';
import {
  type AnswerMeta,
  type ClientAnswer,
  type ClientFrame,
  type ClientHello,
  type ClientRequest,
  CONSISTENCY_LEVELS,
  type Consistency,
  type MemberAddress,
  type ReplicaFrame,
  type ReplicaHello,
  type VersionRange,
  type WireError,
} from './protocol.js';

/** Frames of the client stream as bytes. Everything that was received is checked field by field. */

const HELLO = 1;
const BATCH = 2;
const LEADER = 3;
const END = 4;
const MEMBERS = 5;

const ERROR = 0;
const WRITE = 1;
const GET = 2;
const RANGE = 3;
const STATUS = 4;
const ADMIN = 5;

/**
 * Most requests in one frame. A client of ours cannot have more in its 4 MiB; a frame that is full
 * of the smallest ones would hold up everybody else for seconds.
 */
const REQUESTS_PER_FRAME_MAX = 65_536;

const LEVELS: readonly (Consistency | undefined)[] = Object.keys(
  CONSISTENCY_LEVELS,
) as Consistency[];

// ---------------------------------------------------------------------------------------------
// Client to replica

export function packClientFrame(frame: ClientFrame): Buffer {
  switch (frame.type) {
    case 'hello': {
      const h = frame.hello;
      return packFrame([
        HELLO,
        h.protocolVersion,
        h.clientName,
        h.clusterId,
        h.sessionId,
        h.protocolVersionMin,
      ]);
    }
    case 'requests':
      return packFrame([BATCH, frame.requests.map(requestTuple)]);
    default:
      return unreachable(frame);
  }
}

function requestTuple(r: ClientRequest): unknown[] {
  switch (r.type) {
    case 'write':
      return [r.id, WRITE, r.bornIndex, r.sequence, r.acknowledged, r.operations];
    case 'get':
      return [r.id, GET, CONSISTENCY_LEVELS[r.consistency], r.keys, r.revision];
    case 'range':
      return [
        r.id,
        RANGE,
        CONSISTENCY_LEVELS[r.consistency],
        r.from,
        r.to,
        r.reverse,
        r.keysMax,
        r.revision,
      ];
    case 'status':
      return [r.id, STATUS];
    case 'admin':
      return [r.id, ADMIN, r.command];
    default:
      return unreachable(r);
  }
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackClientFrame(bytes: Uint8Array): ClientFrame {
  const tuple = check.tuple(unpackFrame(bytes), 'frame', 2);
  if (tuple[0] === HELLO) return { type: 'hello', hello: readClientHello(tuple) };
  if (tuple[0] === BATCH) {
    const list = check.list(tuple[1], 'requests');
    if (list.length > REQUESTS_PER_FRAME_MAX) {
      const message = `requests: ${list.length} in one frame, the limit is ${REQUESTS_PER_FRAME_MAX}`;
      throw new BalsaError('FRAME_INVALID', message);
    }
    return { type: 'requests', requests: list.map(readRequest) };
  }
  throw unknownType('frame', tuple[0]);
}

function readClientHello(tuple: readonly unknown[]): ClientHello {
  return {
    ...readVersions(tuple[1], tuple[5]),
    clientName: check.text(tuple[2], 'hello clientName'),
    clusterId: check.optional(tuple[3], (v) => check.text(v, 'hello clusterId')),
    sessionId: check.bytes(tuple[4], 'hello sessionId'),
  };
}

/** Versions of a hello. The first ones stated just one. */
export function readVersions(newest: unknown, oldest: unknown): VersionRange {
  const protocolVersion = check.count(newest, 'hello protocolVersion');
  const stated = check.optional(oldest, (v) => check.count(v, 'hello protocolVersionMin'));
  return { protocolVersion, protocolVersionMin: stated ?? protocolVersion };
}

function readRequest(value: unknown): ClientRequest {
  const t = check.tuple(value, 'request', 2);
  const id = check.count(t[0], 'request id');
  switch (t[1]) {
    case WRITE:
      return {
        type: 'write',
        id,
        bornIndex: check.count(t[2], 'write bornIndex'),
        sequence: check.count(t[3], 'write sequence'),
        acknowledged: check.count(t[4], 'write acknowledged'),
        operations: check.bytes(t[5], 'write operations'),
      };
    case GET:
      return {
        type: 'get',
        id,
        consistency: readLevel(t[2]),
        keys: check.list(t[3], 'get keys').map((key) => check.bytes(key, 'get key')),
        revision: readRevision(t[4]),
      };
    case RANGE:
      return {
        type: 'range',
        id,
        consistency: readLevel(t[2]),
        from: check.bytes(t[3], 'range from'),
        to: check.optional(t[4], (v) => check.bytes(v, 'range to')),
        reverse: check.flag(t[5], 'range reverse'),
        keysMax: check.count(t[6], 'range keysMax'),
        revision: readRevision(t[7]),
      };
    case STATUS:
      return { type: 'status', id };
    case ADMIN:
      return { type: 'admin', id, command: check.text(t[2], 'admin command') };
    default:
      throw unknownType('request', t[1]);
  }
}

function readLevel(value: unknown): Consistency {
  const level = typeof value === 'number' ? LEVELS[value] : undefined;
  if (level === undefined) throw unknownType('consistency level', value);
  return level;
}

function readRevision(value: unknown): number | null {
  return check.optional(value, (v) => check.count(v, 'revision'));
}

// ---------------------------------------------------------------------------------------------
// Replica to client

export function packReplicaFrame(frame: ReplicaFrame): Buffer {
  switch (frame.type) {
    case 'hello':
      return packFrame([HELLO, ...replicaHelloFields(frame.hello)]);
    case 'answers':
      return packFrame([BATCH, frame.answers.map(answerTuple)]);
    case 'leader':
      return packFrame([LEADER, frame.leader, frame.term]);
    case 'members':
      return packFrame([MEMBERS, frame.members.map(memberTuple)]);
    case 'end':
      return packFrame([END, wireErrorTuple(frame.error)]);
    default:
      return unreachable(frame);
  }
}

function replicaHelloFields(h: ReplicaHello): unknown[] {
  return [
    h.protocolVersion,
    h.clusterId,
    h.clusterName,
    h.replica,
    h.members.map(memberTuple),
    h.leader,
    h.appliedIndex,
    [
      h.keyBytesMax,
      h.valueBytesMax,
      h.operationsPerBatchMax,
      h.batchBytesMax,
      h.frameBytesMax,
      h.batchesPerSessionMax,
    ],
    h.protocolVersionMin,
  ];
}

const memberTuple = (m: MemberAddress): unknown[] => [m.name, m.address];

function answerTuple(a: ClientAnswer): unknown[] {
  switch (a.type) {
    case 'error':
      return [a.id, ERROR, wireErrorTuple(a.error)];
    case 'write':
      return [a.id, WRITE, metaTuple(a.meta), a.results];
    case 'get':
      return [a.id, GET, metaTuple(a.meta), a.items.map((item) => item && itemTuple(item))];
    case 'range':
      return [a.id, RANGE, metaTuple(a.meta), a.items.map(itemTuple), a.revision, a.continueFrom];
    case 'status':
      return [a.id, STATUS, a.status];
    case 'admin':
      return [a.id, ADMIN, a.result];
    default:
      return unreachable(a);
  }
}

const metaTuple = (m: AnswerMeta): unknown[] => [m.term, m.revision, m.appliedIndex];
const itemTuple = (i: KeyValue): unknown[] => [
  i.key,
  i.value,
  i.createRevision,
  i.modRevision,
  i.version,
];

/** @throws BalsaError `FRAME_INVALID` */
export function unpackReplicaFrame(bytes: Uint8Array): ReplicaFrame {
  const tuple = check.tuple(unpackFrame(bytes), 'frame', 2);
  switch (tuple[0]) {
    case HELLO:
      return { type: 'hello', hello: readReplicaHello(tuple) };
    case BATCH:
      return { type: 'answers', answers: check.list(tuple[1], 'answers').map(readAnswer) };
    case LEADER:
      return {
        type: 'leader',
        leader: check.optional(tuple[1], (v) => check.text(v, 'leader')),
        term: check.count(tuple[2], 'leader term'),
      };
    case MEMBERS:
      return { type: 'members', members: check.list(tuple[1], 'members').map(readMember) };
    case END:
      return { type: 'end', error: readWireError(tuple[1]) };
    default:
      throw unknownType('frame', tuple[0]);
  }
}

function readReplicaHello(t: readonly unknown[]): ReplicaHello {
  const limits = check.tuple(t[8], 'hello limits', 6).map((v) => check.count(v, 'hello limit'));
  const [
    keyBytesMax,
    valueBytesMax,
    operationsPerBatchMax,
    batchBytesMax,
    frameBytesMax,
    batchesPerSessionMax,
  ] = limits as [number, number, number, number, number, number];
  return {
    ...readVersions(t[1], t[9]),
    clusterId: check.text(t[2], 'hello clusterId'),
    clusterName: check.text(t[3], 'hello clusterName'),
    replica: check.text(t[4], 'hello replica'),
    members: check.list(t[5], 'hello members').map(readMember),
    leader: check.optional(t[6], (v) => check.text(v, 'hello leader')),
    appliedIndex: check.count(t[7], 'hello appliedIndex'),
    keyBytesMax,
    valueBytesMax,
    operationsPerBatchMax,
    batchBytesMax,
    frameBytesMax,
    batchesPerSessionMax,
  };
}

function readMember(value: unknown): MemberAddress {
  const member = check.tuple(value, 'member', 2);
  return {
    name: check.text(member[0], 'member name'),
    address: check.text(member[1], 'member address'),
  };
}

function readAnswer(value: unknown): ClientAnswer {
  const t = check.tuple(value, 'answer', 3);
  const id = check.count(t[0], 'answer id');
  switch (t[1]) {
    case ERROR:
      return { type: 'error', id, error: readWireError(t[2]) };
    case WRITE:
      return {
        type: 'write',
        id,
        meta: readMeta(t[2]),
        results: check.bytes(t[3], 'write results'),
      };
    case GET:
      return {
        type: 'get',
        id,
        meta: readMeta(t[2]),
        items: check.list(t[3], 'items').map((item) => check.optional(item, readItem)),
      };
    case RANGE:
      return {
        type: 'range',
        id,
        meta: readMeta(t[2]),
        items: check.list(t[3], 'items').map(readItem),
        revision: check.count(t[4], 'range revision'),
        continueFrom: check.optional(t[5], (v) => check.bytes(v, 'continueFrom')),
      };
    case STATUS:
      return { type: 'status', id, status: check.text(t[2], 'status') };
    case ADMIN:
      return { type: 'admin', id, result: check.text(t[2], 'admin result') };
    default:
      throw unknownType('answer', t[1]);
  }
}

function readMeta(value: unknown): AnswerMeta {
  const t = check.tuple(value, 'meta', 3);
  return {
    term: check.count(t[0], 'meta term'),
    revision: check.count(t[1], 'meta revision'),
    appliedIndex: check.count(t[2], 'meta appliedIndex'),
  };
}

function readItem(value: unknown): KeyValue {
  const t = check.tuple(value, 'item', 5);
  return {
    key: check.bytes(t[0], 'item key'),
    value: check.bytes(t[1], 'item value'),
    createRevision: check.count(t[2], 'item createRevision'),
    modRevision: check.count(t[3], 'item modRevision'),
    version: check.count(t[4], 'item version'),
  };
}

export function wireErrorTuple(e: WireError): unknown[] {
  return [e.code, e.message, e.outcome, e.details];
}

export function readWireError(value: unknown): WireError {
  const t = check.tuple(value, 'error', 4);
  const outcome = t[2];
  if (outcome !== null && outcome !== 'not-applied' && outcome !== 'unknown') {
    throw unknownType('error outcome', outcome);
  }
  return {
    code: check.text(t[0], 'error code'),
    message: check.text(t[1], 'error message'),
    outcome,
    details: check.optional(t[3], (v) => check.text(v, 'error details')),
  };
}

function unknownType(what: string, found: unknown): BalsaError {
  return new BalsaError('FRAME_INVALID', `${what}: unknown type ${String(found)}`);
}
