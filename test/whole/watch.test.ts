import { describe, expect, test } from 'vitest';
import { LocalCluster } from '../../src/cluster/local-cluster.js';
import { waitUntil } from '../../src/cluster/wait-until.js';
import { Load } from './support.js';

/** What a watch of everything has been told: revision by revision. */
class Told {
  readonly revisions: number[] = [];
  readonly events: string[] = [];
  readonly over: Promise<void>;

  constructor(
    watch: AsyncIterable<{
      readonly revision: number;
      readonly type: string;
      readonly key: string;
    }>,
  ) {
    const take = async (): Promise<void> => {
      for await (const { revision, type, key } of watch) {
        this.revisions.push(revision);
        this.events.push(`${revision} ${type} ${key}`);
      }
    };
    this.over = take();
    this.over.catch(() => {});
  }

  async through(revision: number): Promise<void> {
    await waitUntil(`the watch to be told of revision ${revision}`, async () =>
      (this.revisions.at(-1) ?? 0) >= revision ? true : undefined,
    );
  }
}

/** Each revision wrote one key: all of them, once, in order. */
function expectEachOnce({ revisions }: Told, from: number, through: number): void {
  const due = Array.from({ length: through - from + 1 }, (_, i) => from + i);
  expect(revisions.filter((revision) => revision <= through)).toEqual(due);
}

describe('a watch of real processes', () => {
  test('is told each event once, in order, while the leader is killed and all restart under load', async () => {
    await using cluster = await LocalCluster.start();
    await using db = await cluster.connect();
    await using watcher = await cluster.connect();
    const watch = watcher.watch();
    const { revision } = await watch.ready;
    const told = new Told(watch);
    const load = new Load(db);
    await load.acknowledgedMore(300);

    const old = await cluster.waitForLeader();
    await cluster.kill(old.replica);
    await load.acknowledgedMore(300);
    await cluster.start(old.replica);
    await load.acknowledgedMore(300);
    await Promise.all(cluster.replicas.map(({ name }) => cluster.kill(name)));
    await Promise.all(cluster.replicas.map(({ name }) => cluster.start(name)));
    await load.acknowledgedMore(300);
    await load.stop();

    const { meta } = await db.get('any key');
    await told.through(meta.revision);
    expectEachOnce(told, revision + 1, meta.revision);
    await watch.close();
    await told.over;

    // Whoever comes later reads the same from history, at each replica.
    for (const { name } of cluster.running) {
      await using reader = await cluster.connectTo(name, { timeoutMs: 20_000 });
      const again = reader.watch({ fromRevision: revision + 1 });
      const heard = new Told(again);
      await heard.through(meta.revision);
      expect(heard.events).toEqual(told.events);
      await again.close();
    }
  });
});
