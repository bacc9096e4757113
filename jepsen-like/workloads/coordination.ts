import {
  BalsaError,
  type Client,
  type Lease,
  type Lock,
  op,
  type Watch,
} from '../../src/client/client.js';
import type { Random } from '../../src/cluster/harness.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import type { Answer, ProcessLog } from '../run/recorder.js';
import { contentOf } from '../run/store-watch.js';
import {
  type Bench,
  forAll,
  pick,
  type Step,
  used,
  type Workload,
  type WorkloadClient,
} from './workload.js';

const LOCK_TTL_MS = 2000;
const LOCKS = 2;

export const lock: Workload = {
  name: 'lock',
  about: 'locks that are taken and given back, and writes that are fenced by their tokens',
  checkers: ['lock'],
  processes: 6,
  start: (bench, client): Step => {
    return async () => {
      const name = `lock-${client.random.int(LOCKS)}`;
      const held = await acquire(client, name);
      if (held === null) {
        await bench.sleep(50);
        return;
      }
      const { fencingToken: token } = held;
      const onLost = (): void => {
        // Given back is not lost.
        if (!isReleasing) client.log.note({ type: 'info', f: 'lost', key: name, value: token });
      };
      let isReleasing = false;
      held.signal.addEventListener('abort', onLost, { once: true });
      const writes = 1 + client.random.int(4);
      // Who knows that it is lost stops; what it has sent by then is for the token to fence off.
      for (let i = 0; i < writes && held.held; i += 1) await fencedWrite(client, name, token);
      // Some hold it for longer than they are allowed to without word.
      if (client.random.int(6) === 0) await bench.sleep(client.random.int(LOCK_TTL_MS * 2));
      if (held.signal.aborted) return;
      isReleasing = true;
      held.signal.removeEventListener('abort', onLost);
      await client.log.do(
        { f: 'release', key: name, value: token, writes: true, class: 'lock' },
        async () => {
          await held.release({ timeoutMs: 3000 });
          return {};
        },
      );
    };
  },
  // Those who had it are gone: it can be had.
  finish: async (bench) => {
    for (let i = 0; i < LOCKS; i += 1) {
      const question = { key: `lock-${i}`, writes: true, class: 'lock' };
      const taken: Lock[] = [];
      await bench.final({ ...question, f: 'acquire' }, async () => {
        const { held, ...answer } = await tryLock(bench.db, question.key);
        if (held !== null) taken.push(held);
        return answer;
      });
      for (const held of taken) {
        const value = held.fencingToken;
        await bench.final({ ...question, f: 'release', value }, async () => {
          await held.release({ timeoutMs: 3000 });
          return {};
        });
      }
    }
  },
};

async function tryLock(db: Client, name: string): Promise<Answer & { readonly held: Lock | null }> {
  const held = await db.tryLock(name, { ttlMs: LOCK_TTL_MS, timeoutMs: 3000 });
  return held === null ? { held, refused: 'HELD' } : { held, value: held.fencingToken };
}

async function acquire({ db, log }: WorkloadClient, name: string): Promise<Lock | null> {
  let held: Lock | null = null;
  await log.do({ f: 'acquire', key: name, writes: true, class: 'lock' }, async () => {
    const { held: taken, ...answer } = await tryLock(db, name);
    held = taken;
    return answer;
  });
  return held;
}

async function fencedWrite(
  { db, log }: WorkloadClient,
  name: string,
  token: number,
): Promise<void> {
  const question = { f: 'fenced-write', key: name, value: token, writes: true, class: 'call cp' };
  await log.do(question, async () => {
    const { revision, meta } = await db.call('fenced', { key: `fenced/${name}`, token });
    return { revision, meta };
  });
}

// ---------------------------------------------------------------------------------------------

const LEASE_TTL_MS = 1500;
const LEASE_TTL_SPAN_MS = 1500;
/** Beyond what the checker grants to the keys of a lease that has run out. */
const GONE_MS_MAX = LEASE_TTL_MS + LEASE_TTL_SPAN_MS + 12_000;

