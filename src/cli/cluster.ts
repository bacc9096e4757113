import type { Command } from 'commander';
import { addCommand, replaceCommand } from './cluster/join.js';
import { demoteCommand, promoteCommand, removeCommand } from './cluster/roles.js';
import { membersCommand } from './cluster/show.js';
import { transferCommand } from './cluster/transfer.js';
import { newGroup, type Runtime } from './command.js';

/** Who belongs to the cluster, who votes, who leads. */
export function clusterCommand(runtime: Runtime): Command {
  return newGroup('cluster', 'Show and change the members; hand the leadership over', [
    membersCommand(runtime),
    addCommand(runtime),
    removeCommand(runtime),
    promoteCommand(runtime),
    demoteCommand(runtime),
    replaceCommand(runtime),
    transferCommand(runtime),
  ]);
}
