import type { PutOperation, WriteOperation } from './operation.js';

/** The first version of the log's commands that knows the operation. */
export function versionOf(operation: WriteOperation): number {
  switch (operation.type) {
    case 'put':
      return isPlainPut(operation) ? 1 : EXTENDED_COMMANDS;
    case 'delete':
      return operation.returnPrevious === true ? EXTENDED_COMMANDS : 1;
    case 'deploy':
      return operation.procedures.some(({ mode }) => mode === 'ap')
        ? MERGE_COMMANDS
        : CALL_COMMANDS;
    case 'alias-set':
    case 'alias-remove':
      return CALL_COMMANDS;
    case 'job-submit':
    case 'job-control':
    case 'job-upload':
    case 'task-report':
      return JOB_COMMANDS;
    default:
      return EXTENDED_COMMANDS;
  }
}

/** The version of commands from which on all kinds of writes, leases and settings are known. */
export const EXTENDED_COMMANDS = 3;

/** From here on there are procedures and their calls. */
export const CALL_COMMANDS = 4;

/** From here on deltas are merged. */
export const MERGE_COMMANDS = 5;

/** From here on there are jobs. */
export const JOB_COMMANDS = 6;

/** From here on changes of cells are named by their calls, before by the deltas that they came with. */
export const CALL_TAGS = 7;

/** From here on the state remembers the newest version of commands that the log has had. */
export const KNOWN_COMMANDS = 8;

/** From here on calls that were merged are forgotten by kind, and a member may have older ones than it said before. */
export const MERGED_KEYS_BY_KIND = 8;

/**
 * From here on a trigger that takes the place of one with the same prefix goes on where that one is. Before, it began where the
 * oldest did that its name could go back to.
 */
export const TRIGGER_BEGINNINGS = 8;

/**
 * From here on a call counts once whatever the modes of the procedures were that its name has stood for, as long as it is remembered.
 * One of mode `cp` is for `callKeptMs`, also while a member that is cut off holds a delta of the same call, before {@link AP_PASTS}.
 */
export const CALLS_ACROSS_MODES = 8;

/** From here on the values that the touches and comparisons of an entry read are bounded. */
export const BOUNDED_VALUES = 8;

/**
 * From here on it is remembered which names have ever stood for code of mode `ap`: a call of one that is of mode `cp` now is
 * remembered until no member can hold a delta of the same call, as if it had been merged.
 */
export const AP_PASTS = 9;

/** From here on what was noted of an older trigger of the same name keeps no history for a younger one. */
export const OWN_TRIGGER_CURSORS = 9;

/**
 * From here on a comparison of a value holds for no key that is not there, and an empty range is compared as one such key:
 * as in etcd. Before, `!=` held for an absent key, and everything but a count for an empty range.
 */
export const ABSENT_KEYS_COMPARED = 10;

/**
 * From here on a transaction reads the first keys (`limit`) of a range of any size, and one value however large it is
 * (`valueBytesMax`).
 */
export const FIRST_KEYS_READ = 10;

/** From here on what the ranges of an entry look at is bounded before they look, and not only told afterwards. */
export const RANGES_BOUNDED_BEFORE = 10;

/** From here on an upload cannot begin under the name of one whose chunks belong to a job: it would write over them. */
export const ADOPTED_UPLOADS = 10;

/** All versions know it. */
export function isPlainPut({ value, lease, returnPrevious }: PutOperation): boolean {
  return value !== null && (lease === undefined || lease === 0) && returnPrevious !== true;
}
