import type { Command } from 'commander';
import { newGroup, type Runtime } from './command.js';
import { cancelCommand, removeCommand, retryCommand } from './job/change.js';
import { listCommand, statsCommand, statusCommand } from './job/look.js';
import { resultCommand } from './job/result.js';
import { submitCommand } from './job/submit.js';
import { watchCommand } from './job/watch.js';

/** Jobs: work that is spread over the replicas and over workers. */
export function jobCommand(runtime: Runtime): Command {
  return newGroup('job', 'Submit jobs, look how far they are, get what they came to', [
    submitCommand(runtime),
    listCommand(runtime),
    statusCommand(runtime),
    watchCommand(runtime),
    resultCommand(runtime),
    cancelCommand(runtime),
    retryCommand(runtime),
    removeCommand(runtime),
    statsCommand(runtime),
  ]);
}
