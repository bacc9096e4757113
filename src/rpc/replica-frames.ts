import { unreachable } from '../base/assert.js';
import { check, LARGE_BYTES } from '../base/codec.js';
import {
  blockBytes,
  contentsBytes,
  packContents,
  packItems,
  unpackContents,
  unpackItems,
} from '../base/item-block.js';
import type { KeyValue } from '../base/operation.js';
import { keyValueTuple, toKeyValue } from '../base/operation-codec.js';
import {
  ADMIN,
  BATCH,
  CALL,
  END,
  ERROR,
  EXECUTED,
  GET,
  HELLO,
  JOBS,
  LEADER,
  LEASES,
  MEMBERS,
  PROBE,
  PROCEDURES,
  RANGE,
  STATUS,
  STORE,
  WATCH_CREATED,
  WATCH_EVENTS,
  WATCH_LAGGING,
  WATCH_PROGRESS,
  WORK,
  WRITE,
} from './client-frame-types.js';
import { readVersions, unknownType } from './client-frames.js';
import { packFrame, unpackFrame } from './frame.js';
import { assignedTuple, readAssigned } from './job-protocol.js';
import {
  type AnswerMeta,
  type ClientAnswer,
  type LeaseInfo,
  type MemberAddress,
  type ReplicaFrame,
  type ReplicaHello,
  SIDES,
  type WatchEvent,
  type WireError,
} from './protocol.js';
import type { TellingIndex } from './watch-protocol.js';

/** Frames from replicas to clients as bytes. Everything that was received is checked field by field. */

export function packReplicaFrame(frame: ReplicaFrame): Buffer {
  switch (frame.type) {
    case 'hello':
      return packFrame([HELLO, ...replicaHelloFields(frame.hello)]);
    case 'answers':
      return packFrame([BATCH, frame.answers.map(answerTuple)], frame.answers.some(isLarge));
    case 'leader':
      return packFrame([LEADER, frame.leader, frame.term]);
    case 'members':
      return packFrame([MEMBERS, frame.members.map(memberTuple)]);
    case 'probe-answer':
      return packFrame([PROBE, null]);
    case 'end':
      return packFrame([END, wireErrorTuple(frame.error)]);
    default:
      return unreachable(frame);
  }
}

/** Watch events are never large all together, but one of them may be. */
function isLarge(answer: ClientAnswer): boolean {
  const hasLarge = (item: KeyValue | null): boolean =>
    item !== null && item.value.byteLength >= LARGE_BYTES;
  switch (answer.type) {
    case 'write':
      return answer.results.byteLength >= LARGE_BYTES;
    case 'get':
      return contentsBytes(answer.items) >= LARGE_BYTES;
    case 'range':
      return blockBytes(answer.items) >= LARGE_BYTES;
    case 'executed':
      return answer.record.byteLength >= LARGE_BYTES;
    case 'jobs':
      return answer.bytes.byteLength >= LARGE_BYTES;
    case 'watch-events':
      return answer.events.some(({ item, previous }) => hasLarge(item) || hasLarge(previous));
    default:
      return false;
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
      return [a.id, GET, metaTuple(a.meta), packContents(a.items)];
    case 'range':
      return [
        ...[a.id, RANGE, metaTuple(a.meta), packItems(a.items)],
        ...[a.revision, a.continueFrom, a.count],
      ];
    case 'leases':
      return [a.id, LEASES, metaTuple(a.meta), a.leases.map(leaseTuple)];
    case 'store':
      return [a.id, STORE, metaTuple(a.meta), a.info];
    case 'call':
      return [
        a.id,
        CALL,
        metaTuple(a.meta),
        a.result,
        a.revision,
        a.hash,
        a.repeated,
        a.logs,
        a.pending,
      ];
    case 'executed':
      return [a.id, EXECUTED, metaTuple(a.meta), a.record, a.logs];
    case 'procedures':
      return [a.id, PROCEDURES, metaTuple(a.meta), a.info];
    case 'jobs':
      return [a.id, JOBS, metaTuple(a.meta), a.info, a.bytes];
    case 'work':
      return [a.id, WORK, metaTuple(a.meta), a.assigned.map(assignedTuple), a.dropped];
    case 'watch-created':
      return [a.id, WATCH_CREATED, metaTuple(a.meta), a.revision];
    case 'watch-events':
      return [a.id, WATCH_EVENTS, a.events.map(eventTuple), a.revision, a.more, a.appliedIndex];
    case 'watch-progress':
      return [a.id, WATCH_PROGRESS, a.revision, a.alsoFor, a.appliedIndex];
    case 'watch-lagging':
      return [a.id, WATCH_LAGGING, a.revision];
    case 'status':
      return [a.id, STATUS, a.status];
    case 'admin':
      return [a.id, ADMIN, a.result];
    default:
      return unreachable(a);
  }
}

