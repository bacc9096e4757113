import type { FaultRecord } from '../../history/operation.js';
import { type Call, callsOf } from '../calls.js';
import type { Checker } from '../checker.js';
import { Findings } from '../findings.js';
import { Availability } from './availability.js';
import { CellHistory, nodeOf } from './cells.js';
import { Disks } from './own-changes.js';

export interface ApOptions {
  readonly faults?: readonly FaultRecord[];
  /** After a fault of a process or a disk its replica may be starting yet. Default: 10 s. */
  readonly graceMs?: number;
  /** Does a fault of this kind excuse a replica that it hits? Default: those that stop it. */
  readonly excuses?: (fault: string) => boolean;
}

const CHANGES: ReadonlySet<string> = new Set(['add', 'take', 'insert', 'append']);

/**
 * Mergeable cells that every side of a partition goes on with. Each call is served by its replica unless that was stopped (not
 * available), and shown by it from then on (own change not shown); in the end all replicas have the same (no convergence),
 * everything that was acknowledged (lost), each key once (counts twice), and nothing of nobody; an escrow counter is never below 0,
 * and never has more been taken from it than had been added. Without a final read of every replica, behind the last change that was
 * acknowledged, nobody knows.
 */
export function apChecker(options: ApOptions = {}): Checker {
  return {
    name: 'ap',
    check: async (history) => {
      const findings = new Findings('ap');
      const { faults = [], graceMs = 10_000, excuses } = options;
      const availability = new Availability({
        faults,
        graceMs,
        ...(excuses === undefined ? {} : { excuses }),
      });
      const disks = new Disks(faults);
      const cells = new Map<string, CellHistory>();
      const places = new Places(faults);
      for await (const call of callsOf(history)) {
        if (!CHANGES.has(call.f) && call.f !== 'read' && call.f !== 'final') continue;
        findings.operations += 1;
        places.take(call);
        if (call.f !== 'final') availability.judge(call, findings);
        let cell = cells.get(call.key);
        if (cell === undefined) {
          cell = new CellHistory(findings, call.key, disks);
          cells.set(call.key, cell);
        }
        cell.take(call);
      }
      for (const cell of cells.values()) cell.judge();
      const { served, excused, refused } = availability;
      const { compared } = disks;
      const doubt =
        served === 0 && findings.operations > 0
          ? 'no call was served'
          : (doubtOf(cells, places.thatTell) ?? disks.doubt);
      const shown = `${cells.size} cells converged; ${served} calls were served, ${excused} failed at replicas that a fault had stopped; ${compared} reads showed what their replica had acknowledged itself`;
      return findings.verdict(shown, { doubt, details: { served, excused, refused, compared } });
    },
  };
}

/** Which replicas are to tell what the cells have come to. */
class Places {
  readonly #changesMembers: boolean;
  readonly #nodes = new Set<string>();

  constructor(faults: readonly FaultRecord[]) {
    this.#changesMembers = faults.some(({ fault }) => fault.startsWith('member'));
  }

  take(call: Call): void {
    const { f, invoke, completion, outcome } = call;
    if (f === 'final') this.#nodes.add(invoke.node ?? nodeOf(call));
    // One that has served may have left when members change: then those that are asked in the end are all.
    if (outcome !== 'ok' || this.#changesMembers) return;
    const node = completion?.node ?? invoke.node;
    if (node !== undefined) this.#nodes.add(node);
  }

  get thatTell(): ReadonlySet<string> {
    return this.#nodes;
  }
}

function doubtOf(
  cells: ReadonlyMap<string, CellHistory>,
  nodes: ReadonlySet<string>,
): string | null {
  for (const [key, cell] of cells) {
    const silent = cell.silent(nodes);
    if (silent === null) return `nothing tells what "${key}" came to`;
    if (silent.length > 0) return `nothing tells what "${key}" came to at ${silent.join(', ')}`;
  }
  return null;
}
