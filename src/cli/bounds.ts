import type { Command } from 'commander';
import { parseIndex } from './flags.js';

/** Flags that leave keys of a range out by their revisions. */
export interface BoundFlags {
  readonly minModRevision?: number;
  readonly maxModRevision?: number;
  readonly minCreateRevision?: number;
  readonly maxCreateRevision?: number;
}

export function addBoundFlags(command: Command): Command {
  return command
    .option('--min-mod-revision <n>', 'only keys put last at this revision or later', parseIndex)
    .option('--max-mod-revision <n>', 'only keys put last at this revision or before', parseIndex)
    .option('--min-create-revision <n>', 'only keys created at this one or later', parseIndex)
    .option('--max-create-revision <n>', 'only keys created at this one or before', parseIndex);
}

export function boundsOf(flags: BoundFlags): BoundFlags {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = flags;
  const given = { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision };
  return Object.fromEntries(Object.entries(given).filter(([, bound]) => bound !== undefined));
}
