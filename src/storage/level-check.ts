import { open, readdir, readFile } from 'node:fs/promises';
import { stateCorrupt } from './flush-markers.js';
import { toLevelOpenError } from './level-errors.js';
import { type LevelRecords, readLevelLog } from './level-log.js';
import { type LevelManifest, readManifest } from './level-manifest.js';
import { damagedTables } from './level-tables.js';

/**
 * Looks at LevelDB's files before LevelDB does. It would go on without what it cannot read, end the
 * process over a damaged table, make an empty database where only CURRENT is missing, and at once
 * delete all files that do not belong to what it found: then even a good copy of the damaged file is
 * of no use any more.
 */

export interface LevelDamage {
  readonly file: string;
  readonly problem: string;
}

/** LevelDB's own logs from here on cannot be read; see {@link makeReadable}. */
export interface LogCut {
  readonly file: string;
  readonly size: number;
}

export interface LevelFindings {
  readonly damage: LevelDamage | null;
  /** Where to cut, so that what is in the logs is without gaps. What is cut off is in the log of the replica. */
  readonly cuts: readonly LogCut[];
}

/** Of a batch in LevelDB's log: `sequence(8, little-endian) count(4, little-endian)`, then the writes. */
const BATCH_HEADER_BYTES = 12;

const FINE: LevelFindings = { damage: null, cuts: [] };

/**
 * To be called before LevelDB opens the folder. Damage is an error, and nothing is changed. A gap in LevelDB's
 * own log, as a power failure may leave it, is not: what lies behind it is cut off, and comes again from the
 * log of the replica.
 * @throws BalsaError `STATE_CORRUPT`, `DATA_FOLDER_IN_USE`, `DATA_FOLDER_UNUSABLE`
 */
export async function makeReadable(folder: string): Promise<void> {
  try {
    const { damage, cuts } = await checkLevel(folder);
    if (damage !== null) throw stateCorrupt(folder, `${damage.file} ${damage.problem}`, null);
    for (const cut of cuts) await truncate(cut);
  } catch (error) {
    throw toLevelOpenError(error, folder);
  }
}

async function truncate({ file, size }: LogCut): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.truncate(size);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function checkLevel(folder: string): Promise<LevelFindings> {
  const names = new Set(await namesIn(folder));
  const current = await readIfThere(folder, names, 'CURRENT');
  if (current === null) {
    const hasData = [...names].some((name) => /^\d+\.(?:ldb|sst|log)$/.test(name));
    // A crash in the making of a new database leaves less.
    return hasData ? damage(folder, 'CURRENT', 'is missing') : FINE;
  }
  const manifestName = /^(MANIFEST-\d+)\n$/.exec(current.toString('latin1'))?.[1];
  if (manifestName === undefined) return damage(folder, 'CURRENT', 'is not what was written');
  const manifest = await readIfThere(folder, names, manifestName);
  if (manifest === null) return damage(folder, manifestName, 'is missing');
  return await checkVersion(folder, names, { name: manifestName, bytes: manifest });
}

async function checkVersion(
  folder: string,
  names: ReadonlySet<string>,
  { name, bytes }: { readonly name: string; readonly bytes: Buffer },
): Promise<LevelFindings> {
  const { records, end, hasMore } = readLevelLog(bytes);
  const manifest = hasMore || records.length === 0 ? null : readManifest(records);
  if (manifest === null) return damage(folder, name, `is not what was written, at offset ${end}`);
  for (const number of manifest.tables) {
    if (tableName(names, number) === null) return damage(folder, tableFile(number), 'is missing');
  }
  const { logNumber, tables } = manifest;
  // It is made before the MANIFEST names it, and is there until that names another one. When the end of the
  // MANIFEST is lost, this one is gone already.
  if (logNumber > 0 && !names.has(logFile(logNumber))) {
    return damage(folder, logFile(logNumber), `is missing, or the end of ${name}`);
  }
  const [table] = await damagedTables(folder, tables);
  if (table !== undefined) {
    return {
      damage: { file: table.file, problem: `is not what was written, at offset ${table.offset}` },
      cuts: [],
    };
  }
  return { damage: null, cuts: await cutsOf(folder, names, manifest) };
}

