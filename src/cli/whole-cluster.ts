import type { Command } from 'commander';
import { BalsaError } from '../base/errors.js';
import { commandPath } from './command.js';

/** For commands whose procedures are those of the cluster, whichever namespace keys are in. A namespace would be nothing to them. */
export function ofWholeCluster(command: Command): Command {
  return command.hook('preAction', (_command, action) => {
    const { namespace } = action.optsWithGlobals<{ readonly namespace?: string }>();
    if (namespace === undefined) return;
    throw new BalsaError(
      'INVALID_ARGUMENT',
      `${commandPath(action)}: procedures are of the whole cluster, and their keys are in no namespace (here ${JSON.stringify(namespace)})`,
      { details: { hint: 'leave --namespace and BALSA_NAMESPACE out; in a shell: .namespace -' } },
    );
  });
}
