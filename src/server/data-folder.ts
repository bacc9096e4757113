import { join } from 'node:path';
import { z } from 'zod';
import { crc32 } from '../base/checksum.js';
import { BalsaError } from '../base/errors.js';
import type { Files } from '../storage/files.js';
import { LOCK_FOLDER } from '../storage/folder-lock.js';

/** 2: with a checksum. */
const FORMAT = 2;
export const META_FILE = 'meta.json';
/** Folders of damaged data that was moved aside. */
const ASIDE = 'damaged-';
const DELTAS = 'ap';
/** What a backup is restored to, in a folder that was there before, until all of it is. */
export const RESTORING = '.restoring';

/**
 * Errors after which a replica must not start again on the same data as if nothing had been. (A damaged
 * log is found again by each start, which reads all of it.)
 */
export const GIVE_UP_CODES = ['MEMBER_REMOVED', 'STATE_DIVERGED', 'STATE_CORRUPT'] as const;

const metaSchema = z.object({
  format: z.number().int(),
  cluster: z.string(),
  name: z.string(),
  incarnation: z.string(),
  clusterId: z.string().nullable(),
  formation: z.array(z.object({ name: z.string(), incarnation: z.string() })).nullable(),
  /** It waits to be let into a cluster; see `Joining` for `replaces`. */
  joining: z.object({ replaces: z.string().nullable() }).nullable().default(null),
  /** It must not start on this data any more. */
  refuses: z
    .object({ code: z.enum(GIVE_UP_CODES), reason: z.string() })
    .nullable()
    .default(null),
  /** Where the founding members were, by name. */
  addresses: z.record(z.string(), z.string()).default({}),
  /** The longest lease that it may have promised, in milliseconds; see `LeaseRecord`. */
  leaseMs: z.number().nonnegative().default(0),
  /** Each time when the cluster was forced to go on without its majority (`balsa recover`). */
  recovered: z
    .array(
      z.object({
        atMs: z.number(),
        clusterIdBefore: z.string(),
        lastIndex: z.number(),
        lastTerm: z.number(),
        votersBefore: z.array(z.string()),
      }),
    )
    .default([]),
});

/** Who a data folder belongs to. Small, rewritten whole, rarely. */
export type FolderMeta = z.infer<typeof metaSchema>;
export type Meta = Omit<FolderMeta, 'format'>;
/** What has a default may be left out. */
export type MetaToWrite = Omit<z.input<typeof metaSchema>, 'format'>;

/** For a folder that belongs to nobody yet. */
export function newMeta(owner: { cluster: string; name: string; incarnation: string }): Meta {
  const { cluster, name, incarnation } = owner;
  const none = { clusterId: null, formation: null, joining: null, refuses: null };
  return { cluster, name, incarnation, ...none, addresses: {}, leaseMs: 0, recovered: [] };
}

/**
 * The folder of one replica:
 *
 *     meta.json   whose it is: cluster, member, incarnation, and the members of the formed cluster
 *     wal/        the log
 *     state-N/    LevelDB (see `LevelStateVault`)
 *     lock/       keeps a second process out (see `FolderLock`)
 *     ap/         what ap calls changed here, and copies of others', until the log has it (see `DeltaQueue`)
 *     damaged-TIME/  what was moved aside (`start --reseed`); never read
 */
export class DataFolder {
  readonly path: string;
  readonly #files: Files;

  constructor(path: string, files: Files) {
    this.path = path;
    this.#files = files;
  }

  /** Of deltas that wait to be merged. */
  get deltasFolder(): string {
    return join(this.path, DELTAS);
  }

  get walFolder(): string {
    return join(this.path, 'wal');
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
  writeMeta(meta: MetaToWrite): void {
    const path = join(this.path, META_FILE);
    const fresh = `${path}.new`;
    this.#guard('write', () => {
      if (this.#files.exists(fresh)) this.#files.remove(fresh);
      // What was read of an older format becomes one of this.
      const content = Object.assign({ format: FORMAT }, meta, { format: FORMAT });
      const text = JSON.stringify({ ...content, checksum: checksumOf(content) }, null, 2);
      this.#writeFile(fresh, Buffer.from(`${text}\n`));
      this.#files.rename(fresh, path);
      this.#files.syncFolder(this.path);
    });
  }

