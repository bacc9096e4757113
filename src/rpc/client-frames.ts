import { unreachable } from '../base/assert.js';
import { CALL_KEY_BYTES_MAX } from '../base/call.js';
import { check, LARGE_BYTES, shownType } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';
import { filterBounds, filterFlags, readFilter } from '../base/operation-codec.js';
import { PROCEDURES_TOPICS, ROUTES } from './call-protocol.js';
import {
  ADMIN,
  BATCH,
  CALL,
  GET,
  HELLO,
  JOBS,
  LEASES,
  PROBE,
  PROCEDURES,
  RANGE,
  STATUS,
  STORE,
  SUBMIT,
  WATCH,
  WATCH_CANCEL,
  WORK,
  WRITE,
} from './client-frame-types.js';
import { packFrame, unpackFrame } from './frame.js';
import { readWork, workTuple } from './job-protocol.js';
import {
  type CallProcedureRequest,
  type ClientFrame,
  type ClientHello,
  type ClientRequest,
  CONSISTENCY_LEVELS,
  type Consistency,
  type ReadLevel,
  type VersionRange,
  type WatchRequest,
} from './protocol.js';

/** Frames from clients as bytes. Everything that was received is checked field by field. */

const WITH_PREVIOUS = 1;
const NO_PUTS = 2;
const NO_DELETES = 4;

/**
 * Most requests in one frame. A client of ours cannot have more in its 4 MiB; a frame that is full
 * of the smallest ones would hold up everybody else for seconds.
 */
const REQUESTS_PER_FRAME_MAX = 65_536;

const LEVELS: readonly (Consistency | undefined)[] = Object.keys(
  CONSISTENCY_LEVELS,
) as Consistency[];

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
      return packFrame([BATCH, frame.requests.map(requestTuple)], frame.requests.some(isLarge));
    case 'probe':
      return packFrame([PROBE, null]);
    default:
      return unreachable(frame);
  }
}

function isLarge(request: ClientRequest): boolean {
  if (request.type === 'write') return request.operations.byteLength >= LARGE_BYTES;
  return request.type === 'submit' && request.record.byteLength >= LARGE_BYTES;
}

function requestTuple(r: ClientRequest): unknown[] {
  switch (r.type) {
    case 'write':
      return [r.id, WRITE, r.bornIndex, r.sequence, r.acknowledged, r.operations];
    case 'get':
      return [r.id, GET, CONSISTENCY_LEVELS[r.consistency], r.keys, r.revision, r.bound];
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
        r.bound,
        filterFlags(r.filter),
        filterBounds(r.filter),
      ];
    case 'leases':
      return [r.id, LEASES, CONSISTENCY_LEVELS[r.consistency], r.bound, r.lease];
    case 'store':
      return [r.id, STORE, CONSISTENCY_LEVELS[r.consistency], r.bound];
    case 'call':
      return [
        ...[r.id, CALL, ROUTES.indexOf(r.route), CONSISTENCY_LEVELS[r.consistency], r.bound],
        ...[r.procedure, r.args, r.key, r.isNamed, r.bornIndex, r.peers],
        ...(r.age === null ? [] : [r.age.ms, r.age.at === 'hello']),
      ];
    case 'submit':
      return [r.id, SUBMIT, r.record];
    case 'procedures':
      return [
        ...[r.id, PROCEDURES, CONSISTENCY_LEVELS[r.consistency], r.bound],
        PROCEDURES_TOPICS.indexOf(r.about),
      ];
    case 'jobs':
      return [r.id, JOBS, CONSISTENCY_LEVELS[r.consistency], r.bound, r.query];
    case 'work':
      return [r.id, WORK, ...workTuple(r)];
    case 'watch':
      return watchTuple(r);
    case 'watch-cancel':
      return [r.id, WATCH_CANCEL, r.watch];
    case 'status':
      return [r.id, STATUS];
    case 'admin':
      return [r.id, ADMIN, r.command];
    default:
      return unreachable(r);
  }
}