const metaTuple = (m: AnswerMeta): unknown[] => [
  m.term,
  m.revision,
  m.appliedIndex,
  m.stalenessMs,
  SIDES.indexOf(m.side),
];
const leaseTuple = (l: LeaseInfo): unknown[] => [
  l.lease,
  l.ttlMs,
  l.remainingMs,
  l.keyCount,
  l.keys,
];
const eventTuple = (e: WatchEvent): unknown[] => [
  e.type === 'put' ? 1 : 0,
  keyValueTuple(e.item),
  e.previous && keyValueTuple(e.previous),
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
    case PROBE:
      return { type: 'probe-answer' };
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
        items: unpackContents(check.bytes(t[3], 'items')),
      };
    case RANGE:
      return {
        type: 'range',
        id,
        meta: readMeta(t[2]),
        items: unpackItems(check.bytes(t[3], 'items')),
        revision: check.count(t[4], 'range revision'),
        continueFrom: check.optional(t[5], (v) => check.bytes(v, 'continueFrom')),
        count: check.count(t[6], 'range count'),
      };
    case LEASES:
      return {
        type: 'leases',
        id,
        meta: readMeta(t[2]),
        leases: check.list(t[3], 'leases').map(readLease),
      };
    case STORE:
      return { type: 'store', id, meta: readMeta(t[2]), info: check.text(t[3], 'store info') };
    case CALL:
    case EXECUTED:
    case PROCEDURES:
      return readCallAnswer(id, t);
    case JOBS:
      return {
        type: 'jobs',
        ...{ id, meta: readMeta(t[2]), info: check.text(t[3], 'jobs info') },
        bytes: check.bytes(t[4], 'jobs bytes'),
      };
    case WORK:
      return {
        type: 'work',
        ...{ id, meta: readMeta(t[2]) },
        assigned: check.list(t[3], 'work assigned').map(readAssigned),
        dropped: check.list(t[4], 'work dropped').map((v) => check.count(v, 'work dropped')),
      };
    case WATCH_CREATED:
    case WATCH_EVENTS:
    case WATCH_PROGRESS:
    case WATCH_LAGGING:
      return readWatchAnswer(id, t);
    case STATUS:
      return { type: 'status', id, status: check.text(t[2], 'status') };
    case ADMIN:
      return { type: 'admin', id, result: check.text(t[2], 'admin result') };
    default:
      throw unknownType('answer', t[1]);
  }
}

function readCallAnswer(id: number, t: readonly unknown[]): ClientAnswer {
  const meta = readMeta(t[2]);
  const logs = (value: unknown): string[] =>
    check.list(value, 'call logs').map((line) => check.text(line, 'call log'));
  switch (t[1]) {
    case CALL:
      return {
        type: 'call',
        ...{ id, meta, result: check.text(t[3], 'call result') },
        revision: check.count(t[4], 'call revision'),
        hash: check.text(t[5], 'call hash'),
        repeated: check.flag(t[6], 'call repeated'),
        logs: logs(t[7]),
        pending: check.optional(t[8], (v) => check.flag(v, 'call pending')),
      };
    case EXECUTED: {
      const record = check.bytes(t[3], 'executed record');
      return { type: 'executed', id, meta, record, logs: logs(t[4]) };
    }
    default:
      return { type: 'procedures', id, meta, info: check.text(t[3], 'procedures info') };
  }
}

function readWatchAnswer(id: number, t: readonly unknown[]): ClientAnswer {
  const revision = (value: unknown): number => check.count(value, 'watch revision');
  const index = (value: unknown): TellingIndex =>
    check.optional(value, (v) => check.count(v, 'watch appliedIndex'));
  switch (t[1]) {
    case WATCH_CREATED:
      return { type: 'watch-created', id, meta: readMeta(t[2]), revision: revision(t[3]) };
    case WATCH_EVENTS:
      return {
        type: 'watch-events',
        id,
        events: check.list(t[2], 'watch events').map(readEvent),
        revision: revision(t[3]),
        more: check.flag(t[4], 'watch more'),
        appliedIndex: index(t[5]),
      };
    case WATCH_PROGRESS:
      return {
        type: 'watch-progress',
        id,
        revision: revision(t[2]),
        alsoFor: check.list(t[3], 'watch alsoFor').map((v) => check.count(v, 'watch alsoFor')),
        appliedIndex: index(t[4]),
      };
    default:
      return { type: 'watch-lagging', id, revision: revision(t[2]) };
  }
}

function readEvent(value: unknown): WatchEvent {
  const t = check.tuple(value, 'event', 3);
  return {
    type: t[0] === 1 ? 'put' : 'delete',
    item: toKeyValue(t[1]),
    previous: check.optional(t[2], toKeyValue),
  };
}

function readLease(value: unknown): LeaseInfo {
  const t = check.tuple(value, 'lease', 5);
  return {
    lease: check.count(t[0], 'lease'),
    ttlMs: check.count(t[1], 'lease ttlMs'),
    remainingMs: check.count(t[2], 'lease remainingMs'),
    keyCount: check.count(t[3], 'lease keyCount'),
    keys: check.list(t[4], 'lease keys').map((key) => check.bytes(key, 'lease key')),
  };
}

function readMeta(value: unknown): AnswerMeta {
  const t = check.tuple(value, 'meta', 3);
  return {
    term: check.count(t[0], 'meta term'),
    revision: check.count(t[1], 'meta revision'),
    appliedIndex: check.count(t[2], 'meta appliedIndex'),
    stalenessMs: check.optional(t[3], (v) => check.count(v, 'meta stalenessMs')),
    side: SIDES[typeof t[4] === 'number' ? t[4] : 0] ?? 'unknown',
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
