import type { Files } from '../../src/storage/files.js';
import {
  type CrashChoice,
  type FaultyStep,
  MemoryFiles,
  type Schedule,
} from '../../src/storage/memory-files.js';
import type { MachineTime } from './machine-time.js';
import { KIND, type Scheduler } from './scheduler.js';
import type { DiskSpeed } from './swarm.js';
import { type FrameWrite, watchFrames } from './watched-files.js';

/** Damage is only done where something behind it proves that it was written. */
const FRAMES_BEHIND_ROT = 2;

export interface SimulatedDiskOptions {
  readonly scheduler: Scheduler;
  readonly time: MachineTime;
  readonly subject: number;
  readonly speed: DiskSpeed;
  /** Called behind each step on it. */
  readonly onStep: () => void;
}

/** The disk of one machine: it stays when the process on it dies. */
export class SimulatedDisk {
  readonly #options: SimulatedDiskOptions;
  #memory: MemoryFiles;
  /** All that it does takes this many times as long. */
  slowness = 1;
  #stalls = 0;
  #held: (() => void)[] = [];
  /** Steps of this life that were made to fail. */
  #failures = 0;
  #wasFull = false;
  isRotten = false;
  /** Of this life, the newest last. */
  #frames: FrameWrite[] = [];

  constructor(options: SimulatedDiskOptions) {
    this.#options = options;
    this.#memory = new MemoryFiles({ schedule: this.schedule() });
    this.#watch();
  }

  get files(): Files {
    return this.#memory;
  }

  /** A step on it was made to fail in this life, or it is full: the replica may stop because of it. */
  get hasFailed(): boolean {
    return this.#failures > 0 || this.#wasFull;
  }

  /** When what the process asks for is done. Never comes back to a process that is dead. */
  schedule(): Schedule {
    const { scheduler, time, subject, speed } = this.#options;
    const { life } = time;
    const what = { kind: KIND.disk, subject };
    return (complete) => {
      const inProcess = (): void => time.enter(life, 'io', complete);
      const { random } = scheduler;
      const spike = random.next() < speed.spikeChance ? speed.spikeMs : 0;
      const tookMs = (0.05 + random.next() * (speed.usualMs + spike)) * this.slowness;
      const start = (): void => void scheduler.plan(tookMs, inProcess, what);
      if (this.#stalls > 0) this.#held.push(start);
      else start();
    };
  }

  // ---------------------------------------------------------------- faults

  stall(): void {
    this.#stalls += 1;
  }

  release(): void {
    this.#stalls -= 1;
    if (this.#stalls > 0) return;
    const held = this.#held;
    this.#held = [];
    for (const start of held) start();
  }

  failNext(step: FaultyStep, code: 'EIO' | 'ENOSPC', skip: number): void {
    this.#failures += 1;
    this.#memory.failNext(step, code, skip);
  }

  fill(roomBytes: number): void {
    this.#wasFull = true;
    this.#memory.capacityBytes = this.#memory.usedBytes() + roomBytes;
  }

  makeRoom(): void {
    this.#memory.capacityBytes = Number.POSITIVE_INFINITY;
  }

  /** @returns whether there was something to damage */
  rot(at: { position: number; bit: number }): boolean {
    const last = this.#frames.at(-1 - FRAMES_BEHIND_ROT);
    // The log may have been cut meanwhile, and the file be gone.
    if (last === undefined || !this.#memory.exists(last.path)) return false;
    this.#memory.flipBit(last.path, Math.floor(last.position * at.position), at.bit);
    this.isRotten = true;
    return true;
  }

  // ---------------------------------------------------------------- the process on it dies

  /** Power fails. The time of the machine must have passed on to its next life. */
  powerFails(choice: CrashChoice): void {
    this.#next(this.#memory.crash(choice, this.schedule()));
  }

  /** Only the process is gone: what it wrote is in the cache of the system. */
  processDies(): void {
    this.#next(this.#memory.kill(this.schedule()));
  }

  /** A new disk, empty. */
  wipe(): void {
    this.#memory.halt();
    this.isRotten = false;
    this.#next(new MemoryFiles({ schedule: this.schedule() }));
  }

  #next(memory: MemoryFiles): void {
    this.#memory = memory;
    this.#watch();
    this.#frames = [];
    this.#held = [];
    this.#failures = 0;
    this.#wasFull = Number.isFinite(memory.capacityBytes);
  }

  #watch(): void {
    this.#memory.onStep = this.#options.onStep;
    watchFrames(this.#memory, (frame) => {
      this.#frames.push(frame);
      if (this.#frames.length > 64) this.#frames.splice(0, 32);
    });
  }
}
