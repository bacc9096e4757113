import { BalsaError } from '../base/errors.js';
import type { SnapshotHeader } from '../base/snapshot-codec.js';
import { unpackConfiguration } from '../raft/configuration-codec.js';
import { decodeKeyRecord } from '../statemachine/key-record.js';
import { KEYS_FROM } from '../statemachine/layout.js';
import { readBackup } from './backup-file.js';

/** What is in a backup, after all of it was read and every checksum was right. */
export interface BackupReport {
  readonly header: SnapshotHeader;
  /** Members of the cluster it was made of, as `name.incarnation`; empty: those it was formed with. */
  readonly voters: readonly string[];
  readonly learners: readonly string[];
  readonly chunks: number;
  /** Keys that have a value. */
  readonly keys: number;
  /** Records of the state: keys, their history, sessions. */
  readonly records: number;
  /** Of all records, without what the file adds. */
  readonly bytes: number;
}

/**
 * Reads all of a backup.
 * @param onRead called now and then with the bytes read so far
 * @throws BalsaError `FILE_UNREADABLE`, `FILE_INVALID`, `SNAPSHOT_CORRUPT`, `VERSION_UNSUPPORTED`
 */
export async function inspectBackup(
  path: string,
  onRead: (bytes: number) => void = () => {},
): Promise<BackupReport> {
  let header: SnapshotHeader | null = null;
  let keys = 0;
  for await (const part of readBackup(path)) {
    if (part.type === 'header') header = part.header;
    if (part.type === 'chunk') {
      onRead(part.offset);
      keys += part.pairs.filter(([key, value]) => isLiveKey(key, value)).length;
    }
    if (part.type === 'end' && header !== null) {
      const { chunks, keys: records, bytes } = part.end;
      return { header, ...members(header), chunks, keys, records, bytes };
    }
  }
  throw new BalsaError('INVARIANT', 'a backup that was read to its end has a header and an end');
}

function isLiveKey(key: Uint8Array, value: Uint8Array): boolean {
  return key[0] === KEYS_FROM[0] && decodeKeyRecord(value).version > 0;
}

/** For the cluster that has never changed its members there may be no configuration. */
function members(header: SnapshotHeader): Pick<BackupReport, 'voters' | 'learners'> {
  if (header.configuration.byteLength === 0) return { voters: [], learners: [] };
  const { voters, learners } = unpackConfiguration(header.configuration, header.configurationIndex);
  return { voters, learners };
}
