import { createHash } from 'node:crypto';
import { pino } from 'pino';
import { asBalsaError, type BalsaError } from '../../src/base/errors.js';
import type { Entry } from '../../src/raft/types.js';
import type { ServerConfig } from '../../src/server/config.js';
import { openFolder } from '../../src/server/open-folder.js';

/** What a replica that starts on a folder knows, or why it does not start. */
export type Finding =
  | { readonly type: 'refused'; readonly error: BalsaError }
  | { readonly type: 'opened'; readonly facts: string };

const silent = pino({ level: 'silent' });

/** Opens the folder as a replica does, applies the rest of its log, and reads all keys. */
export async function examine(config: ServerConfig, keys: Iterable<string>): Promise<Finding> {
  try {
    const { meta, stores } = await openFolder(config, silent);
    try {
      const { restoredLog, logStore, machine } = stores;
      const { lastIndex, hardState } = restoredLog;
      const fromIndex = machine.appliedIndex + 1;
      const entries = await new Promise<readonly Entry[]>((resolve, reject) => {
        if (fromIndex > lastIndex) return resolve([]);
        const range = { fromIndex, toIndex: lastIndex, bytesMax: 1e9 };
        logStore.read(range, (error, found) => (error === null ? resolve(found) : reject(error)));
      });
      for (const entry of entries) machine.apply(entry);
      const hash = createHash('sha1');
      for (const key of keys) {
        const item = machine.get(Buffer.from(key), null);
        hash.update(`${item?.modRevision}:${Buffer.from(item?.value ?? []).toString('latin1')};`);
      }
      const { currentTerm, votedFor } = hardState;
      const { refuses, joining, clusterId, incarnation, formation, addresses } = meta;
      const facts = JSON.stringify({
        ...{ lastIndex, currentTerm, votedFor, appliedIndex: machine.appliedIndex },
        ...{ stateHash: machine.stateHash, contents: hash.digest('hex') },
        ...{ refuses, joining, clusterId, incarnation, formation, addresses },
      });
      return { type: 'opened', facts };
    } finally {
      await stores.close();
    }
  } catch (error) {
    return { type: 'refused', error: asBalsaError(error) };
  }
}
