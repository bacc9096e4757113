import type { FaultRecord } from '../../history/operation.js';
import type { Call } from '../calls.js';
import { type FaultWindow, windowsOf } from '../fault-windows.js';
import type { Findings } from '../findings.js';
import { seconds } from '../values.js';

/**
 * Faults that stop a replica, or what its answers wait for: its process, its disk, its threads for procedures, its membership. All others
 * part it from replicas, set its clock wrong or give it work, and it serves nevertheless.
 */
const STOPS =
  /^(?:kill|crash|lost-tail|restart|rolling|clock-drift|pause|snapshot-storm|failpoint|disk|strace|worker-loss|member)/;

/** What a live replica may answer, too: its bounds are reached. */
const REFUSALS: ReadonlySet<string> = new Set(['AP_QUEUE_FULL', 'CELL_FULL']);

export interface AvailabilityOptions {
  readonly faults: readonly FaultRecord[];
  /** After a fault of a process or a disk its replica may be starting yet. Default: 10 s. */
  readonly graceMs: number;
  /** Does a fault of this kind excuse a replica that it hits? Default: those that stop it. */
  readonly excuses?: (fault: string) => boolean;
}

/** Each call is served by the replica that it was sent to (`node` of its begin), whoever that hears, unless a fault has stopped it. */
export class Availability {
  readonly #windows: readonly FaultWindow[];
  readonly #grace: number;
  served = 0;
  excused = 0;
  refused = 0;

  constructor({ faults, graceMs, excuses }: AvailabilityOptions) {
    const isExcuse = excuses ?? ((fault) => STOPS.test(fault));
    this.#windows = windowsOf(faults).filter(({ fault }) => isExcuse(fault));
    this.#grace = graceMs * 1e6;
  }

  judge(call: Call, findings: Findings): void {
    if (call.outcome === 'ok') {
      this.served += 1;
      return;
    }
    if (REFUSALS.has(call.completion?.error ?? '')) {
      this.refused += 1;
      return;
    }
    const node = call.invoke.node ?? call.completion?.node;
    const to = call.completion?.time ?? Number.POSITIVE_INFINITY;
    const isExcused = this.#windows.some(
      ({ nodes, begin, end }) =>
        (node === undefined || nodes.length === 0 || nodes.includes(node)) &&
        begin <= to &&
        end + this.#grace >= call.begin,
    );
    if (isExcused) {
      this.excused += 1;
      return;
    }
    const error = call.completion?.error ?? 'without an answer';
    const text = `${call.f} at ${node ?? 'a replica'}, which nothing had stopped, failed at ${seconds(to)} (${error})`;
    findings.note('not available', text, [call]);
  }
}
