import {
  type ConsistencyOption,
  type LockOptions,
  type Meta,
  op,
  type ProcedureCallOptions,
} from '../../src/client/client.js';
import type { Client } from '../../src/client/kv-client.js';
import { job } from '../../src/compute/procedures.js';
import type { Guarantee } from './types.js';

/** What the majority has, and who is cut off from it has not. */
export interface Latest {
  readonly token: string;
  readonly revision: number;
  /** Granted just now, for whoever wants to revoke one. */
  readonly lease: number;
}

/** Where and when a call is made. */
export interface Situation {
  readonly db: Client;
  /** Holds {@link VALUE_BEFORE} since before the cut. */
  readonly key: string;
  /** Only for this call. */
  readonly freshKey: string;
  /** Revision at which `key` was put. */
  readonly revision: number;
  /** The latest that anybody has been told: the majority has it, and who is cut off from it has not. */
  readonly latest: Latest;
  /** Lives as long as the test. */
  readonly lease: number;
  /** Reads below {@link revision} are refused from here down. */
  readonly compacted: number;
}

/** What a served call has given. */
export interface Answer {
  /** `null`: what is given has none, e.g. a list. */
  readonly meta: Meta | null;
  readonly value: string | null;
}

const NOTHING: Answer = { meta: null, value: null };

/**
 * Of a call that is under way when the cable is cut: so long that its client finds out that the leader is not
 * only slow, but gone for the others on its side, too.
 */
const IN_FLIGHT_MS = 12_000;
/** Of who waits for a lock or an office: shorter than the time limit of the client. */
const TURN_MS = 3000;
/** So long that none expires while a test runs. */
export const LEASE_MS = 600_000;
/** Noted before the cut. */
export const NOTED = 'noted';
export const VALUE_BEFORE = 'from before the cut';
/** So long that no test outlasts it. */
export const BOUND_LONG_MS = 600_000;
/** Longer than it takes a replica that has a majority to know so. */
export const BOUND_SHORT_MS = 1000;

/** What the levels of the rows ask for. */
const LEVELS: Readonly<Record<string, (situation: Situation) => ConsistencyOption>> = {
  linearizable: () => 'linearizable',
  session: () => 'session',
  'session-ahead': ({ latest }) => ({ session: latest.token }),
  bounded: () => ({ bounded: BOUND_LONG_MS }),
  'bounded-late': () => ({ bounded: BOUND_SHORT_MS }),
  at: ({ revision }) => ({ at: revision }),
  'at-compacted': ({ compacted }) => ({ at: compacted }),
  'at-ahead': ({ latest }) => ({ at: latest.revision }),
  any: () => 'any',
  'ap-local': () => 'ap-local',
};

/** What the rows about calls do. The key of the keys is their idempotency key, too. */
const CALLS: Readonly<Record<string, (situation: Situation) => Promise<{ readonly meta: Meta }>>> =
  {
    'call-cp': ({ db, freshKey }) => db.call('note', freshKey),
    'call-in-flight': ({ db, freshKey }) =>
      db.call('note', freshKey, { idempotencyKey: freshKey, timeoutMs: IN_FLIGHT_MS }),
    'call-read': ({ db }) => db.call('peek', NOTED, { consistency: 'linearizable' }),
    'call-read-any': ({ db }) => db.call('peek', NOTED, { consistency: 'any' }),
    'call-ap': ({ db, freshKey }) => db.call('count', freshKey, { consistency: 'ap-local' }),
    'call-ap-copied': ({ db, freshKey }) => db.call('count', freshKey, copiedBy(1)),
    'call-ap-copied-far': ({ db, freshKey }) => db.call('count', freshKey, copiedBy(2)),
  };

function copiedBy(peers: number): ProcedureCallOptions {
  return { consistency: 'ap-local', durability: { peers } };
}

type Probe = (situation: Situation, row: string) => Promise<Answer>;

