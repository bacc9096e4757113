import { renameSync, writeFileSync } from 'node:fs';

/**
 * The clock of one replica, as libfaketime reads it from a file while the replica runs. Only the time of day lies: the
 * monotonic clock, by which a process sleeps, must not run backwards anywhere. How fast both run is said at the start.
 */
export class ClockFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    this.set(0);
  }

  /** @param offsetSeconds by how much the time of day is wrong */
  set(offsetSeconds: number): void {
    const sign = offsetSeconds < 0 ? '-' : '+';
    replaceFile(this.path, `${sign}${Math.abs(offsetSeconds).toFixed(3)}\n`);
  }

  /** @param rate of both clocks, from the start of the process on: 1.1 is too fast */
  environment(library: string, rate: number): Record<string, string> {
    const common = { LD_PRELOAD: library, FAKETIME_NO_CACHE: '1', FAKETIME_XRESET: '1' };
    if (rate !== 1) return { ...common, FAKETIME: `+0 x${rate}` };
    return {
      ...common,
      FAKETIME_TIMESTAMP_FILE: this.path,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }
}

/** In one step: who reads it has the old content or the new one. */
export function replaceFile(path: string, content: string): void {
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}
