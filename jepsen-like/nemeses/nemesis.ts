import type { Client } from '../../src/client/client.js';
import type { Random } from '../../src/cluster/harness.js';
import type { Machine } from '../cluster/machine.js';
import type { System } from '../cluster/system.js';
import type { FaultLog } from '../run/fault-log.js';

/** Something that does harm, one episode after the other. */
export interface Nemesis {
  readonly name: string;
  /** In one sentence, for `--list`. */
  readonly about: string;
  /** What this machine lacks for it; `null`: nothing. */
  readonly lacks?: (machine: Machine) => string | null;
  /** The cluster must begin with replicas that know less: see `rolling-upgrade`. */
  readonly needsOldReplicas?: boolean;
  /** Only proxies can do it, and no packet filters. */
  readonly needsProxies?: boolean;
  /** With fewer replicas it does nothing. */
  readonly nodesMin?: number;
  /** The clocks of the replicas must be ours. */
  readonly needsClocks?: boolean;
  /**
   * What it must have for itself while it is at work, beside the replicas that it takes: `network`, `disk`, `members`,
   * `all` replicas.
   */
  readonly claims?: readonly Claim[];
  /** Does harm, holds it for about `stage.holdMs`, and mends it. What cannot be done just now is left out. */
  readonly episode: (stage: Stage) => Promise<void>;
}

export type Claim = 'network' | 'disk' | 'members' | 'all';

/** What an episode has around it. */
export interface Stage {
  readonly system: System;
  readonly faults: FaultLog;
  readonly random: Random;
  readonly holdMs: number;
  /** Aborted when the run ends early. */
  readonly signal: AbortSignal;
  /** A client that no fault of the network hits. */
  readonly db: Client;
  /** Replicas that run and that no other episode has its hands on: at most `count` of them, `preferred` first. */
  readonly take: (count: number, preferred?: readonly string[]) => readonly string[];
  readonly sleep: (ms: number) => Promise<void>;
  /** Counts what was injected, by name. */
  readonly count: (what: string) => void;
  /** Counts what goes along with it and is no harm of its own. */
  readonly note: (what: string) => void;
  /** Counts what was to be injected and could not be. */
  readonly missed: (what: string) => void;
  /** Something that must not be, whatever the clients are told. */
  readonly wrong: (what: string) => void;
  /** Called when the period is over, and all is whole again. */
  readonly endsWithPeriod: (end: () => void) => void;
}

/** Does something while a fault is noted as being on: until those that it has hit answer again. */
export async function during(
  stage: Stage,
  fault: { readonly name: string; readonly nodes: readonly string[]; readonly detail?: unknown },
  work: () => Promise<void>,
): Promise<void> {
  const { mends, end } = stage.faults.begin(fault.name, fault.nodes, fault.detail);
  stage.count(fault.name);
  try {
    await work();
    mends();
    await stage.system.answering(fault.nodes, stage.signal);
  } finally {
    end();
  }
}

/** A minority of the voters that is as large as it can be. */
export function minoritySize(system: System): number {
  return Math.floor((system.names.length - 1) / 2);
}

export function shuffled<T>(random: Random, list: readonly T[]): T[] {
  const rest = [...list];
  return list.map(() => rest.splice(random.int(rest.length), 1)[0] as T);
}

/** What there is where a run is to be. */
export interface Place {
  readonly machine: Machine;
  readonly network: 'proxies' | 'namespaces';
  readonly nodes: number;
}

/** What is missing for it there; `null`: nothing. */
export function lackOf(nemesis: Nemesis, { machine, network, nodes }: Place): string | null {
  const { nodesMin = 1, needsProxies = false } = nemesis;
  if (nodes < nodesMin) return `it needs ${nodesMin} replicas`;
  if (needsProxies && network === 'namespaces') return 'it needs proxies';
  return nemesis.lacks?.(machine) ?? null;
}
