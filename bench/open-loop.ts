import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';

/** Calls begun before the event loop has its turn. */
const BURST_MAX = 512;

/** Until it is looked again, when all that is due has begun: to look all the time would take a processor from those that are measured. */
const PAUSE_MS = 1;

/**
 * Begins so many calls per second for some time, each when it is due: nobody waits for those before.
 * @param begin is told when the call is due, as `performance.now()` says it: it may be begun later
 */
export async function openLoop(
  seconds: number,
  perSecond: number,
  begin: (dueMs: number) => void,
): Promise<{ readonly begun: number; readonly seconds: number }> {
  const startedMs = performance.now();
  let begun = 0;
  for (let ms = 0; ms < seconds * 1000; ms = performance.now() - startedMs) {
    const due = Math.floor((ms / 1000) * perSecond);
    const end = Math.min(due, begun + BURST_MAX);
    for (; begun < end; begun += 1) begin(startedMs + (begun / perSecond) * 1000);
    await (begun < due ? turn() : sleep(PAUSE_MS));
  }
  return { begun, seconds: (performance.now() - startedMs) / 1000 };
}
