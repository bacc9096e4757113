/**
 * What LevelDB's MANIFEST says: which tables are the database, and which of its own logs are behind them.
 * Each record changes the one before (`VersionEdit` in LevelDB's source).
 */
export interface LevelManifest {
  /** Numbers of tables. */
  readonly tables: ReadonlySet<number>;
  /** Logs from this number on count; 0 in a database that was never opened. */
  readonly logNumber: number;
  /** An older one that counts too; 0: none. */
  readonly previousLogNumber: number;
  /**
   * The sequence that the log {@link logNumber} begins with, if it came to be the first that counts when the database was opened;
   * `null`: it did so while writes went on, and had some of them already.
   */
  readonly logBegin: number | null;
}

type Making = { -readonly [K in keyof LevelManifest]: LevelManifest[K] } & { tables: Set<number> };

const TAG = {
  comparator: 1,
  logNumber: 2,
  nextFileNumber: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLogNumber: 9,
} as const;

/** `null` when a record is none. */
export function readManifest(records: readonly Buffer[]): LevelManifest | null {
  const manifest: Making = {
    ...{ tables: new Set<number>(), logNumber: 0, previousLogNumber: 0 },
    logBegin: 1,
  };
  for (const [place, record] of records.entries()) {
    const before = manifest.logNumber;
    const lastSequence = applyEdit(manifest, new Fields(record));
    if (lastSequence === null) return null;
    if (manifest.logNumber === before) continue;
    // A MANIFEST is begun by each opening, with what there was before, and the opening itself.
    manifest.logBegin = place <= 1 ? lastSequence + 1 : null;
  }
  return manifest;
}

/** Answers with the last sequence that the edit names; `null` when it is none. */
function applyEdit(manifest: Making, fields: Fields): number | null {
  let lastSequence = 0;
  while (!fields.isAtEnd) {
    switch (fields.number()) {
      case TAG.comparator:
        fields.skipText();
        break;
      case TAG.logNumber:
        manifest.logNumber = fields.number();
        break;
      case TAG.previousLogNumber:
        manifest.previousLogNumber = fields.number();
        break;
      case TAG.lastSequence:
        lastSequence = fields.number();
        break;
      case TAG.nextFileNumber:
        fields.number();
        break;
      case TAG.compactPointer:
        fields.number();
        fields.skipText();
        break;
      case TAG.deletedFile:
        fields.number();
        manifest.tables.delete(fields.number());
        break;
      case TAG.newFile:
        fields.number();
        manifest.tables.add(fields.number());
        fields.number();
        fields.skipText();
        fields.skipText();
        break;
      default:
        return null;
    }
  }
  return fields.isWhole ? lastSequence : null;
}

class Fields {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Nothing was read beyond the end. */
  get isWhole(): boolean {
    return this.#at === this.#bytes.length;
  }

  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 1) {
      const byte = this.#bytes[this.#at] ?? 0;
      this.#at += 1;
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return value;
    }
  }

  skipText(): void {
    const length = this.number();
    this.#at += length;
  }
}
