import type { Ledger, Write } from './ledger.js';

/** One version of a key as a replica holds it. */
export interface Version {
  readonly revision: number;
  /** Puts since the key was created, as the store counts them. */
  readonly version: number;
  readonly valueHash: string;
}

/** All versions that a replica holds of a key, oldest first. */
export type History = readonly Version[];

export interface Finding {
  readonly type: 'lost' | 'duplicated' | 'different';
  readonly key: string;
  readonly detail: string;
  /** Where it was found; absent: in what the client was told. */
  readonly replica?: string;
}

/**
 * Compares what a replica holds of one key with what the client was told. Every version that is
 * there must be explained by exactly one write, and every acknowledged write by exactly one version:
 *
 * - *lost*: an acknowledged write whose version is not at its revision;
 * - *duplicated*: a version whose value belongs to a write that already explains another version
 *   (the write was applied twice), or to one that is said not to be applied;
 * - *different*: a value that nobody wrote, or a version number that does not count the puts.
 *
 * A write of unknown outcome (or still under way) may explain one version, and need not.
 */
export function judgeKey(key: string, writes: readonly Write[], history: History): Finding[] {
  const findings: Finding[] = [];
  const found = (type: Finding['type'], detail: string): void => {
    findings.push({ type, key, detail });
  };
  const byRevision = new Map(history.map((version) => [version.revision, version]));
  const explained = new Set<number>();
  for (const write of writes) {
    if (write.state !== 'acknowledged') continue;
    if (byRevision.get(write.revision)?.valueHash === write.valueHash) {
      explained.add(write.revision);
    } else {
      found('lost', `round ${write.round}, acknowledged at revision ${write.revision}`);
    }
  }
  const open = writes.filter((write) => write.state === 'unknown' || write.state === 'pending');
  for (const version of history) {
    if (explained.has(version.revision)) continue;
    const at = open.findIndex((write) => write.valueHash === version.valueHash);
    if (at >= 0) open.splice(at, 1);
    else if (writes.some((write) => write.valueHash === version.valueHash)) {
      found('duplicated', `applied once more at revision ${version.revision}`);
    } else {
      found('different', `a value at revision ${version.revision} that nobody wrote`);
    }
  }
  history.forEach((version, i) => {
    if (version.version === i + 1) return;
    found('different', `version ${version.version} at revision ${version.revision}, not ${i + 1}`);
  });
  return findings;
}

export interface Totals {
  /** Revision of the store before the load and after it. */
  readonly revisionBefore: number;
  readonly revisionAfter: number;
  /** Versions found, of all keys together. */
  readonly versions: number;
}

/**
 * Every put takes one revision and nothing else does. Revisions beyond the versions found are writes
 * that were applied somewhere we did not look: to the store as a whole something was done twice.
 */
export function judgeTotals(totals: Totals): Finding[] {
  const applied = totals.revisionAfter - totals.revisionBefore;
  if (applied === totals.versions) return [];
  const type = applied > totals.versions ? 'duplicated' : 'different';
  const detail = `the store counts ${applied} puts, its keys hold ${totals.versions}`;
  return [{ type, key: '(whole store)', detail }];
}

/** Answers that came in an order which the revisions contradict. */
export function judgeOrder(ledger: Ledger): Finding[] {
  return ledger.misordered.map((write) => ({
    type: 'different',
    key: write.key,
    detail: `out of order: revision ${write.revision}, asked for after ${write.floor} was acknowledged`,
  }));
}
