import { join } from 'node:path';
import { z } from 'zod';
import { BalsaError } from '../base/errors.js';
import type { Files } from '../storage/files.js';

const FORMAT = 1;
const META_FILE = 'meta.json';

const metaSchema = z.object({
  format: z.number().int(),
  cluster: z.string(),
  name: z.string(),
  incarnation: z.string(),
  clusterId: z.string().nullable(),
  formation: z.array(z.object({ name: z.string(), incarnation: z.string() })).nullable(),
});

/** Who a data folder belongs to. Small, rewritten whole, rarely. */
export type FolderMeta = z.infer<typeof metaSchema>;

/**
 * The folder of one replica:
 *
 *     meta.json   whose it is: cluster, member, incarnation, and the members of the formed cluster
 *     wal/        the log
 *     state/      LevelDB; its LOCK keeps a second process out
 */
export class DataFolder {
  readonly path: string;
  readonly #files: Files;

  constructor(path: string, files: Files) {
    this.path = path;
    this.#files = files;
  }

  get walFolder(): string {
    return join(this.path, 'wal');
  }

  get stateFolder(): string {
    return join(this.path, 'state');
  }

  /** @throws BalsaError `DATA_FOLDER_UNUSABLE`, `DISK_FULL` */
  create(): void {
    this.#guard('create', () => {
      this.#files.makeFolder(this.path);
      this.#files.makeFolder(this.walFolder);
      this.#files.syncFolder(this.path);
    });
  }

  /**
   * What the folder says of itself; `null` for a new one.
   * @throws BalsaError `DATA_FOLDER_UNUSABLE`, `VERSION_UNSUPPORTED`, `STATE_CORRUPT`
   */
  readMeta(): FolderMeta | null {
    const path = join(this.path, META_FILE);
    const bytes = this.#guard('read', () =>
      this.#files.exists(path) ? this.#files.readWhole(path) : null,
    );
    if (bytes === null) {
      this.#refuseStrangeFiles();
      return null;
    }
    const meta = parseMeta(bytes, path);
    if (meta.format > FORMAT) {
      throw new BalsaError(
        'VERSION_UNSUPPORTED',
        `${path} has format ${meta.format}, this version knows ${FORMAT}; start the version that wrote it`,
        { details: { file: path } },
      );
    }
    return meta;
  }

  /** Durable when it returns, and whole whatever happens in between: a new file takes the old one's place. */
  writeMeta(meta: Omit<FolderMeta, 'format'>): void {
    const path = join(this.path, META_FILE);
    const fresh = `${path}.new`;
    this.#guard('write', () => {
      if (this.#files.exists(fresh)) this.#files.remove(fresh);
      const file = this.#files.open(fresh);
      file.writeAt(0, [Buffer.from(`${JSON.stringify({ format: FORMAT, ...meta }, null, 2)}\n`)]);
      file.sync();
      file.close();
      this.#files.rename(fresh, path);
      this.#files.syncFolder(this.path);
    });
  }

  /**
   * A member that may have voted has a log. Without it the same incarnation would vote twice.
   * @throws BalsaError `WAL_CORRUPT`
   */
  checkLogIsThere(meta: Omit<FolderMeta, 'format'>): void {
    if (meta.formation === null) return;
    const logFiles = this.#guard('read', () => this.#files.list(this.walFolder));
    if (logFiles.length > 0) return;
    throw new BalsaError(
      'WAL_CORRUPT',
      `${this.walFolder} is empty, but ${META_FILE} says that this member has joined its cluster:` +
        ' put the log back; do not start without it, since the member would forget its votes',
      { details: { file: this.walFolder } },
    );
  }

  /** A log without its meta.json is not a new folder. */
  #refuseStrangeFiles(): void {
    const logFiles = this.#guard('read', () => this.#files.list(this.walFolder));
    if (logFiles.length === 0) return;
    throw new BalsaError(
      'STATE_CORRUPT',
      `${this.path} has a log but no ${META_FILE}: put the file back, or start with an empty folder`,
      { details: { file: join(this.path, META_FILE) } },
    );
  }

  #guard<T>(what: string, work: () => T): T {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof BalsaError) throw cause;
      const { code } = cause as NodeJS.ErrnoException;
      const full = code === 'ENOSPC' || code === 'EDQUOT';
      throw new BalsaError(
        full ? 'DISK_FULL' : 'DATA_FOLDER_UNUSABLE',
        `cannot ${what} the data folder ${this.path}: ${(cause as Error).message}`,
        { cause, details: { file: this.path } },
      );
    }
  }
}

function parseMeta(bytes: Buffer, path: string): FolderMeta {
  try {
    return metaSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw new BalsaError('STATE_CORRUPT', `${path} is damaged: put the file back from a copy`, {
      cause,
      details: { file: path },
    });
  }
}

/** Who wants to use a folder. */
export interface FolderOwner {
  readonly cluster: string;
  readonly name: string;
  readonly path: string;
  /** Names of all members. */
  readonly members: readonly string[];
}

/**
 * The folder must be this member's of this cluster.
 * @throws BalsaError `DATA_FOLDER_MISMATCH`
 */
export function checkOwner(meta: Omit<FolderMeta, 'format'>, owner: FolderOwner): void {
  for (const field of ['cluster', 'name'] as const) {
    if (meta[field] === owner[field]) continue;
    const what = field === 'cluster' ? 'cluster' : 'member';
    throw new BalsaError(
      'DATA_FOLDER_MISMATCH',
      `the data folder ${owner.path} belongs to ${what} "${meta[field]}", not to "${owner[field]}"`,
      { details: { file: owner.path, found: meta[field], expected: owner[field] } },
    );
  }
  const found = meta.formation?.map((member) => member.name).sort() ?? null;
  const expected = [...owner.members].sort();
  if (found === null || JSON.stringify(found) === JSON.stringify(expected)) return;
  throw new BalsaError(
    'DATA_FOLDER_MISMATCH',
    `the data folder ${owner.path} belongs to a cluster of ${found.join(', ')}, but the configuration` +
      ` names the members ${expected.join(', ')}`,
    { details: { file: owner.path, found, expected } },
  );
}
