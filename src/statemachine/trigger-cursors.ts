import { toMapKey } from '../base/bytes.js';
import { TRIGGER_PREFIX } from '../base/call.js';
import { OWN_TRIGGER_CURSORS } from '../base/command-versions.js';
import type { Keyspace } from './keyspace.js';
import type { Procedures } from './procedures.js';

/** How far a trigger has come: it has been called with all writes through this place. */
export interface TriggerCursor {
  readonly revision: number;
  /** How many of the writes of the revision behind it. */
  readonly sub: number;
}

/** Where the keys of {@link triggerCursorKey} lie. */
export const TRIGGER_CURSORS = Buffer.from(TRIGGER_PREFIX);

/** The key that holds how far a trigger has come; its calls write it. */
export function triggerCursorKey(name: string): Buffer {
  return Buffer.concat([TRIGGER_CURSORS, Buffer.from(name)]);
}

export function packTriggerCursor(cursor: TriggerCursor): Buffer {
  return Buffer.from(JSON.stringify(cursor));
}

/** `null`: somebody has put something else there. */
export function readTriggerCursor(bytes: Uint8Array): TriggerCursor | null {
  try {
    const text = Buffer.from(bytes).toString('utf8');
    const { revision, sub } = JSON.parse(text) as Record<string, unknown>;
    if (!Number.isSafeInteger(revision) || !Number.isSafeInteger(sub)) return null;
    return { revision: Number(revision), sub: Number(sub) };
  } catch {
    return null;
  }
}

/**
 * The trigger that is farthest behind, and the oldest revision that it has not been called with. `null`: there are none.
 * @param version of the entry, see `command-versions`
 */
export function neededByTriggers(
  procedures: Procedures,
  keyspace: Keyspace,
  version: number,
): { readonly name: string; readonly revision: number } | null {
  let oldest: { readonly name: string; readonly revision: number } | null = null;
  for (const { name, sinceRevision } of procedures.triggers()) {
    const key = triggerCursorKey(name);
    const mapKey = toMapKey(key);
    const record = keyspace.find(mapKey, key);
    const isThere = record !== null && record.version > 0;
    const stored = isThere ? keyspace.valueOf({ key, mapKey, record }) : null;
    const cursor = stored === null ? null : readTriggerCursor(stored);
    const noted = cursor?.revision ?? sinceRevision;
    // What is older was noted by another one of the name, which is gone.
    const through = version >= OWN_TRIGGER_CURSORS ? Math.max(noted, sinceRevision) : noted;
    const revision = through + 1;
    // Their order in memory is not the same at all replicas, and what is said of the farthest behind is kept as an answer.
    const isOlder =
      oldest === null ||
      revision < oldest.revision ||
      (revision === oldest.revision && name < oldest.name);
    if (isOlder) oldest = { name, revision };
  }
  return oldest;
}