/** One of LevelDB's own logs. */
interface LevelLog extends LevelRecords {
  readonly file: string;
  readonly size: number;
}

async function cutsOf(
  folder: string,
  names: ReadonlySet<string>,
  manifest: LevelManifest,
): Promise<LogCut[]> {
  const logs = await readLogs(folder, names, manifest);
  let next: number | null = null;
  for (const [place, log] of logs.entries()) {
    const later = logs.slice(place + 1).filter(({ size }) => size > 0);
    const { end, lastSequence } = contiguous(log, next);
    // What is torn at the very end LevelDB drops too.
    const isGap = end < log.end || log.hasMore || later.length > 0;
    if (end < log.size && isGap) {
      return [{ file: log.file, size: end }, ...later.map(({ file }) => ({ file, size: 0 }))];
    }
    next = lastSequence === null ? (next ?? manifest.logBegin) : lastSequence + 1;
    // That there is something behind an empty log says that it was not always empty; or that LevelDB was killed in the few moments in
    // which it gave up a log without anything in it: then what is in the next one comes again in vain.
    if (next === null) return later.map(({ file }) => ({ file, size: 0 }));
  }
  return [];
}

async function readLogs(
  folder: string,
  names: ReadonlySet<string>,
  { logNumber, previousLogNumber }: LevelManifest,
): Promise<LevelLog[]> {
  const numbers = [...names]
    .map((name) => /^(\d+)\.log$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .filter((number) => number >= logNumber || number === previousLogNumber)
    .sort((a, b) => a - b);
  return await Promise.all(
    numbers.map(async (number) => {
      const file = `${folder}/${logFile(number)}`;
      const bytes = await readFile(file);
      return { file, size: bytes.length, ...readLevelLog(bytes) };
    }),
  );
}

/**
 * How far the log goes without a gap. Each record is a batch of writes that have numbers, and goes on where the one before has
 * ended, also in the next log: one that does not was written behind something that is gone.
 * @param next what it must begin with; `null`: that is not known
 */
function contiguous(
  { records, ends, end }: LevelRecords,
  next: number | null,
): { readonly end: number; readonly lastSequence: number | null } {
  let expected = next;
  let lastSequence: number | null = null;
  let reached = 0;
  for (const [place, record] of records.entries()) {
    if (record.length < BATCH_HEADER_BYTES) return { end: reached, lastSequence };
    const sequence = Number(record.readBigUInt64LE());
    if (expected !== null && sequence !== expected) return { end: reached, lastSequence };
    expected = sequence + record.readUInt32LE(8);
    lastSequence = expected - 1;
    reached = ends[place] ?? end;
  }
  return { end, lastSequence };
}

function damage(folder: string, name: string, problem: string): LevelFindings {
  return { damage: { file: `${folder}/${name}`, problem }, cuts: [] };
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    // A folder that is no folder, or may not be read: LevelDB says so when it opens it.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return [];
    throw error;
  }
}

async function readIfThere(
  folder: string,
  names: ReadonlySet<string>,
  name: string,
): Promise<Buffer | null> {
  return names.has(name) ? await readFile(`${folder}/${name}`) : null;
}

function tableName(names: ReadonlySet<string>, number: number): string | null {
  const digits = String(number).padStart(6, '0');
  return [`${digits}.ldb`, `${digits}.sst`].find((name) => names.has(name)) ?? null;
}

function tableFile(number: number): string {
  return `${String(number).padStart(6, '0')}.ldb`;
}

function logFile(number: number): string {
  return `${String(number).padStart(6, '0')}.log`;
}