export const lease: Workload = {
  name: 'lease',
  about: 'keys that hang on leases, which are kept alive, revoked or left to expire',
  checkers: ['lease'],
  processes: 6,
  start: (bench, client): Step => {
    const { db, log, random } = client;
    return async () => {
      const ttlMs = LEASE_TTL_MS + random.int(LEASE_TTL_SPAN_MS);
      let granted: Lease | null = null;
      await log.do({ f: 'grant', value: ttlMs, writes: true, class: 'lease' }, async () => {
        granted = await db.lease({ ttlMs, keepAlive: false });
        return { value: granted.id };
      });
      if (granted === null) return;
      await live(bench, client, granted);
    };
  },
  finish: async (bench) => {
    const look = async (): Promise<true | undefined> => {
      for await (const _ of bench.db.range({ prefix: 'lease/', keysOnly: true })) return undefined;
      return true;
    };
    // Those that do not go are found by who reads them then.
    await waitUntil('all leases to end', look, { timeoutMs: GONE_MS_MAX }).catch(
      (error: unknown) => {
        if (!(error instanceof BalsaError)) throw error;
      },
    );
    await forAll(used(bench, 'leased'), (key) =>
      bench.final({ f: 'get', key, writes: false }, () => readLease(bench.db, key)),
    );
  },
};

const KEYS_PER_LEASE_MIN = 2;
const KEYS_PER_LEASE_SPAN = 3;

async function live(bench: Bench, client: WorkloadClient, granted: Lease): Promise<void> {
  const { db, log, random } = client;
  const { id, ttlMs } = granted;
  const count = KEYS_PER_LEASE_MIN + random.int(KEYS_PER_LEASE_SPAN);
  const keys = Array.from({ length: count }, () => `lease/${bench.fresh()}`);
  for (const key of keys) {
    used(bench, 'leased').add(key);
    await log.do({ f: 'attach', key, value: id, writes: true, class: 'put' }, async () => {
      const { revision, meta } = await db.put(key, String(id), { lease: id });
      return { revision, meta };
    });
  }
  const rounds = random.int(5);
  for (let i = 0; i < rounds && !bench.stopping.aborted; i += 1) {
    await bench.sleep(random.int(ttlMs * 0.6));
    const question = { f: 'keep-alive', value: id, writes: true, class: 'lease' };
    const came = await log.do(question, async () => {
      await db.leases.keepAlive(id);
      return {};
    });
    if (came.type !== 'ok') break;
    await readKey(client, pick(random, keys));
  }
  if (random.int(3) === 0) {
    await log.do({ f: 'revoke', value: id, writes: true, class: 'lease' }, async () => {
      await db.leases.revoke(id);
      return {};
    });
  } else {
    await bench.sleep(random.int(ttlMs * 2));
  }
  for (const key of keys) await readKey(client, key);
}

async function readKey({ db, log }: WorkloadClient, key: string): Promise<void> {
  await log.do({ f: 'get', key, writes: false }, () => readLease(db, key));
}

async function readLease(db: Client, key: string): Promise<Answer> {
  const { value, meta } = await db.get(key);
  return { value: value === undefined ? null : Number(value.toString()), meta };
}

// ---------------------------------------------------------------------------------------------

/** Watchers at single replicas and at whoever leads, some of which begin in the past or begin anew. */
export const watch: Workload = {
  name: 'watch',
  about: 'watches tell each event once, in order, without a gap, whatever fails in between',
  // An acknowledged write that no watch is told is not there for those alone who compare watches with each other.
  checkers: ['watch', 'strict'],
  processes: 8,
  start: (bench, client): Step => {
    if (client.index < 4) return writes(bench, client);
    return watches(bench, client);
  },
  // Each replica tells all of it, to the end.
  finish: async (bench) => {
    const { revision } = await bench.db.info({ timeoutMs: bench.finalMs });
    const from = Math.min(...lastWrites(bench), revision);
    for (const { name } of bench.system.cluster.replicas) {
      await watchThrough(bench, name, { from, through: revision });
    }
  },
};

/** Revisions of the last writes: later than what is not kept any more. */
function lastWrites(bench: Bench): number[] {
  const revisions = (bench.shared.get('written') as number[] | undefined) ?? [];
  bench.shared.set('written', revisions);
  return revisions;
}

const LAST_WRITES = 20;

function written(bench: Bench, revision: number): void {
  const revisions = lastWrites(bench);
  revisions.push(revision);
  if (revisions.length > LAST_WRITES) revisions.shift();
}

