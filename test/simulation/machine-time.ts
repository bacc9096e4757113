import type { Clock } from '../../src/base/clock.js';
import { KIND, type Scheduler } from './scheduler.js';

const WALL_START_MS = 1_700_000_000_000;

/** In this order a process that was stopped finds what has come meanwhile: as its event loop looks for it. */
const PHASES = ['timer', 'io', 'turn'] as const;
type Phase = (typeof PHASES)[number];

/**
 * The time of one machine: it may run fast or slow, its time of day may jump, and its process may be
 * stopped (SIGSTOP) and go on later. Everything that happens to a process passes {@link enter}.
 */
export class MachineTime {
  readonly #scheduler: Scheduler;
  readonly #subject: number;
  #rate = 1;
  #anchorMs = 0;
  #anchorLocalMs = 0;
  #wallOffsetMs = 0;
  /** Grows when the process dies: what was planned by an earlier one never happens. */
  #life = 0;
  #pauses = 0;
  #held: Record<Phase, (() => void)[]> = { timer: [], io: [], turn: [] };

  constructor(scheduler: Scheduler, subject: number) {
    this.#scheduler = scheduler;
    this.#subject = subject;
  }

  get life(): number {
    return this.#life;
  }

  get localMs(): number {
    return this.#anchorLocalMs + (this.#scheduler.nowMs - this.#anchorMs) * this.#rate;
  }

  get isPaused(): boolean {
    return this.#pauses > 0;
  }

  setRate(rate: number): void {
    this.#anchorLocalMs = this.localMs;
    this.#anchorMs = this.#scheduler.nowMs;
    this.#rate = rate;
  }

  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** The process is gone: all that it planned or waits for is void. */
  die(): void {
    this.#life += 1;
    this.#held = { timer: [], io: [], turn: [] };
  }

  /** Runs it in the process of this life, later if that is stopped. */
  enter(life: number, phase: Phase, run: () => void): void {
    if (life !== this.#life) return;
    if (this.#pauses > 0) {
      this.#held[phase].push(run);
      return;
    }
    try {
      run();
    } catch (error) {
      // It died in the middle: what it could not finish is nobody's concern.
      if (life === this.#life) throw error;
    }
  }

  pause(): void {
    this.#pauses += 1;
  }

  resume(): void {
    if (this.#pauses === 0) return;
    this.#pauses -= 1;
    if (this.#pauses > 0) return;
    const held = this.#held;
    this.#held = { timer: [], io: [], turn: [] };
    const life = this.#life;
    for (const phase of PHASES) {
      for (const run of held[phase]) {
        const what = { kind: KIND.control, subject: this.#subject };
        this.#scheduler.plan(0, () => this.enter(life, phase, run), what);
      }
    }
  }

  /** The clock that the process of the present life is given. */
  clock(): Clock {
    const life = this.#life;
    const timer = { kind: KIND.timer, subject: this.#subject };
    const turn = { kind: KIND.turn, subject: this.#subject };
    return {
      monotonicMs: () => this.localMs,
      wallMs: () => WALL_START_MS + this.localMs + this.#wallOffsetMs,
      setTimer: (delayMs, callback) => {
        const state = { isCancelled: false };
        // A timer that was due while the process was stopped can still be cancelled by one before it.
        const fire = (): void => {
          if (!state.isCancelled) callback();
        };
        const inProcess = (): void => this.enter(life, 'timer', fire);
        const planned = this.#scheduler.plan(Math.max(0, delayMs) / this.#rate, inProcess, timer);
        return {
          cancel: () => {
            state.isCancelled = true;
            planned.cancel();
          },
        };
      },
      defer: (callback) => {
        this.#scheduler.plan(0, () => this.enter(life, 'turn', callback), turn);
      },
    };
  }
}
