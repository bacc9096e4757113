import type { Command } from 'commander';
import { newGroup, type Runtime } from './command.js';
import { callCommand } from './proc/call.js';
import { removeCommand, rollbackCommand } from './proc/change.js';
import { logsCommand } from './proc/logs.js';
import { listCommand, showCommand } from './proc/look.js';
import { statsCommand } from './proc/stats.js';
import { ofWholeCluster } from './whole-cluster.js';

/** Stored procedures, once they are deployed. */
export function procCommand(runtime: Runtime): Command {
  const group = newGroup('proc', 'Call stored procedures, look at them, roll them back', [
    listCommand(runtime),
    showCommand(runtime),
    callCommand(runtime),
    rollbackCommand(runtime),
    removeCommand(runtime),
    logsCommand(runtime),
    statsCommand(runtime),
  ]);
  return ofWholeCluster(group);
}