/** @throws BalsaError it was not told so far in time */
async function watchThrough(
  bench: Bench,
  replica: string,
  { from, through }: { readonly from: number; readonly through: number },
): Promise<void> {
  const db = await bench.connectTo(replica);
  const log = bench.processAt(replica);
  const signal = AbortSignal.timeout(bench.finalMs);
  let told = from - 1;
  await waitUntil(
    `the watch at ${replica} to reach revision ${through}`,
    async () => {
      const range = { prefix: 'watched/', fromRevision: told + 1 };
      const watched = db.watch({ ...range, progress: true, signal });
      const question = { f: 'watch', value: { ...range, through }, writes: false, class: 'watch' };
      const came = await log.do(question, async () => ({ meta: await watched.ready }));
      if (came.type !== 'ok') return undefined;
      await gather(log, watched, (revision) => {
        told = Math.max(told, revision);
        return told >= through;
      });
      return told >= through ? true : undefined;
    },
    { timeoutMs: bench.finalMs },
  );
}

/** Writes down what it is told, until that is enough. */
async function gather(
  log: ProcessLog,
  watched: Watch<Buffer, 'text'>,
  isEnough: (revision: number) => boolean,
): Promise<void> {
  try {
    for await (const { revision, events } of watched.batches()) {
      for (const event of events) {
        const value = event.type === 'delete' ? null : contentOf(event.value);
        log.note({ type: 'ok', f: 'event', key: event.key, value, revision: event.revision });
      }
      log.note({ type: 'ok', f: 'progress', revision });
      if (isEnough(revision)) return;
    }
  } catch (error) {
    // How a watch ends is no promise; what it has told is.
    if (!(error instanceof BalsaError)) throw error;
  }
}

const WATCHED = ['watched/a/', 'watched/b/'] as const;

/** Several keys at one revision, under both prefixes. */
async function writeSeveral(bench: Bench, { db, log, random }: WorkloadClient): Promise<void> {
  const count = 2 + random.int(4);
  const keys = new Set(Array.from({ length: count }, () => drawWatched(random)));
  const steps = [...keys].map((key) => ['put', key, bench.fresh()] as const);
  await log.do({ f: 'txn', value: steps, writes: true }, async () => {
    const puts = steps.map(([, key, value]) => op.put(key, JSON.stringify(value)));
    const { revision, meta } = await db
      .txn()
      .do(...puts)
      .commit();
    written(bench, revision);
    return { revision, meta };
  });
}

function drawWatched(random: Random): string {
  return `${pick(random, WATCHED)}${random.int(20)}`;
}

function writes(bench: Bench, client: WorkloadClient): Step {
  const { db, log, random } = client;
  return async () => {
    const dice = random.int(6);
    if (dice === 1) {
      await writeSeveral(bench, client);
      return;
    }
    const key = drawWatched(random);
    if (dice === 0) {
      await log.do({ f: 'delete', key, writes: true }, async () => {
        const { deleted, revision, meta } = await db.delete(key);
        written(bench, revision);
        return { value: deleted, revision, meta };
      });
      return;
    }
    const value = bench.fresh();
    await log.do({ f: 'put', key, value, writes: true }, async () => {
      const { revision, meta } = await db.put(key, JSON.stringify(value));
      written(bench, revision);
      return { revision, meta };
    });
  };
}

function watches(bench: Bench, { log, random, site }: WorkloadClient): Step {
  let seen = 0;
  return async () => {
    const names = bench.system.names;
    const replica = random.int(2) === 0 ? names[random.int(names.length)] : undefined;
    const db = await bench.connect(site, replica).catch(() => null);
    if (db === null) return;
    const prefix = random.int(3) === 0 ? 'watched/' : (WATCHED[random.int(2)] ?? WATCHED[0]);
    const fromRevision = random.int(3) === 0 ? Math.max(1, seen - random.int(200)) : seen + 1;
    if (bench.stopping.aborted) {
      await db.close();
      return;
    }
    const until = AbortSignal.any([AbortSignal.timeout(4000 + random.int(15_000)), bench.stopping]);
    const watched = db.watch({
      prefix,
      fromRevision,
      progress: true,
      timeoutMs: 10_000,
      signal: until,
    });
    const value = { prefix, fromRevision };
    const question = { f: 'watch', value, writes: false, class: 'watch' };
    const came = await log.do(question, async () => ({ meta: await watched.ready }));
    if (came.type !== 'ok') {
      await db.close();
      return;
    }
    await gather(log, watched, (revision) => {
      seen = Math.max(seen, revision);
      return false;
    });
    await db.close();
  };
}