function watchTuple(r: WatchRequest): unknown[] {
  const flags =
    (r.withPrevious ? WITH_PREVIOUS : 0) +
    (r.noPuts ? NO_PUTS : 0) +
    (r.noDeletes ? NO_DELETES : 0);
  const level = CONSISTENCY_LEVELS[r.consistency];
  return [r.id, WATCH, level, r.bound, r.from, r.to, r.startRevision, flags];
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackClientFrame(bytes: Uint8Array): ClientFrame {
  const tuple = check.tuple(unpackFrame(bytes), 'frame', 2);
  if (tuple[0] === HELLO) return { type: 'hello', hello: readClientHello(tuple) };
  if (tuple[0] === PROBE) return { type: 'probe' };
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
        ...readLevel(t[2], t[5]),
        keys: check.list(t[3], 'get keys').map((key) => check.bytes(key, 'get key')),
        revision: readRevision(t[4]),
      };
    case RANGE:
      return {
        type: 'range',
        id,
        ...readLevel(t[2], t[8]),
        from: check.bytes(t[3], 'range from'),
        to: check.optional(t[4], (v) => check.bytes(v, 'range to')),
        reverse: check.flag(t[5], 'range reverse'),
        keysMax: check.count(t[6], 'range keysMax'),
        revision: readRevision(t[7]),
        filter: readFilter(check.optional(t[9], (v) => check.count(v, 'range flags')) ?? 0, t[10]),
      };
    case LEASES:
      return {
        type: 'leases',
        id,
        ...readLevel(t[2], t[3]),
        lease: check.optional(t[4], (v) => check.count(v, 'leases lease')),
      };
    case STORE:
      return { type: 'store', id, ...readLevel(t[2], t[3]) };
    case CALL:
      return readCall(id, t);
    case SUBMIT:
      return { type: 'submit', id, record: check.bytes(t[2], 'submit record') };
    case PROCEDURES:
      return {
        type: 'procedures',
        ...{ id, ...readLevel(t[2], t[3]) },
        about: oneOf(PROCEDURES_TOPICS, t[4], 'procedures topic'),
      };
    case JOBS: {
      const query = check.text(t[4], 'jobs query');
      return { type: 'jobs', id, ...readLevel(t[2], t[3]), query };
    }
    case WORK:
      return { type: 'work', id, ...readWork(t[2], t[3]) };
    case WATCH:
      return readWatch(id, t);
    case WATCH_CANCEL:
      return { type: 'watch-cancel', id, watch: check.count(t[2], 'watch-cancel watch') };
    case STATUS:
      return { type: 'status', id };
    case ADMIN:
      return { type: 'admin', id, command: check.text(t[2], 'admin command') };
    default:
      throw unknownType('request', t[1]);
  }
}

function readCall(id: number, t: readonly unknown[]): CallProcedureRequest {
  const key = check.bytes(t[7], 'call key');
  if (key.byteLength === 0 || key.byteLength > CALL_KEY_BYTES_MAX) {
    const message = `call key: ${key.byteLength} bytes, expected 1 to ${CALL_KEY_BYTES_MAX}`;
    throw new BalsaError('FRAME_INVALID', message);
  }
  return {
    type: 'call',
    ...{ id, key, ...readLevel(t[3], t[4]) },
    route: oneOf(ROUTES, t[2], 'call route'),
    procedure: check.text(t[5], 'call procedure'),
    args: check.text(t[6], 'call args'),
    isNamed: check.flag(t[8], 'call isNamed'),
    bornIndex: check.count(t[9], 'call bornIndex'),
    peers: check.optional(t[10], (v) => check.count(v, 'call peers')) ?? 0,
    age: check.optional(t[11], (v) => ({
      ms: check.count(v, 'call age'),
      at: check.flag(t[12], 'call age at') ? 'hello' : 'sent',
    })),
  };
}

function oneOf<T>(values: readonly T[], place: unknown, what: string): T {
  const value = typeof place === 'number' ? values[place] : undefined;
  if (value === undefined) throw unknownType(what, place);
  return value;
}

function readWatch(id: number, t: readonly unknown[]): WatchRequest {
  const flags = check.count(t[7], 'watch flags');
  return {
    type: 'watch',
    id,
    ...readLevel(t[2], t[3]),
    from: check.bytes(t[4], 'watch from'),
    to: check.optional(t[5], (v) => check.bytes(v, 'watch to')),
    startRevision: check.optional(t[6], (v) => check.count(v, 'watch startRevision')),
    withPrevious: (flags & WITH_PREVIOUS) !== 0,
    noPuts: (flags & NO_PUTS) !== 0,
    noDeletes: (flags & NO_DELETES) !== 0,
  };
}

function readLevel(value: unknown, bound: unknown): ReadLevel {
  const consistency = typeof value === 'number' ? LEVELS[value] : undefined;
  if (consistency === undefined) throw unknownType('consistency level', value);
  return { consistency, bound: check.optional(bound, (v) => check.count(v, 'bound')) ?? 0 };
}

function readRevision(value: unknown): number | null {
  return check.optional(value, (v) => check.count(v, 'revision'));
}

export function unknownType(what: string, found: unknown): BalsaError {
  return new BalsaError('FRAME_INVALID', `${what}: unknown type ${shownType(found)}`);
}
