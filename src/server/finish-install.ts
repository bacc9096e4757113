import { assert } from '../base/assert.js';
import type { LogPosition } from '../raft/types.js';
import type { LogStore, RestoredLog } from '../storage/log-store.js';
import type { StateVault } from '../storage/snapshot.js';

/**
 * To be called when state and log are open, before anything else: when a crash came between the two
 * halves of the installation of a snapshot (the state was switched, the log not reset), the second half
 * is done now.
 * @returns what the log holds; `logStore.restored` says what it held before
 */
export async function finishInstall(
  vault: Pick<StateVault, 'installed'>,
  logStore: Pick<LogStore, 'restored' | 'resetTo'>,
): Promise<RestoredLog> {
  const { installed } = vault;
  const before = logStore.restored;
  if (installed === null || reaches(before, installed)) return before;
  await new Promise<void>((resolve, reject) => {
    logStore.resetTo(installed, (error) => (error === null ? resolve() : reject(error)));
  });
  return {
    hardState: before.hardState,
    logStart: installed,
    terms: [],
    lastIndex: installed.index,
    tail: [],
    configurationEntries: [],
  };
}

/** Does the log go on behind the snapshot? It does when it begins there or later, or holds its place. */
function reaches(log: RestoredLog, position: LogPosition): boolean {
  const { logStart, lastIndex, terms } = log;
  if (logStart.index >= position.index) return true;
  if (lastIndex < position.index) return false;
  let term = logStart.term;
  for (const run of terms) {
    if (run.index > position.index) break;
    term = run.term;
  }
  assert(term > 0, 'an entry has a term');
  return term === position.term;
}
