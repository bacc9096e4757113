import type { FaultRecord } from '../../history/operation.js';
import { callsOf } from '../calls.js';
import type { Checker } from '../checker.js';
import { Findings } from '../findings.js';
import { Availability } from './availability.js';
import { CellHistory } from './cells.js';
import { Disks } from './own-changes.js';

export interface ApOptions {
  readonly faults?: readonly FaultRecord[];
  /** After a fault of a process or a disk its replica may be starting yet. Default: 10 s. */
  readonly graceMs?: number;
  /** Does a fault of this kind excuse a replica that it hits? Default: all but those of the network. */
  readonly excuses?: (fault: string) => boolean;
}

const CHANGES: ReadonlySet<string> = new Set(['add', 'take', 'insert', 'append']);

/**
 * Mergeable cells that every side of a partition goes on with. Each call is served by its replica unless that was stopped (not
 * available), and shown by it from then on (own change not shown); in the end all replicas have the same (no convergence),
 * everything that was acknowledged (lost), each key once (counts twice), and nothing of nobody; an escrow counter is never below 0,
 * and never has more been taken from it than had been added.
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
      for await (const call of callsOf(history)) {
        if (!CHANGES.has(call.f) && call.f !== 'read' && call.f !== 'final') continue;
        findings.operations += 1;
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
      const open = [...cells].filter(([, { finals }]) => finals.length === 0).map(([key]) => key);
      const doubt =
        open.length > 0 ? `nothing tells what ${open.length} cells came to (${open[0]})` : null;
      const shown = `${cells.size} cells converged; ${served} calls were served, ${excused} failed at replicas that a fault had stopped`;
      return findings.verdict(shown, { doubt, details: { served, excused, refused } });
    },
  };
}
