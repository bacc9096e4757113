import { readFileSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { cpuSeconds, memoryUse } from '../machine.js';

export interface ProcessUse {
  readonly serverCpuSeconds: number;
  readonly clientCpuSeconds: number;
  /** The most that each server had resident meanwhile. */
  readonly serverPeakBytes: readonly number[];
  readonly clientPeakBytes: number;
  /** For how long 99 of 100 rounds of the event loop of the client were late at most; `null`: it is another program. */
  readonly clientLoopDelayMs: number | null;
  /** What the servers gave to the disk. */
  readonly diskBytes: number;
}

const SAMPLE_MS = 100;
const NS_PER_MS = 1e6;
/** The resolution of what is measured of the event loop: a timer that is this late is on time. */
const LOOP_RESOLUTION_MS = 10;

/** What the processes of a subject take from the making of it on. Linux only. */
export class ProcessMeter {
  readonly #serverPids: readonly number[];
  readonly #clientPid: number;
  readonly #serversAtFirst: number;
  readonly #clientAtFirst: number;
  readonly #diskAtFirst: number;
  readonly #loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;
  #client: number;
  #clientPeakBytes = 0;

  constructor(serverPids: readonly number[], clientPid: number) {
    this.#serverPids = serverPids;
    this.#clientPid = clientPid;
    for (const pid of [...serverPids, clientPid]) forgetPeak(pid);
    this.#loop.enable();
    this.#serversAtFirst = sum(serverPids, cpuSeconds);
    this.#diskAtFirst = sum(serverPids, diskBytesWritten);
    this.#clientAtFirst = cpuSeconds(clientPid);
    this.#client = this.#clientAtFirst;
    // A client that is a process of its own is gone when its round is over: what it had until then counts.
    this.#timer = setInterval(() => this.#sampleClient(), SAMPLE_MS);
  }

  /** The round has failed. */
  abandon(): void {
    clearInterval(this.#timer);
    this.#loop.disable();
  }

  stop(): ProcessUse {
    this.abandon();
    this.#sampleClient();
    const delayMs = this.#loop.percentile(99) / NS_PER_MS - LOOP_RESOLUTION_MS;
    return {
      serverCpuSeconds: sum(this.#serverPids, cpuSeconds) - this.#serversAtFirst,
      clientCpuSeconds: this.#client - this.#clientAtFirst,
      serverPeakBytes: this.#serverPids.map((pid) => memoryUse(pid).residentMaxBytes),
      clientPeakBytes: this.#clientPeakBytes,
      clientLoopDelayMs: this.#clientPid === process.pid ? Math.max(0, delayMs) : null,
      diskBytes: sum(this.#serverPids, diskBytesWritten) - this.#diskAtFirst,
    };
  }

  #sampleClient(): void {
    try {
      this.#client = cpuSeconds(this.#clientPid);
      const peakBytes = memoryUse(this.#clientPid).residentMaxBytes;
      // One that has just ended has no memory.
      if (Number.isFinite(peakBytes)) this.#clientPeakBytes = peakBytes;
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
}

/** The most that is resident is counted anew from now on (`Documentation/filesystems/proc.rst`, `clear_refs`). */
function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH';
}

function sum(pids: readonly number[], of: (pid: number) => number): number {
  return pids.reduce((total, pid) => total + of(pid), 0);
}

/** What a process gave to the disk so far. */
export function diskBytesWritten(pid: number): number {
  return ioFigure(pid, 'write_bytes');
}

/** Reads and writes of files, sockets and pipes that a process has asked the system for so far. */
export function systemCalls(pid: number): number {
  return ioFigure(pid, 'syscr') + ioFigure(pid, 'syscw');
}

function ioFigure(pid: number, field: 'write_bytes' | 'syscr' | 'syscw'): number {
  const found = new RegExp(`^${field}: (\\d+)$`, 'm').exec(readFileSync(`/proc/${pid}/io`, 'utf8'));
  return Number(found?.[1] ?? Number.NaN);
}
