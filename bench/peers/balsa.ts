import { type CallableClient, drive } from '../../src/cli/bench/drive.js';
import { keyOf } from '../../src/cli/bench/keys.js';
import { readShare } from '../../src/cli/bench/scenario.js';
import { storeCalls } from '../../src/cli/bench/store-calls.js';
import type { Client } from '../../src/client/client.js';
import { forEach } from '../closed-loop.js';
import { computeCalls } from './balsa-calls.js';
import { pidsOf, startReplicas } from './balsa-replicas.js';
import { fanOut } from './fan-out.js';
import type { PeerKind, Subject } from './subject.js';
import { endingWith } from './while-alive.js';

const FILL_OUTSTANDING = 256;

/** Three replicas of this project, asked through its public client with single calls. */
export const balsa: PeerKind = {
  name: 'balsa',
  missing: () => null,
  async start() {
    const { cluster, ended } = await startReplicas({ logLevel: 'warn' });
    const db = await cluster.connect({ timeoutMs: 30_000 });
    const client: CallableClient = {
      put: (key, value) => db.put(key, value),
      get: (key) => db.get(key),
      others: {
        ...storeCalls(db),
        ...computeCalls(db),
        'fan-out': fanOut({
          put: async (key, value) => (await db.put(key, value)).revision,
          watch: (onEvent) => watchAll(db, onEvent),
        }),
      },
    };
    const subject = endingWith(ended, {
      ...inProcess('balsa', client),
      durability: 'fdatasync before every acknowledgement, on a majority of 3 (the default)',
      // The same for all rounds: none of them is started anew.
      serverPids: pidsOf(cluster),
      async figures() {
        // Of all, or it is not known: a sum without one of them would say something else.
        const statuses = await Promise.all(
          cluster.replicas.map(({ name }) => cluster.status(name)),
        );
        return {
          syncs: statuses.reduce((sum, { wal }) => sum + wal.syncs, 0),
          loopDelayMs: Math.max(...statuses.map((its) => its.process.eventLoopDelayMs)),
        };
      },
    });
    return {
      subjects: [subject],
      async [Symbol.asyncDispose]() {
        await db.close();
        await cluster.close();
      },
    };
  },
};

/** @returns ends it */
async function watchAll(
  db: Client,
  onEvent: (revision: number) => void,
): Promise<() => Promise<void>> {
  const controller = new AbortController();
  const watch = db.watch({ prefix: 'key-', signal: controller.signal });
  await watch.ready;
  const told = (async () => {
    for await (const { revision } of watch) onEvent(revision);
  })().catch((error: unknown) => {
    if (!controller.signal.aborted) throw error;
  });
  // Until it is ended, nobody looks: the calls that miss its events fail meanwhile.
  told.catch(() => {});
  return () => {
    controller.abort();
    return told;
  };
}

/** A subject whose client runs within this process. */
export function inProcess(
  name: string,
  client: CallableClient,
): Pick<Subject, 'name' | 'lacks' | 'fill' | 'measure'> {
  return {
    name,
    lacks: ({ operation }) => {
      const has = readShare(operation) !== null || client.others?.[operation] !== undefined;
      return has ? null : 'it has no such calls';
    },
    fill: async (keys, valueBytes) => {
      const value = Buffer.alloc(valueBytes, 'v');
      await forEach(keys, FILL_OUTSTANDING, (i) => client.put(keyOf(i), value));
    },
    measure: (scenario, length, onBegin) => drive(client, scenario, length, onBegin),
  };
}
