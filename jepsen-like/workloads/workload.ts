import type { Client, ConsistencyOption } from '../../src/client/client.js';
import type { Random } from '../../src/cluster/harness.js';
import type { System } from '../cluster/system.js';

import type { FinalOptions } from '../run/final-read.js';
import type { Answer, Came, ProcessLog, Question, Recorder } from '../run/recorder.js';

/** What clients do, and who judges what they were told. */
export interface Workload {
  readonly name: string;
  /** In one sentence, for `--list`. */
  readonly about: string;
  /** Names of checkers. */
  readonly checkers: readonly string[];
  /** How many processes do it at a time. */
  readonly processes: number;
  /** Mean pause of a process between two operations, in milliseconds. Default 15. */
  readonly pauseMs?: number;
  /** Before there are faults. */
  readonly prepare?: (bench: Bench) => Promise<void>;
  /** Makes what one process does, again and again. */
  readonly start: (bench: Bench, client: WorkloadClient) => Promise<Step> | Step;
  /**
   * After the last fault, when everything is whole again: reads of what is there in the end, each by {@link Bench.final}.
   * @throws BalsaError something was not answered
   */
  readonly finish?: (bench: Bench) => Promise<void>;
}

/** One operation, or a few that belong together. */
export type Step = () => Promise<void>;

export interface WorkloadClient {
  readonly db: Client;
  readonly log: ProcessLog;
  readonly random: Random;
  /** From 0, in its workload. */
  readonly index: number;
  readonly site: string;
}

/** What a workload has around it. */
export interface Bench {
  readonly system: System;
  readonly recorder: Recorder;
  readonly random: Random;
  /** A client that no fault of the network hits. */
  readonly db: Client;
  /** Aborted when the operations are to end. */
  readonly stopping: AbortSignal;
  /** For what is shared by the processes of a workload. */
  readonly shared: Map<string, unknown>;
  /** Numbers that are given once. */
  readonly fresh: () => number;
  /** A log of a process beside those that run steps. */
  readonly process: () => ProcessLog;
  /** How long it may take to be told what is there in the end. */
  readonly finalMs: number;
  /**
   * Asks for what is there in the end, as a process of its own, until it is told.
   * @throws BalsaError it is not told in time
   */
  readonly final: <T extends Answer>(
    question: Question,
    call: () => Promise<T>,
    more?: FinalOptions,
  ) => Promise<Came<T>>;
  /** A client at a site; closed with the run. */
  readonly connect: (site: string, replica?: string) => Promise<Client>;
  /** A client beside one replica, which no fault of the network hits; closed with the run. */
  readonly connectTo: (replica: string) => Promise<Client>;
  /** A log of a process at this replica. */
  readonly processAt: (replica: string) => ProcessLog;
  readonly sleep: (ms: number) => Promise<void>;
  /** How often there was something, for the report. */
  readonly tell: (what: string, count: number) => void;
  /** Something without which the workload shows less than it says. */
  readonly wrong: (what: string) => void;
}

/** Names that the processes of a workload have used. */
export function used(bench: Pick<Bench, 'shared'>, what: string): Set<string> {
  const names = (bench.shared.get(what) as Set<string> | undefined) ?? new Set<string>();
  bench.shared.set(what, names);
  return names;
}

const AT_ONCE = 32;

/** For all of a list, a few of them at a time. */
export async function forAll<T>(list: Iterable<T>, work: (one: T) => Promise<unknown>) {
  const all = [...list];
  for (let from = 0; from < all.length; from += AT_ONCE) {
    await Promise.all(all.slice(from, from + AT_ONCE).map(work));
  }
}

/** The level as it is written in a history. */
export function levelName(option: ConsistencyOption): string {
  if (typeof option === 'string') return option;
  if ('bounded' in option) return `bounded:${option.bounded}`;
  if ('at' in option) return `at:${option.at}`;
  return 'session';
}

export function pick<T>(random: Random, list: readonly T[]): T {
  const found = list[random.int(list.length)];
  if (found === undefined) throw new Error('nothing to pick from');
  return found;
}

/** JSON as it lies in the store. */
export function parse(bytes: Uint8Array | undefined): unknown {
  return bytes === undefined ? null : JSON.parse(Buffer.from(bytes).toString('utf8'));
}

export function encode(value: unknown): string {
  return JSON.stringify(value);
}
