import { toMapKey } from '../base/bytes.js';
import type { Keyspace } from './keyspace.js';
import type { Procedures } from './procedures.js';

/** How far a trigger has come: it has been called with all writes through this place. */
export interface TriggerCursor {
  readonly revision: number;
  /** How many of the writes of the revision behind it. */
  readonly sub: number;
}

/** A trigger that has not been called with all that was written. */
export interface HeldHistory {
  readonly trigger: string;
  /** The oldest revision that it still needs. */
  readonly revision: number;
}

/** The key that holds how far a trigger has come; its calls write it. */
export function triggerCursorKey(name: string): Buffer {
  return Buffer.from(`_triggers/${name}`);
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
 * The history that triggers still need. It is not compacted: what was written while nobody could call them is theirs to
 * see, however long that takes. `null`: there is none.
 */
export function heldHistory(procedures: Procedures, keyspace: Keyspace): HeldHistory | null {
  let held: HeldHistory | null = null;
  for (const { name, sinceRevision } of procedures.triggers()) {
    const key = triggerCursorKey(name);
    const target = { key, mapKey: toMapKey(key), record: keyspace.find(toMapKey(key), key) };
    const { record } = target;
    const stored =
      record === null || record.version === 0 ? null : keyspace.valueOf({ ...target, record });
    const cursor = stored === null ? null : readTriggerCursor(stored);
    const revision = (cursor?.revision ?? sinceRevision) + 1;
    if (held === null || revision < held.revision) held = { trigger: name, revision };
  }
  return held;
}
