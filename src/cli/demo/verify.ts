import { assert } from '../../base/assert.js';
import { hashOf, type Ledger } from './ledger.js';
import { type Finding, type History, judgeKey, judgeTotals, type Version } from './verdict.js';

/** What is needed of a client to read a replica. */
export interface Reader {
  get(
    key: string,
    options?: { readonly timeoutMs?: number; readonly revision?: number },
  ): Promise<{
    readonly value: Uint8Array | undefined;
    readonly modRevision?: number | undefined;
    readonly version?: number | undefined;
  }>;
  status(): Promise<{ readonly revision: number }>;
}

export interface VerifyOptions {
  readonly revisionBefore: number;
  /** Keys that are read at the same time. Default 256. */
  readonly outstanding?: number;
  /** Called for each version that was read. */
  readonly onRead?: () => void;
  readonly signal?: AbortSignal;
}

export interface Verification {
  readonly versions: number;
  readonly findings: readonly Finding[];
}

const READ_TIMEOUT_MS = 30_000;

/**
 * Reads every version of every key in the ledger from one replica, and judges them. The reads are
 * linearizable: a follower first asks the leader how far it must be (ReadIndex), so that what was
 * acknowledged before can not be missing for a good reason.
 */
export async function verifyReplica(
  reader: Reader,
  ledger: Ledger,
  options: VerifyOptions,
): Promise<Verification> {
  const findings: Finding[] = [];
  let versions = 0;
  const keys = ledger.keys.values();
  const lane = async (): Promise<void> => {
    for (const key of keys) {
      options.signal?.throwIfAborted();
      const history = await readHistory(reader, key, options.onRead);
      versions += history.length;
      findings.push(...judgeKey(key, ledger.writesOf(key), history));
    }
  };
  await Promise.all(Array.from({ length: options.outstanding ?? 256 }, lane));
  const { revision } = await reader.status();
  findings.push(
    ...judgeTotals({
      revisionBefore: options.revisionBefore,
      revisionAfter: revision,
      versions,
    }),
  );
  return { versions, findings };
}

/** From the latest version back to the first: each is read at the revision before the next one. */
async function readHistory(reader: Reader, key: string, onRead?: () => void): Promise<History> {
  const history: Version[] = [];
  let revision: number | undefined;
  for (;;) {
    const item = await reader.get(key, {
      timeoutMs: READ_TIMEOUT_MS,
      ...(revision === undefined ? {} : { revision }),
    });
    onRead?.();
    const { value, modRevision, version } = item;
    if (value === undefined || modRevision === undefined || version === undefined) break;
    assert(revision === undefined || modRevision <= revision, 'a read at a revision sees no later');
    history.push({ revision: modRevision, version, valueHash: hashOf(value) });
    // The store says that this is the first; were it wrong, the totals would not add up.
    if (version <= 1) break;
    revision = modRevision - 1;
  }
  return history.reverse();
}
