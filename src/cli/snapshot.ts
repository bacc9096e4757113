import type { Command } from 'commander';
import { newGroup, type Runtime } from './command.js';
import { inspectCommand } from './snapshot/inspect.js';
import { restoreCommand } from './snapshot/restore.js';
import { saveCommand } from './snapshot/save.js';

/** Backups: the whole state after one log entry, in a file. */
export function snapshotCommand(runtime: Runtime): Command {
  return newGroup('snapshot', 'Save a backup, look into one, make a new cluster of one', [
    saveCommand(runtime),
    inspectCommand(runtime),
    restoreCommand(runtime),
  ]);
}