const PROBES: Readonly<Record<string, Probe>> = {
  async put({ db, freshKey }, row) {
    const timeoutMs = row === 'put-in-flight' ? IN_FLIGHT_MS : undefined;
    const { meta } = await db.put(freshKey, 'x', { timeoutMs });
    return { meta, value: null };
  },
  async delete({ db, freshKey }) {
    const { meta } = await db.delete(freshKey);
    return { meta, value: null };
  },
  async get(situation, row) {
    const { db, key } = situation;
    const { value, meta } = await db.get(key, { consistency: levelOf(row, situation) });
    return { meta, value: value?.toString() ?? null };
  },
  async range(situation, row) {
    const { db, key } = situation;
    const consistency = levelOf(row, situation);
    for await (const { value, meta } of db.range({ prefix: key, consistency, limit: 1 })) {
      return { meta, value: value.toString() };
    }
    throw new Error(`the range of ${key} at ${row} is empty`);
  },
  async count(situation, row) {
    const { db, key } = situation;
    const { meta } = await db.count({ prefix: key, consistency: levelOf(row, situation) });
    return { meta, value: null };
  },
  async txn({ db, freshKey }) {
    const { meta } = await db.txn().do(op.put(freshKey, 'x'), op.get(freshKey)).commit();
    return { meta, value: null };
  },
  async cas({ db, freshKey }) {
    const { meta } = await db.cas(freshKey, { expected: 'absent', value: 'x' });
    return { meta, value: null };
  },
  async lease({ db }) {
    const { meta } = await db.lease({ ttlMs: LEASE_MS, keepAlive: false });
    return { meta, value: null };
  },
  async 'keep-alive'({ db, lease }) {
    const { meta } = await db.leases.keepAlive(lease);
    return { meta, value: null };
  },
  async revoke({ db, latest }) {
    const { meta } = await db.leases.revoke(latest.lease);
    return { meta, value: null };
  },
  async lock({ db, freshKey }, row) {
    await using lock = await db.lock(`${freshKey}/lock`, turnOptions(row));
    return { meta: lock.meta, value: null };
  },
  async tryLock({ db, freshKey }, row) {
    await using lock = await db.tryLock(`${freshKey}/try`, turnOptions(row));
    if (lock === null) throw new Error(`${freshKey} is held by others`);
    return { meta: lock.meta, value: null };
  },
  async campaign({ db, freshKey }, row) {
    await using office = await db.election(freshKey).campaign('me', turnOptions(row));
    return { meta: office.meta, value: null };
  },
  async call(situation, row) {
    const call = CALLS[row];
    if (call === undefined) throw new Error(`nothing is known to call for row ${row}`);
    const { meta } = await call(situation);
    return { meta, value: null };
  },
  async submit({ db, freshKey }) {
    // Nobody runs such tasks here: what is asked is whether it is taken in.
    const idle = job({ input: { list: [1] }, stages: { wait: { task: 'of-nobody' } } });
    await db.submit(idle, null, { id: freshKey.replaceAll('/', '-') });
    return NOTHING;
  },
  async 'job status'({ db }) {
    await db.jobs.list();
    return NOTHING;
  },
  async watch({ db, key }, row) {
    await using watch = db.watch({
      prefix: key,
      consistency: row === 'watch-any' ? 'any' : 'linearizable',
    });
    return { meta: await watch.ready, value: null };
  },
};

function turnOptions(row: string): LockOptions {
  return { ttlMs: LEASE_MS, timeoutMs: row === 'lock-limited' ? TURN_MS : undefined };
}

function levelOf(row: string, situation: Situation): ConsistencyOption {
  const level = LEVELS[row];
  if (level === undefined) throw new Error(`no level is known for row ${row}`);
  return level(situation);
}

/** Does what the row is about. */
export function probe(row: Guarantee, operation: string, situation: Situation): Promise<Answer> {
  const found = PROBES[operation];
  if (found === undefined) throw new Error(`nothing is known to try ${operation} with`);
  return found(situation, row.id);
}
