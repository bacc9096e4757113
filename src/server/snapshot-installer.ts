import { assert } from '../base/assert.js';
import type { Failpoints } from '../base/failpoints.js';
import type { LogPosition } from '../raft/types.js';
import type { StateMachine } from '../statemachine/state-machine.js';
import type { StateStore } from '../statemachine/state-store.js';
import type { LogStore } from '../storage/log-store.js';
import type { DurableStateStore, StateImport, StateVault } from '../storage/snapshot.js';

export interface InstalledState {
  readonly store: DurableStateStore;
  readonly machine: StateMachine;
}

export interface InstallOptions {
  readonly position: LogPosition;
  readonly finished: StateImport;
  readonly vault: StateVault;
  readonly logStore: LogStore;
  readonly failpoints: Failpoints;
  readonly openMachine: (store: StateStore) => Promise<StateMachine>;
  /** The new state can be read; the log still begins before it. */
  readonly onSwitched: (state: InstalledState) => void;
}

/**
 * Makes a received snapshot the state, then lets the log begin behind it. Both steps are durable and
 * atomic. After a crash between them the log does not reach the state: `finishInstall` does the
 * second one at the next start. The other order would leave a log that begins behind the state, with
 * nothing to fill the gap. Nothing may change the old state any more (it can be read until the new one is in its place), and all writes to the log that
 * were asked for are durable (a term must not reach the disk after entries of it).
 */
export async function installSnapshot(options: InstallOptions): Promise<void> {
  const { position, finished, vault, logStore, failpoints } = options;
  await vault.switchTo(finished, async (store) => {
    const machine = await options.openMachine(store);
    assert(machine.appliedIndex === position.index, 'the state is that of the snapshot');
    options.onSwitched({ store, machine });
  });
  failpoints.hit('snapshot.before-reset');
  await new Promise<void>((resolve, reject) => {
    logStore.resetTo(position, (error) => (error === null ? resolve() : reject(error)));
  });
  failpoints.hit('snapshot.after-reset');
}
