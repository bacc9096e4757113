import { DATA_LOST, type FaultRecord } from '../history/operation.js';

/** From when to when something was wrong. */
export interface FaultWindow {
  readonly fault: string;
  readonly nodes: readonly string[];
  readonly begin: number;
  /** Infinity: it was never mended. */
  readonly end: number;
}

/** Begins and ends of faults put together: by their kind, and the nodes that they hit. */
export function windowsOf(faults: readonly FaultRecord[]): FaultWindow[] {
  return pairs(faults.filter(({ fault }) => fault !== DATA_LOST));
}

/** From when to when a replica may lack data; see {@link DATA_LOST}. */
export function lossesOf(faults: readonly FaultRecord[]): FaultWindow[] {
  return pairs(faults.filter(({ fault }) => fault === DATA_LOST));
}

function pairs(faults: readonly FaultRecord[]): FaultWindow[] {
  const open = new Map<string, FaultRecord[]>();
  const windows: FaultWindow[] = [];
  for (const record of faults) {
    const name = `${record.fault} ${[...record.nodes].sort().join()}`;
    const begun = open.get(name) ?? [];
    open.set(name, begun);
    if (record.phase === 'begin') begun.push(record);
    else {
      const first = begun.shift();
      if (first !== undefined) windows.push(toWindow(first, record.time));
    }
  }
  for (const begun of open.values()) {
    for (const record of begun) windows.push(toWindow(record, Number.POSITIVE_INFINITY));
  }
  return windows.sort((a, b) => a.begin - b.begin);
}

function toWindow({ fault, nodes, time }: FaultRecord, end: number): FaultWindow {
  return { fault, nodes, begin: time, end };
}

/** How much of this time was free of faults. */
export function calmTime(windows: readonly FaultWindow[], from: number, to: number): number {
  let calm = 0;
  let at = from;
  for (const { begin, end } of windows) {
    if (begin >= to) break;
    if (begin > at) calm += begin - at;
    at = Math.max(at, end);
  }
  return calm + Math.max(0, to - at);
}