  /**
   * Moves all that is in the folder but the deltas, the lock and what was moved before into a new one within it, so that the replica can begin anew; nothing
   * is deleted. The meta.json is only copied: who comes must write a new one over it, as the last step, or
   * else the folder goes on to be a damaged one.
   * @returns the path of the new folder
   */
  setAside(wallMs: number): string {
    const folder = this.asideFolder(wallMs);
    this.#guard('write', () => {
      this.#files.makeFolder(folder);
      for (const name of this.#files.list(this.path)) {
        const path = join(this.path, name);
        if (name.startsWith(ASIDE) || name === DELTAS || name === LOCK_FOLDER) continue;
        if (name === META_FILE) this.#writeFile(join(folder, name), this.#files.readWhole(path));
        else this.#files.rename(path, join(folder, name));
      }
      this.#files.syncFolder(folder);
      this.#files.syncFolder(this.path);
    });
    return folder;
  }

  /**
   * Moves the deltas into a new folder within this one; nothing is deleted.
   * @returns the path of the new folder
   */
  setDeltasAside(wallMs: number): string {
    const folder = this.asideFolder(wallMs);
    this.#guard('write', () => {
      this.#files.makeFolder(folder);
      this.#files.rename(this.deltasFolder, join(folder, DELTAS));
      this.#files.syncFolder(folder);
      this.#files.syncFolder(this.path);
    });
    return folder;
  }

  /** Where damaged data goes at this time. */
  asideFolder(wallMs: number): string {
    const stamp = new Date(wallMs).toISOString().replaceAll(/[:.]/g, '-');
    return join(this.path, `${ASIDE}${stamp}`);
  }

  #writeFile(path: string, content: Buffer): void {
    const file = this.#files.open(path);
    file.writeAt(0, [content]);
    file.sync();
    file.close();
  }

  /**
   * A member that may have voted has a log. Without it the same incarnation would vote twice.
   * @throws BalsaError `WAL_CORRUPT`
   */
  checkLogIsThere(meta: Pick<Meta, 'formation'>): void {
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
    if (this.#guard('read', () => this.#files.exists(join(this.path, RESTORING)))) {
      throw new BalsaError(
        'DATA_FOLDER_UNUSABLE',
        `${this.path} has a part of a backup (${RESTORING}): empty the folder, and restore the backup again`,
        { details: { file: join(this.path, RESTORING) } },
      );
    }
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
    const { checksum, ...content } = JSON.parse(bytes.toString('utf8'));
    const isWhole = checksum === checksumOf(content);
    // Without one it was written before there were checksums, or by a version that does otherwise.
    const mayLack = content.format === 1 || content.format > FORMAT;
    if (!isWhole && !(checksum === undefined && mayLack)) throw new Error('wrong checksum');
    return metaSchema.parse(content);
  } catch (cause) {
    throw new BalsaError('STATE_CORRUPT', `${path} is damaged: put the file back from a copy`, {
      cause,
      details: { file: path },
    });
  }
}

/** Of the values, not of how they are laid out. */
function checksumOf(content: object): number {
  return crc32(Buffer.from(JSON.stringify(content)));
}

type OwnedMeta = Pick<Meta, 'cluster' | 'name' | 'clusterId' | 'formation'>;

/** Who wants to use a folder. */
export interface FolderOwner {
  readonly cluster: string;
  readonly name: string;
  readonly path: string;
  /** Names of all members. */
  readonly members: readonly string[];
}

/**
 * The folder must be this member's of this cluster. Once there is a cluster its log knows who the
 * members are, whatever the configuration file says.
 * @throws BalsaError `DATA_FOLDER_MISMATCH`
 */
export function checkOwner(meta: OwnedMeta, owner: FolderOwner): void {
  for (const field of ['cluster', 'name'] as const) {
    if (meta[field] === owner[field]) continue;
    const what = field === 'cluster' ? 'cluster' : 'member';
    throw new BalsaError(
      'DATA_FOLDER_MISMATCH',
      `the data folder ${owner.path} belongs to ${what} "${meta[field]}", not to "${owner[field]}"`,
      { details: { file: owner.path, found: meta[field], expected: owner[field] } },
    );
  }
  if (meta.clusterId !== null) return;
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

/** @throws BalsaError `MEMBER_REMOVED`, `STATE_DIVERGED` when the folder was given up */
export function checkNotGivenUp({ refuses }: Pick<Meta, 'refuses'>, path: string): void {
  if (refuses === null) return;
  throw new BalsaError(refuses.code, `${refuses.reason} (${path})`, { details: { file: path } });
}
