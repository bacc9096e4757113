import { readFileSync } from 'node:fs';
import { cpuSeconds, memoryUse } from '../machine.js';

export interface ProcessUse {
  readonly serverCpuSeconds: number;
  readonly clientCpuSeconds: number;
  /** The most that each server had resident so far. */
  readonly serverPeakBytes: readonly number[];
  /** What the servers gave to the disk. */
  readonly diskBytes: number;
}

const SAMPLE_MS = 100;

/** What the processes of a subject take from the making of it on. Linux only. */
export class ProcessMeter {
  readonly #serverPids: readonly number[];
  readonly #clientPid: number;
  readonly #serversAtFirst: number;
  readonly #clientAtFirst: number;
  readonly #diskAtFirst: number;
  readonly #timer: NodeJS.Timeout;
  #client: number;

  constructor(serverPids: readonly number[], clientPid: number) {
    this.#serverPids = serverPids;
    this.#clientPid = clientPid;
    this.#serversAtFirst = sum(serverPids, cpuSeconds);
    this.#diskAtFirst = sum(serverPids, diskBytesWritten);
    this.#clientAtFirst = cpuSeconds(clientPid);
    this.#client = this.#clientAtFirst;
    // A client that is a process of its own is gone when its round is over: what it had until then counts.
    this.#timer = setInterval(() => this.#sampleClient(), SAMPLE_MS);
  }

  stop(): ProcessUse {
    clearInterval(this.#timer);
    this.#sampleClient();
    return {
      serverCpuSeconds: sum(this.#serverPids, cpuSeconds) - this.#serversAtFirst,
      clientCpuSeconds: this.#client - this.#clientAtFirst,
      serverPeakBytes: this.#serverPids.map((pid) => memoryUse(pid).residentMaxBytes),
      diskBytes: sum(this.#serverPids, diskBytesWritten) - this.#diskAtFirst,
    };
  }

  #sampleClient(): void {
    try {
      this.#client = cpuSeconds(this.#clientPid);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
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
