import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { BalsaError } from '../../src/client/client.js';
import { bundleProcedures } from '../../src/cluster/harness.js';
import { proceduresFile } from '../workloads/procedures-file.js';
import { during, type Nemesis, type Stage, shuffled } from './nemesis.js';

/** History that watches and reads at a revision may still ask for. */
const KEPT_REVISIONS = 3000;

async function tolerate(work: () => Promise<unknown>): Promise<boolean> {
  return work().then(
    () => true,
    (error: unknown) => {
      if (!(error instanceof BalsaError)) throw error;
      return false;
    },
  );
}

async function again(stage: Stage, pauseMs: number, work: () => Promise<void>): Promise<void> {
  const untilMs = performance.now() + stage.holdMs;
  while (performance.now() < untilMs && !stage.signal.aborted) {
    await work();
    await stage.sleep(stage.random.int(pauseMs));
  }
}

export const snapshotStorm: Nemesis = {
  name: 'snapshot-storm',
  about:
    'old revisions are compacted and backups taken all the time, while a replica lags behind the begin of the log',
  episode: async (stage) => {
    const { system, db } = stage;
    const [node] = stage.take(1);
    if (node === undefined) return;
    await during(stage, { name: 'snapshot-storm', nodes: [node] }, async () => {
      const before = snapshotsOf(stage, node);
      system.pause(node);
      await again(stage, 600, async () => {
        await tolerate(async () => {
          const { revision, compactedRevision } = await db.info();
          const upTo = revision - KEPT_REVISIONS;
          if (upTo > compactedRevision) await db.compact(upTo);
        });
        await tolerate(() => Promise.all(puts(stage)));
        const [name] = shuffled(
          stage.random,
          system.running.filter((one) => one !== node),
        );
        if (name !== undefined && (await tolerate(() => takeBackup(stage, name)))) {
          stage.note('backups taken');
        }
      });
      system.resume(node);
      const untilMs = performance.now() + INSTALLED_MS_MAX;
      while (performance.now() < untilMs && !stage.signal.aborted) {
        if (snapshotsOf(stage, node) > before) break;
        await stage.sleep(100);
      }
      if (snapshotsOf(stage, node) > before)
        stage.count('snapshot-storm: a snapshot was installed');
      else stage.missed('snapshot-storm: no snapshot was installed');
    });
  },
};

/** However slowly the clients write: the log is to begin behind what the other one has. */
function puts({ db }: Stage): Promise<unknown>[] {
  return Array.from({ length: STORM_PUTS }, (_, i) =>
    db.put(`storm/${i}`, '0', { timeoutMs: 5000 }),
  );
}

const STORM_PUTS = 400;

/** For so long it is waited for a snapshot to be installed, in milliseconds. */
const INSTALLED_MS_MAX = 5000;

/** How many snapshots it has installed, as its log tells. */
function snapshotsOf({ system }: Stage, name: string): number {
  const log = readFileSync(system.cluster.replica(name).logFile, 'utf8');
  return log.split('"phase":"installed"').length - 1;
}

async function takeBackup({ system }: Stage, name: string): Promise<void> {
  await using db = await system.cluster.connectTo(name, { timeoutMs: 2000 });
  for await (const _part of db.snapshot({ signal: AbortSignal.timeout(10_000) })) {
    // What is in it is checked where it is made; here it is only taken.
  }
}

const OVERLOAD_KEYS = 500;

export const overload: Nemesis = {
  name: 'overload',
  about: 'a client asks for thousands of large puts at once, for which it does not wait',
  episode: async (stage) => {
    const { system, random } = stage;
    await during(stage, { name: 'overload', nodes: system.names }, async () => {
      await tolerate(async () => {
        await using db = await system.cluster.connect({ timeoutMs: 5000 });
        const value = Buffer.alloc(2000, random.int(256));
        await again(stage, 300, async () => {
          const puts = Array.from({ length: 600 }, () =>
            tolerate(() => db.put(`overload/${random.int(OVERLOAD_KEYS)}`, value)),
          );
          await Promise.all(puts);
        });
      });
    });
  },
};

export const deploys: Nemesis = {
  name: 'deploys',
  about:
    'the procedures are deployed again under another hash, and rolled back, while they are called',
  episode: async (stage) => {
    const { system, db, random } = stage;
    const bundle = await bundleProcedures(proceduresFile());
    await during(stage, { name: 'deploys', nodes: system.names }, async () => {
      await again(stage, 1500, async () => {
        if (random.int(3) === 0) {
          const names = bundle.procedures.map(({ name }) => name);
          const [name = 'once'] = shuffled(random, names);
          if (await tolerate(() => db.procedures.rollback(name))) stage.count('rolled back');
          return;
        }
        const code = `/* ${random.int(2 ** 31)} */ ${bundle.code}`;
        const hash = createHash('sha256').update(code).digest('hex');
        if (await tolerate(() => db.procedures.deploy({ ...bundle, code, hash }))) {
          stage.count('deployed');
        }
      });
    });
  },
};

export const workerLoss: Nemesis = {
  name: 'worker-loss',
  about: 'procedures that never end, or take all memory, have their threads thrown away',
  episode: async (stage) => {
    const { system, db, random } = stage;
    await during(stage, { name: 'worker-loss', nodes: system.names }, async () => {
      await again(stage, 1000, async () => {
        const how = random.int(2) === 0 ? 'spin' : 'hoard';
        const route = random.int(2) === 0 ? 'any' : 'lane';
        await tolerate(() => db.call(how, null, { route, timeoutMs: 10_000 }));
        stage.count(`procedure that ${how === 'spin' ? 'never ends' : 'takes all memory'}`);
      });
    });
  },
};
