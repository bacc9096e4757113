import type { Client, ConsistencyOption } from '../../src/client/client.js';
import {
  type Bench,
  encode,
  levelName,
  parse,
  type Step,
  type Workload,
  type WorkloadClient,
} from './workload.js';

const KEYS = 5;

/** Each read is told which replica served it, how old its state was, and at which revision: that is held against its claim. */
export const levels: Workload = {
  name: 'levels',
  about:
    'reads of each level, at single replicas and at the leader, held against what the level promises',
  checkers: ['read-levels', 'strict'],
  processes: 10,
  start: async (bench, client): Promise<Step> => {
    if (client.index < 3) return writer(bench, client);
    return reader(bench, client);
  },
  finish: async (bench) => {
    for (let i = 0; i < KEYS; i += 1) {
      const question = { f: 'get', key: `level/${i}`, level: 'linearizable', writes: false };
      await bench.final(question, () => read(bench.db, question.key, 'linearizable'));
    }
  },
};

function writer(bench: Bench, { db, log, random }: WorkloadClient): Step {
  return async () => {
    const key = `level/${random.int(KEYS)}`;
    const value = bench.fresh();
    await log.do({ f: 'put', key, value, writes: true }, async () => {
      const { revision, meta } = await db.put(key, encode(value));
      bench.shared.set('revision', revision);
      return { revision, meta };
    });
  };
}

/** Some stay at one replica, others go where they are led. */
async function reader(bench: Bench, client: WorkloadClient): Promise<Step> {
  const { log, random, site, index } = client;
  const place = (): string | undefined => {
    const { names } = bench.system;
    return index % 2 === 0 ? names[random.int(names.length)] : undefined;
  };
  let replica = place();
  let db = replica === undefined ? client.db : await bench.connect(site, replica);
  return async () => {
    // Its replica may have left the cluster.
    if (replica !== undefined && !bench.system.names.includes(replica)) {
      replica = place();
      db = replica === undefined ? db : await bench.connect(site, replica).catch(() => db);
    }
    const key = `level/${random.int(KEYS)}`;
    if (random.int(6) === 0) {
      await readOwnWrite(bench, { ...client, key, elsewhere: db });
      return;
    }
    // What it has been told over its other connection is of its session, too.
    const session = laterToken(client.db.token, db.token);
    const option = draw(bench, client, session);
    const level = levelName(option);
    await log.do({ f: 'get', key, level, writes: false }, () => read(db, key, option));
  };
}

/** What was written over one connection is read over another one, at another replica, with the token of the first. */
async function readOwnWrite(
  bench: Bench,
  {
    db,
    log,
    key,
    elsewhere,
  }: WorkloadClient & { readonly key: string; readonly elsewhere: Client },
): Promise<void> {
  const value = bench.fresh();
  const written = await log.do({ f: 'put', key, value, writes: true }, async () => {
    const { revision, meta } = await db.put(key, encode(value));
    return { revision, meta };
  });
  if (written.type !== 'ok') return;
  await log.do({ f: 'get', key, level: 'session', writes: false }, () =>
    read(elsewhere, key, { session: db.token }),
  );
}

async function read(db: Client, key: string, consistency: ConsistencyOption) {
  const { value, meta } = await db.get(key, { consistency });
  return { value: parse(value), meta };
}

/** Of two session tokens: each begins with a place in the log. */
function laterToken(one: string, other: string): string {
  return Number.parseInt(one, 10) >= Number.parseInt(other, 10) ? one : other;
}

function draw(bench: Bench, { random }: WorkloadClient, session: string): ConsistencyOption {
  const dice = random.int(6);
  if (dice === 0) return 'linearizable';
  if (dice === 1) return { session };
  if (dice === 2) return { bounded: [100, 500, 2000, 10_000][random.int(4)] ?? 500 };
  if (dice === 3) return 'any';
  if (dice === 4) return 'ap-local';
  const latest = (bench.shared.get('revision') as number | undefined) ?? 1;
  return { at: Math.max(1, latest - random.int(500)) };
}
