import { replaceFile } from './clock-file.js';

/** What the file of faults says: see `src/storage/disk-faults.ts`, whose replica reads it. */
export interface DiskSettings {
  readonly syncDelayMs?: number;
  readonly errors?: readonly DiskError[];
}

export interface DiskError {
  readonly id: number;
  readonly step: 'write' | 'sync' | 'open' | 'rename' | 'remove' | 'read';
  readonly code: 'EIO' | 'ENOSPC';
  readonly path?: string;
  /** `null`: until it is taken back. */
  readonly times?: number | null;
}

/** The disk of one replica, which a kill robs of what was not synced. */
export class DiskFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    this.set({});
  }

  set(settings: DiskSettings): void {
    replaceFile(this.path, JSON.stringify({ losesUnsynced: true, ...settings }));
  }
}
