import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { BalsaError } from '../../src/base/errors.js';
import type { Limit } from './limits.js';
import type { MachineFacts } from './machine-facts.js';
import type { ScenarioResult } from './rounds.js';

/** All that a run of `npm run bench` has measured, and what is needed to judge it. */
export interface BenchRun {
  readonly at: string;
  readonly command: string;
  readonly machine: MachineFacts;
  readonly limits: readonly Limit[];
  readonly durability: Readonly<Record<string, string>>;
  /** Peers that are not installed, and how to get them. */
  readonly missing: Readonly<Record<string, string>>;
  readonly scenarios: readonly ScenarioResult[];
}

/** What is read of a file again. `NaN` is written as `null`. */
const number = z.number().nullable();
const round = z.object({ perSecond: number, p50Ms: number, p99Ms: number });
const file = z.object({
  at: z.string(),
  scenarios: z.array(
    z.object({
      title: z.string(),
      results: z.array(z.object({ subject: z.string(), rounds: z.array(round) })),
    }),
  ),
});
export type RunFile = z.infer<typeof file>;

/**
 * Asked before hours are spent on what goes into it. What is there stays for now.
 *
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function mustBeWritable(path: string): void {
  try {
    closeSync(openSync(path, 'a'));
  } catch (cause) {
    throw new BalsaError('INVALID_ARGUMENT', `cannot write ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

export function writeRun(path: string, run: BenchRun): void {
  writeFileSync(path, `${JSON.stringify(run, null, 2)}\n`);
}

/** @throws BalsaError `INVALID_ARGUMENT` for a file that is not there, or is none of a run */
export function readRun(path: string): RunFile {
  try {
    return file.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw new BalsaError('INVALID_ARGUMENT', `${path} is not a run of the benchmark: ${reason}`, {
      cause,
    });
  }
}
