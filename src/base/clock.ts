/** Time as a value that is passed in: the simulator has its own. */
export interface Clock {
  /** Milliseconds that only grow; no relation to the time of day. May have a fraction. */
  monotonicMs(): number;
  /** Milliseconds since 1970, as this machine believes. Only ever a hint: it may jump. */
  wallMs(): number;
  /** Runs `callback` once, not before `delayMs`. */
  setTimer(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` when all that has already arrived in this turn was handed over. */
  defer(callback: () => void): void;
}

export interface Timer {
  cancel(): void;
}

/** A timer of Node that is set further ahead than this, about 25 days, fires at once. */
const TIMER_MS_MAX = 0x7fff_ffff;

/** The clock of the machine. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs, callback) {
    let handle: NodeJS.Timeout;
    const set = (leftMs: number): void => {
      handle =
        leftMs > TIMER_MS_MAX
          ? setTimeout(() => set(leftMs - TIMER_MS_MAX), TIMER_MS_MAX)
          : setTimeout(callback, leftMs);
    };
    set(delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  defer: (callback) => void setImmediate(callback),
};
